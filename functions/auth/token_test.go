package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/caller"
	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

// TestSimpleTokenLifecycle: a token lives for its time after its last use, on every
// frontend, and frontends ask for it seldom.
func TestSimpleTokenLifecycle(t *testing.T) {
	t.Parallel()
	k, f := enabled(t)
	elsewhere := newFrontend(t, k, nil)
	alice := f.login(t, "alice", "a")
	get := func(f frontend) error { return second(f.guard.Range(alice, &pb.RangeRequest{Key: []byte("a")})) }
	k.uses = 0
	for range 10 {
		must(t, get(f))
	}
	if k.uses != 0 {
		t.Errorf("the frontend that gave the token asked for it %d times", k.uses)
	}
	for range 10 {
		must(t, get(elsewhere))
	}
	if k.uses != 1 {
		t.Errorf("another frontend asked for it %d times, want once", k.uses)
	}
	for range 20 { // used all the time, it lives on
		k.pass(simpleTTLDefault / 3)
		must(t, get(f))
	}
	k.pass(simpleTTLDefault)
	for name, front := range map[string]frontend{"f": f, "elsewhere": elsewhere} {
		if err := get(front); !errors.Is(err, rpctypes.ErrGRPCInvalidAuthToken) {
			t.Errorf("%s: after its time: %v", name, err)
		}
	}
}

// TestWhatMakesTokensVoid names what makes a user's tokens void, as in etcd, and what does not.
func TestWhatMakesTokensVoid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(f frontend, root func(error)) error
		void   bool
	}{
		"a new password": {func(f frontend, root func(error)) error {
			root(second(f.UserChangePassword(f.login(t, "root", "r"), &pb.AuthUserChangePasswordRequest{Name: "alice", Password: "b"})))
			return nil
		}, true},
		"deleted, and added again": {func(f frontend, root func(error)) error {
			ctx := f.login(t, "root", "r")
			root(second(f.UserDelete(ctx, &pb.AuthUserDeleteRequest{Name: "alice"})))
			root(second(f.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "alice", Password: "a"})))
			return nil
		}, true},
		"off and on": {func(f frontend, root func(error)) error {
			root(second(f.AuthDisable(f.login(t, "root", "r"), &pb.AuthDisableRequest{})))
			root(second(f.AuthEnable(t.Context(), &pb.AuthEnableRequest{})))
			return nil
		}, true},
		"another's password": {func(f frontend, root func(error)) error {
			root(second(f.UserChangePassword(f.login(t, "root", "r"), &pb.AuthUserChangePasswordRequest{Name: "root", Password: "b"})))
			return nil
		}, false},
		"a role less": {func(f frontend, root func(error)) error {
			root(second(f.RoleDelete(f.login(t, "root", "r"), &pb.AuthRoleDeleteRequest{Role: "as"})))
			return nil
		}, false},
	} {
		_, f := enabled(t)
		alice := f.login(t, "alice", "a")
		must(t, c.change(f, func(err error) { must(t, err) }))
		err := second(f.AuthStatus(alice, &pb.AuthStatusRequest{}))
		if void := errors.Is(err, rpctypes.ErrGRPCInvalidAuthToken); void != c.void || err != nil && !void {
			t.Errorf("%s: %v, void is to be %v", name, err, c.void)
		}
	}
}

