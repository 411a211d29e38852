package auth

import (
	"context"
	"maps"
	"slices"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// RoleAdd adds a role without permissions.
func (s *Server) RoleAdd(ctx context.Context, r *pb.AuthRoleAddRequest) (*pb.AuthRoleAddResponse, error) {
	header, err := s.change(ctx, "add a role", addRole(r.Name))
	if err != nil {
		return nil, err
	}
	return &pb.AuthRoleAddResponse{Header: header}, nil
}

// RoleGet tells a role's permissions, to root and to those who have the role.
func (s *Server) RoleGet(ctx context.Context, r *pb.AuthRoleGetRequest) (*pb.AuthRoleGetResponse, error) {
	resp := &pb.AuthRoleGetResponse{}
	var err error
	resp.Header, err = s.read(ctx, "get a role", func(st *state, who identity) error {
		if err := st.admin(who); err != nil && !st.hasRole(who.name, r.Role) {
			return err
		}
		role := st.roles[r.Role]
		if role == nil {
			return rpctypes.ErrGRPCRoleNotFound
		}
		resp.Perm = slices.Clone(role.KeyPermission)
		if r.Role == rootName {
			resp.Perm = []*authpb.Permission{{PermType: authpb.Permission_READWRITE, Key: []byte{}, RangeEnd: []byte{0}}}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

func (st *state) hasRole(name, role string) bool {
	u := st.users[name]
	return u != nil && slices.Contains(u.Roles, role)
}

// RoleList lists the roles, by name.
func (s *Server) RoleList(ctx context.Context, _ *pb.AuthRoleListRequest) (*pb.AuthRoleListResponse, error) {
	resp := &pb.AuthRoleListResponse{}
	var err error
	resp.Header, err = s.read(ctx, "list roles", func(st *state, who identity) error {
		resp.Roles = slices.Sorted(maps.Keys(st.roles))
		return st.admin(who)
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// RoleDelete deletes a role, and takes it from all users.
func (s *Server) RoleDelete(ctx context.Context, r *pb.AuthRoleDeleteRequest) (*pb.AuthRoleDeleteResponse, error) {
	header, err := s.change(ctx, "delete a role", deleteRole(r.Role))
	if err != nil {
		return nil, err
	}
	return &pb.AuthRoleDeleteResponse{Header: header}, nil
}

// RoleGrantPermission gives a role a permission.
func (s *Server) RoleGrantPermission(ctx context.Context, r *pb.AuthRoleGrantPermissionRequest) (*pb.AuthRoleGrantPermissionResponse, error) {
	header, err := s.change(ctx, "grant a permission", grantPermission(r.Name, r.Perm))
	if err != nil {
		return nil, err
	}
	return &pb.AuthRoleGrantPermissionResponse{Header: header}, nil
}

// RoleRevokePermission takes a permission from a role.
func (s *Server) RoleRevokePermission(ctx context.Context, r *pb.AuthRoleRevokePermissionRequest) (*pb.AuthRoleRevokePermissionResponse, error) {
	header, err := s.change(ctx, "revoke a permission", revokePermission(r.Role, r.Key, r.RangeEnd))
	if err != nil {
		return nil, err
	}
	return &pb.AuthRoleRevokePermissionResponse{Header: header}, nil
}
