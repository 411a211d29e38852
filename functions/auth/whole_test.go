package auth

import (
	"errors"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/tierd/tierd/router"
)

// TestSnapshotOutlivesItsToken: what a snapshot reads last it may read after its token's
// time is over, but not after its user has lost the right.
func TestSnapshotOutlivesItsToken(t *testing.T) {
	t.Parallel()
	k, f := enabled(t)
	api := f.store.GuardWhole(k)
	root, alice := f.login(t, "root", "r"), f.login(t, "alice", "a")
	if err := second(api.History(alice, 0, nil)); !errors.Is(err, rpctypes.ErrGRPCPermissionDenied) {
		t.Errorf("a history for alice: %v", err)
	}
	info, err := api.History(root, 0, nil)
	if must(t, err); info.At != 4 {
		t.Errorf("the history is of revision %d, want that of the check", info.At)
	}
	if err := second(api.History(root, 5, nil)); !errors.Is(err, router.ErrFutureRevision) {
		t.Errorf("a history of a revision after the check: %v", err)
	}
	k.pass(2 * simpleTTLDefault)
	if data, err := api.AuthData(root); err != nil || data.Fields["user:root"] == nil {
		t.Errorf("the users, after the token's time: %v", err)
	}
	admin := f.login(t, "root", "r")
	must(t,
		second(f.UserAdd(admin, &pb.AuthUserAddRequest{Name: "next", Password: "n"})),
		second(f.UserGrantRole(admin, &pb.AuthUserGrantRoleRequest{User: "next", Role: "root"})),
	)
	next := f.login(t, "next", "n")
	must(t, second(api.History(next, 0, nil)),
		second(f.UserRevokeRole(admin, &pb.AuthUserRevokeRoleRequest{Name: "next", Role: "root"})))
	if data, err := api.AuthData(next); !errors.Is(err, rpctypes.ErrGRPCPermissionDenied) || data.Fields != nil {
		t.Errorf("the users, after the right was revoked: %v", err)
	}
	if err := second(api.AuthData(t.Context())); !errors.Is(err, rpctypes.ErrGRPCUserEmpty) {
		t.Errorf("the users for nobody: %v", err)
	}
}