func TestWhatIsNoSimpleToken(t *testing.T) {
	t.Parallel()
	k, f := enabled(t)
	resp, err := f.Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "alice", Password: "a"})
	if err != nil || !looksSimple(resp.Token) || !strings.HasSuffix(resp.Token, ".4") {
		t.Fatalf("the token %v (%v) is not 16 letters, a dot and the revision", resp, err)
	}
	k.uses = 0
	for _, token := range []string{
		"", ".", "a.1", resp.Token + "x", resp.Token + ".1", "x" + resp.Token, strings.ToLower(resp.Token[:16]),
		"aaaaaaaaaaaaaaaa.", "aaaaaaaaaaaaaaaa.-1", "aaaaaaaaaaaaaaa1.1", "aaaaaaaaaaaaaaaé.1", strings.Repeat("a", 1<<16),
	} {
		if err := second(f.AuthStatus(as(t, token), &pb.AuthStatusRequest{})); !errors.Is(err, rpctypes.ErrGRPCInvalidAuthToken) {
			t.Errorf("%.20q: %v", token, err)
		}
	}
	if k.uses > 0 {
		t.Errorf("Redis was asked %d times", k.uses)
	}
	for id, value := range k.tokens {
		if strings.Contains(id+string(value), resp.Token[:16]) {
			t.Error("the token itself is stored")
		}
		k.tokens[id] = []byte("{")
	}
	elsewhere := newFrontend(t, k, nil)
	err = second(elsewhere.AuthStatus(as(t, resp.Token), &pb.AuthStatusRequest{}))
	if status.Code(err) != codes.Internal {
		t.Errorf("a stored token that cannot be read: %v", err)
	}
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	_, f := enabled(t)
	root := f.login(t, "root", "r")
	must(t,
		second(f.UserAdd(root, &pb.AuthUserAddRequest{Name: "hashed", Password: "p", HashedPassword: "bm8gaGFzaA=="})),
		second(f.UserAdd(root, &pb.AuthUserAddRequest{Name: "long", Password: strings.Repeat("p", 72)})),
	)
	f.login(t, "hashed", "p")
	for name, c := range map[string]struct {
		err  error
		code codes.Code
	}{
		"too long": {second(f.UserAdd(root, &pb.AuthUserAddRequest{Name: "x", Password: strings.Repeat("p", 73)})), codes.Unknown},
		"no hash":  {second(f.UserChangePassword(root, &pb.AuthUserChangePasswordRequest{Name: "hashed", HashedPassword: "%"})), codes.Unknown},
		"wrong":    {second(f.Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "hashed", Password: "q"})), codes.InvalidArgument},
		"nobody's": {second(f.Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "nobody", Password: "p"})), codes.InvalidArgument},
		"none":     {second(f.Authenticate(t.Context(), &pb.AuthenticateRequest{})), codes.InvalidArgument},
	} {
		if status.Code(wire.Error(c.err)) != c.code {
			t.Errorf("%s: %v, want %v", name, c.err, c.code)
		}
	}
	must(t, second(f.UserChangePassword(root, &pb.AuthUserChangePasswordRequest{Name: "hashed"})))
	if err := second(f.Authenticate(t.Context(), &pb.AuthenticateRequest{Name: "hashed"})); !errors.Is(err, rpctypes.ErrGRPCAuthFailed) {
		t.Errorf("with an empty hash, and an empty password: %v", err)
	}
}

// TestNobodyCostsAsMuch: the hash that stands for users that do not exist is worked on
// as any other is, and no password matches it.
func TestNobodyCostsAsMuch(t *testing.T) {
	t.Parallel()
	p := newPasswords(5, 1)
	if cost, err := bcrypt.Cost(p.nobody); err != nil || cost != 5 {
		t.Fatalf("the hash of nobody has cost %d (%v)", cost, err)
	}
	if ok, err := p.match(t.Context(), p.nobody, ""); ok || err != nil {
		t.Errorf("match = %v, %v", ok, err)
	}
}

// TestUsersAreNoted: whom a call was made as is known to those who write it down.
func TestUsersAreNoted(t *testing.T) {
	t.Parallel()
	_, f := enabled(t)
	alice := f.login(t, "alice", "a")
	_ = second(f.guard.Put(alice, &pb.PutRequest{Key: []byte("z")})) // is refused
	if user := caller.From(alice).User(); user != "alice" {
		t.Errorf("the user of the call is %q", user)
	}
}

func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	r := newRecent[int]()
	now := time.Unix(0, 0)
	for i := range recentMax + 10 {
		r.put(digestOf(string(rune(i))), i, now)
	}
	if len(r.entries) != recentMax {
		t.Errorf("%d entries", len(r.entries))
	}
	id := digestOf("x")
	r.put(id, 1, now)
	later := now.Add(2 * time.Second)
	_, first, _ := r.get(id, later, time.Second, time.Minute)
	_, again, found := r.get(id, later, time.Second, time.Minute)
	if !first || again || !found {
		t.Errorf("when it is due: %v, then %v; found %v", first, again, found)
	}
	r.release(id)
	if _, mine, _ := r.get(id, later, time.Second, time.Minute); !mine {
		t.Error("after a release nobody is told to ask again")
	}
	if _, _, found := r.get(id, now.Add(time.Minute), time.Second, time.Minute); found {
		t.Error("an entry is found when it is too old")
	}
}

// TestLoginsAreBounded: passwords wait for their turn, only so many, and no longer than
// their clients do.
func TestLoginsAreBounded(t *testing.T) {
	t.Parallel()
	p := newPasswords(4, 1)
	done, err := p.turn(t.Context())
	must(t, err)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := p.match(gone, p.nobody, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("of a client that has gone: %v", err)
	}
	p.waiting.Add(passwordsMax - 1)
	if _, err := p.hash(t.Context(), "p"); !errors.Is(err, router.ErrTooManyRequests) {
		t.Errorf("one too many: %v", err)
	}
	p.waiting.Add(1 - passwordsMax)
	done()
	if _, err := p.hash(t.Context(), "p"); err != nil || p.waiting.Load() != 0 {
		t.Errorf("when there is room: %v; %d wait", err, p.waiting.Load())
	}
}
