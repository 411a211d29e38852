package auth

import (
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

func TestWhileAuthenticationIsOff(t *testing.T) {
	t.Parallel()
	f := newFrontend(t, newKeyspace(), nil)
	st, err := f.AuthStatus(t.Context(), &pb.AuthStatusRequest{})
	if err != nil || st.Enabled || st.AuthRevision != 1 || st.Header.Revision != 4 {
		t.Errorf("AuthStatus = %v, %v", st, err)
	}
	if resp, err := f.AuthDisable(t.Context(), &pb.AuthDisableRequest{}); err != nil || resp.Header.MemberId != 2 || resp.Header.Revision != 4 {
		t.Errorf("AuthDisable = %v, %v", resp, err)
	}
	_, err = f.Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "root", Password: "x"})
	if !errors.Is(err, rpctypes.ErrGRPCAuthNotEnabled) {
		t.Errorf("Authenticate = %v", err)
	}
	if err := second(f.AuthEnable(t.Context(), &pb.AuthEnableRequest{})); !errors.Is(err, rpctypes.ErrGRPCRootUserNotExist) {
		t.Errorf("AuthEnable without root = %v", err)
	}
	must(t, second(f.UserAdd(t.Context(), &pb.AuthUserAddRequest{Name: "root", Password: "r"})))
	if err := second(f.AuthEnable(t.Context(), &pb.AuthEnableRequest{})); !errors.Is(err, rpctypes.ErrGRPCRootRoleNotExist) {
		t.Errorf("AuthEnable without the role root = %v", err)
	}
}

// enabled is a keyspace with authentication on: root, and alice, who may read and
// write keys below "a" and has the lease 7 with such a key.
func enabled(t *testing.T) (*keyspace, frontend) {
	t.Helper()
	k := newKeyspace()
	k.leases[7] = [][]byte{[]byte("a1")}
	f := newFrontend(t, k, nil)
	ctx := t.Context()
	must(t,
		second(f.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "root", Password: "r"})),
		second(f.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"})),
		second(f.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "alice", Password: "a"})),
		second(f.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "as"})),
		second(f.RoleGrantPermission(ctx, &pb.AuthRoleGrantPermissionRequest{Name: "as", Perm: &authpb.Permission{
			PermType: authpb.Permission_READWRITE, Key: []byte("a"), RangeEnd: []byte("b"),
		}})),
		second(f.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "alice", Role: "as"})),
		second(f.AuthEnable(ctx, &pb.AuthEnableRequest{})),
	)
	return k, f
}
