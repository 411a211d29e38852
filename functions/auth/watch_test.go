package auth

import (
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/tierd/tierd/functions/caller"
	"github.com/tierd/tierd/router"
)

// TestWatchesGoOnWithTheRight: what ends a watch, and what does not, by the auth data of
// the version that a page of events names.
func TestWatchesGoOnWithTheRight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(f frontend) error
		goesOn bool
	}{
		"nothing": {func(frontend) error { return nil }, true},
		"another's password": {func(f frontend) error {
			return second(f.UserChangePassword(f.login(t, "root", "r"), &pb.AuthUserChangePasswordRequest{Name: "root", Password: "b"}))
		}, true},
		"its password": {func(f frontend) error {
			return second(f.UserChangePassword(f.login(t, "root", "r"), &pb.AuthUserChangePasswordRequest{Name: "alice", Password: "b"}))
		}, false},
		"the role revoked": {func(f frontend) error {
			return second(f.UserRevokeRole(f.login(t, "root", "r"), &pb.AuthUserRevokeRoleRequest{Name: "alice", Role: "as"}))
		}, false},
		"the permission revoked": {func(f frontend) error {
			return second(f.RoleRevokePermission(f.login(t, "root", "r"), &pb.AuthRoleRevokePermissionRequest{Role: "as", Key: []byte("a"), RangeEnd: []byte("b")}))
		}, false},
		"only writing left": {func(f frontend) error {
			return second(f.RoleGrantPermission(f.login(t, "root", "r"), &pb.AuthRoleGrantPermissionRequest{Name: "as", Perm: &authpb.Permission{
				PermType: authpb.Permission_WRITE, Key: []byte("a"), RangeEnd: []byte("b"),
			}}))
		}, false},
		"the user deleted": {func(f frontend) error {
			return second(f.UserDelete(f.login(t, "root", "r"), &pb.AuthUserDeleteRequest{Name: "alice"}))
		}, false},
		"switched off": {func(f frontend) error {
			return second(f.AuthDisable(f.login(t, "root", "r"), &pb.AuthDisableRequest{}))
		}, true},
		"off and on": {func(f frontend) error {
			return errors.Join(second(f.AuthDisable(f.login(t, "root", "r"), &pb.AuthDisableRequest{})),
				second(f.AuthEnable(t.Context(), &pb.AuthEnableRequest{})))
		}, false},
	} {
		k, f := enabled(t)
		holder, version, refused, err := f.store.PermitWatch(f.login(t, "alice", "a"), []byte("a"), []byte("b"))
		must(t, refused, err)
		elsewhere := newFrontend(t, k, nil)
		must(t, c.change(elsewhere))
		must(t, f.store.Know(t.Context(), k.data.Version))
		if k.data.Version < version {
			t.Errorf("%s: permitted at version %d of %d", name, version, k.data.Version)
		}
		if may := f.store.MayWatch(holder, []byte("a"), []byte("b")); may != c.goesOn {
			t.Errorf("%s: may go on is %v, want %v", name, may, c.goesOn)
		}
	}
}

// Watches that were made while authentication was off go on for those who have a
// certificate, and the right.
func TestWatchesFromBeforeItWasSwitchedOn(t *testing.T) {
	t.Parallel()
	k, f := enabled(t)
	must(t, second(f.AuthDisable(f.login(t, "root", "r"), &pb.AuthDisableRequest{})))
	for name, c := range map[string]struct {
		caller *caller.Caller
		goesOn bool
	}{
		"nobody":      {&caller.Caller{}, false},
		"certificate": {&caller.Caller{CommonName: "alice"}, true},
		"other's":     {&caller.Caller{CommonName: "bob"}, false},
		"and a token": {&caller.Caller{CommonName: "alice", Token: "x", Presented: true}, false},
	} {
		holder, _, refused, err := f.store.PermitWatch(caller.With(t.Context(), c.caller), []byte("a"), nil)
		must(t, refused, err)
		must(t, second(f.AuthEnable(t.Context(), &pb.AuthEnableRequest{})))
		must(t, f.store.Know(t.Context(), k.data.Version))
		if may := f.store.MayWatch(holder, []byte("a"), nil); may != c.goesOn {
			t.Errorf("%s: may go on is %v, want %v", name, may, c.goesOn)
		}
		must(t, second(f.AuthDisable(f.login(t, "root", "r"), &pb.AuthDisableRequest{})))
	}
}

func TestWatchRefusals(t *testing.T) {
	t.Parallel()
	k, f := enabled(t)
	alice := f.login(t, "alice", "a")
	for name, c := range map[string]struct {
		key, end string
		want     error
	}{
		"a key": {"a", "", nil}, "the range": {"a", "b", nil}, "from": {"a", "\x00", rpctypes.ErrGRPCPermissionDenied},
		"more": {"a", "c", rpctypes.ErrGRPCPermissionDenied}, "elsewhere": {"b", "", rpctypes.ErrGRPCPermissionDenied},
	} {
		if _, _, refused, err := f.store.PermitWatch(alice, []byte(c.key), []byte(c.end)); err != nil || !errors.Is(refused, c.want) {
			t.Errorf("%s: %v (%v), want %v", name, refused, err, c.want)
		}
	}
	if _, _, refused, _ := f.store.PermitWatch(as(t, ""), []byte("a"), nil); !errors.Is(refused, rpctypes.ErrGRPCInvalidAuthToken) {
		t.Errorf("with an empty token: %v", refused)
	}
	k.broken = router.ErrUnavailable
	elsewhere := newFrontend(t, k, nil)
	if _, _, refused, err := elsewhere.store.PermitWatch(alice, []byte("a"), nil); refused != nil || !errors.Is(err, router.ErrUnavailable) {
		t.Errorf("out of reach: refused %v, %v", refused, err)
	}
	if err := f.store.Know(t.Context(), k.data.Version+1); !errors.Is(err, router.ErrUnavailable) {
		t.Errorf("auth data that cannot be read yet: %v", err)
	}
	if f.store.MayWatch("no holder", []byte("a"), nil) || f.store.MayWatch("", []byte("a"), nil) {
		t.Error("what is no holder may watch")
	}
}
