// Package auth is etcd's Auth service of a keyspace without authentication. It
// answers what etcd answers while authentication is off, and refuses by name
// the calls that would set it up, so that nobody believes in a protection that
// is not there. The package keeps no state.
package auth

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

// authRevisionFresh is the revision of an auth store that nobody has changed.
const authRevisionFresh = 1

// API is the part of router.API that the service needs.
type API interface {
	wire.Identity
	CurrentRevision(ctx context.Context) (current, compacted router.Revision, err error)
}

// Server answers etcd's Auth RPCs.
type Server struct {
	api API
	// A new RPC of the protocol becomes a compile error.
	pb.UnsafeAuthServer
}

var _ pb.AuthServer = (*Server)(nil)

// New is an Auth service over api.
func New(api API) *Server { return &Server{api: api} }

// AuthStatus says that authentication is off.
func (s *Server) AuthStatus(ctx context.Context, _ *pb.AuthStatusRequest) (*pb.AuthStatusResponse, error) {
	header, err := s.header(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.AuthStatusResponse{Header: header, AuthRevision: authRevisionFresh}, nil
}

// AuthDisable succeeds: as in etcd, turning off what is off is no error.
func (s *Server) AuthDisable(ctx context.Context, _ *pb.AuthDisableRequest) (*pb.AuthDisableResponse, error) {
	header, err := s.header(ctx)
	if err != nil {
		return nil, err
	}
	return &pb.AuthDisableResponse{Header: header}, nil
}

// header shows the keyspace's revision, which another frontend may have moved.
func (s *Server) header(ctx context.Context) (*pb.ResponseHeader, error) {
	current, _, err := s.api.CurrentRevision(ctx)
	if err != nil {
		return nil, wire.Error(fmt.Errorf("auth: %w", err))
	}
	return wire.Header(s.api, current), nil
}

// Authenticate is refused as etcd does while authentication is off.
func (s *Server) Authenticate(context.Context, *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	return nil, rpctypes.ErrGRPCAuthNotEnabled
}

// AuthEnable is refused.
func (s *Server) AuthEnable(context.Context, *pb.AuthEnableRequest) (*pb.AuthEnableResponse, error) {
	return nil, refuse("auth enable")
}

// UserAdd is refused.
func (s *Server) UserAdd(context.Context, *pb.AuthUserAddRequest) (*pb.AuthUserAddResponse, error) {
	return nil, refuse("user add")
}

// UserGet is refused.
func (s *Server) UserGet(context.Context, *pb.AuthUserGetRequest) (*pb.AuthUserGetResponse, error) {
	return nil, refuse("user get")
}

// UserList is refused.
func (s *Server) UserList(context.Context, *pb.AuthUserListRequest) (*pb.AuthUserListResponse, error) {
	return nil, refuse("user list")
}

// UserDelete is refused.
func (s *Server) UserDelete(context.Context, *pb.AuthUserDeleteRequest) (*pb.AuthUserDeleteResponse, error) {
	return nil, refuse("user delete")
}

// UserChangePassword is refused.
func (s *Server) UserChangePassword(context.Context, *pb.AuthUserChangePasswordRequest) (*pb.AuthUserChangePasswordResponse, error) {
	return nil, refuse("user passwd")
}

// UserGrantRole is refused.
func (s *Server) UserGrantRole(context.Context, *pb.AuthUserGrantRoleRequest) (*pb.AuthUserGrantRoleResponse, error) {
	return nil, refuse("user grant-role")
}

// UserRevokeRole is refused.
func (s *Server) UserRevokeRole(context.Context, *pb.AuthUserRevokeRoleRequest) (*pb.AuthUserRevokeRoleResponse, error) {
	return nil, refuse("user revoke-role")
}

// RoleAdd is refused.
func (s *Server) RoleAdd(context.Context, *pb.AuthRoleAddRequest) (*pb.AuthRoleAddResponse, error) {
	return nil, refuse("role add")
}

// RoleGet is refused.
func (s *Server) RoleGet(context.Context, *pb.AuthRoleGetRequest) (*pb.AuthRoleGetResponse, error) {
	return nil, refuse("role get")
}

// RoleList is refused.
func (s *Server) RoleList(context.Context, *pb.AuthRoleListRequest) (*pb.AuthRoleListResponse, error) {
	return nil, refuse("role list")
}

// RoleDelete is refused.
func (s *Server) RoleDelete(context.Context, *pb.AuthRoleDeleteRequest) (*pb.AuthRoleDeleteResponse, error) {
	return nil, refuse("role delete")
}

// RoleGrantPermission is refused.
func (s *Server) RoleGrantPermission(context.Context, *pb.AuthRoleGrantPermissionRequest) (*pb.AuthRoleGrantPermissionResponse, error) {
	return nil, refuse("role grant-permission")
}

// RoleRevokePermission is refused.
func (s *Server) RoleRevokePermission(context.Context, *pb.AuthRoleRevokePermissionRequest) (*pb.AuthRoleRevokePermissionResponse, error) {
	return nil, refuse("role revoke-permission")
}

func refuse(call string) error {
	return status.Errorf(codes.Unimplemented,
		"tierd: %s is not available: this release has no users and roles; protect the endpoint by its network", call)
}
