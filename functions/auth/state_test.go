package auth

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

// TestUnreadableAuthDataPermitNothing: whatever of them cannot be read, calls are refused,
// and the error shows nothing of what is stored.
func TestUnreadableAuthDataPermitNothing(t *testing.T) {
	t.Parallel()
	for name, field := range map[string][2]string{
		"user":          {"user:alice", "\xff\xff secret"},
		"role":          {"role:r", "\x0a\xff secret"},
		"revision":      {"revision", "secret"},
		"negative":      {"revision", "-1"},
		"enabled since": {"enabled-since", ""},
		"user since":    {"since:alice", "secret"},
		"switch":        {"enabled", "0"},
		"unknown":       {"enabled2", "secret"},
	} {
		k := newKeyspace()
		k.data.Fields[field[0]] = []byte(field[1])
		f := newFrontend(t, k, nil)
		for call, err := range map[string]error{
			"range":       second(f.guard.Range(t.Context(), &pb.RangeRequest{Key: []byte("a")})),
			"auth status": second(f.AuthStatus(t.Context(), &pb.AuthStatusRequest{})),
		} {
			if err = wire.Error(err); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %s = %v, want Internal", name, call, err)
			}
		}
		if made := k.made(); len(made) > 0 {
			t.Errorf("%s: made %q", name, made)
		}
	}
}

func TestAuthDataOutOfReach(t *testing.T) {
	t.Parallel()
	k := newKeyspace()
	k.broken = router.ErrUnavailable
	f := newFrontend(t, k, nil)
	if err := second(f.guard.Put(t.Context(), &pb.PutRequest{Key: []byte("a")})); !errors.Is(err, router.ErrUnavailable) {
		t.Errorf("put = %v", err)
	}
	k.broken = nil
	must(t, second(f.guard.Put(t.Context(), &pb.PutRequest{Key: []byte("a")})))
}

// TestReadingsAreShared: those who need the auth data at once share a reading and its
// failure, but not that who reads has gone away.
func TestReadingsAreShared(t *testing.T) {
	t.Parallel()
	k := newKeyspace()
	k.reading = make(chan chan error)
	f := newFrontend(t, k, nil)
	gone, leave := context.WithCancel(t.Context())
	results := make(chan error)
	get := func(ctx context.Context) { results <- second(f.guard.Range(ctx, &pb.RangeRequest{Key: []byte("a")})) }
	go get(gone)
	first := <-k.reading
	go get(t.Context())
	leave()
	first <- gone.Err()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("of who went away: %v", err)
	}
	again := <-k.reading
	go get(t.Context())
	again <- router.ErrUnavailable
	if err := <-results; !errors.Is(err, router.ErrUnavailable) {
		t.Errorf("of who stayed: %v", err)
	}
	// The third has shared that failure, or asks for itself.
	select {
	case err := <-results:
		if !errors.Is(err, router.ErrUnavailable) {
			t.Errorf("of who came last: %v", err)
		}
	case last := <-k.reading:
		last <- nil
		must(t, <-results)
	}
}

// Users that another etcd's file brought have no field of their own since when their
// tokens count, and may have been stored without options.
func TestUsersOfAnEtcd(t *testing.T) {
	t.Parallel()
	data, err := proto.Marshal(&authpb.User{Name: []byte("root"), Roles: []string{"a", "root", "z"}})
	if err != nil {
		t.Fatal(err)
	}
	st, err := parse(router.AuthData{Version: 1, Fields: map[string][]byte{"user:root": data, "enabled": []byte("1"), "revision": []byte("9")}})
	if err != nil {
		t.Fatal(err)
	}
	u := st.users["root"]
	if u.since != 0 || u.withoutPassword() || !u.isRoot() || !st.enabled || st.revision != 9 {
		t.Errorf("parsed as %+v, %+v", st, u)
	}
}

// FuzzAuthData: no stored auth data make the reading panic, and what is read can be used.
func FuzzAuthData(f *testing.F) {
	role, err := proto.Marshal(&authpb.Role{Name: []byte("r"), KeyPermission: []*authpb.Permission{{Key: []byte("a"), RangeEnd: []byte{0}}}})
	if err != nil {
		f.Fatal(err)
	}
	user, err := proto.Marshal(&authpb.User{Name: []byte("u"), Roles: []string{"r"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("user:u", user, "role:r", role)
	f.Add("revision", []byte("7"), "since:u", []byte("18446744073709551616"))
	f.Fuzz(func(_ *testing.T, field1 string, value1 []byte, field2 string, value2 []byte) {
		st, err := parse(router.AuthData{Fields: map[string][]byte{field1: value1, field2: value2}})
		if err != nil {
			return
		}
		st.enabled = true
		for name := range st.users {
			st.holds(name, []byte("a"), []byte("b"), read)
			st.holds(name, []byte("a"), nil, write)
		}
	})
}
