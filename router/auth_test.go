package router_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
)

// changeAuth makes a change and says which version the auth data have then.
func changeAuth(t *testing.T, k *router.Keyspace, from int64, change router.AuthChange) int64 {
	t.Helper()
	if err := k.ChangeAuth(t.Context(), from, change); err != nil {
		t.Fatalf("change auth data of version %d: %v", from, err)
	}
	return from + 1
}

func TestAuthDataAreKept(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	a, b := openFleet(t, server, 1, nil), openFleet(t, server, 2, nil)
	before := put(t, a, "k", "v")
	v := changeAuth(t, a, 0, router.AuthChange{Set: map[string][]byte{"user:a": []byte("1\x00\xff"), "user:b": {}}})
	v = changeAuth(t, b, v, router.AuthChange{Set: map[string][]byte{"user:a": []byte("2")}, Delete: []string{"user:b", "never there"}})
	if err := a.ChangeAuth(t.Context(), v-1, router.AuthChange{Delete: []string{"user:a"}}); !errors.Is(err, router.ErrAuthChanged) {
		t.Errorf("a change of data of an older version: %v, want ErrAuthChanged", err)
	}
	got, err := a.AuthData(t.Context())
	want := router.AuthData{Version: v, Fields: map[string][]byte{"user:a": []byte("2")}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("auth data: %v\n%s", err, diff)
	}
	if after := put(t, b, "k", "w"); after != before+1 {
		t.Errorf("the put after the changes has revision %d, want %d: they take none", after, before+1)
	}
}

// boundCalls are calls that a frontend makes for a caller.
func boundCalls(k *router.Keyspace, prefix string, lease int64) map[string]func(t *testing.T, version int64) error {
	key := []byte(prefix + "key")
	return map[string]func(*testing.T, int64) error{
		"put": func(t *testing.T, v int64) error {
			_, err := k.Put(router.WithAuth(t.Context(), v), &pb.PutRequest{Key: key, Value: []byte("x")})
			return err
		},
		"get": func(t *testing.T, v int64) error {
			_, err := k.Range(router.WithAuth(t.Context(), v), &pb.RangeRequest{Key: key})
			return err
		},
		"range": func(t *testing.T, v int64) error {
			_, err := k.Range(router.WithAuth(t.Context(), v), &pb.RangeRequest{Key: key, RangeEnd: []byte(prefix + "l")})
			return err
		},
		"range of everything": func(t *testing.T, v int64) error {
			_, err := k.Range(router.WithAuth(t.Context(), v), &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, CountOnly: true})
			return err
		},
		"old revision": func(t *testing.T, v int64) error {
			_, err := k.Range(router.WithAuth(t.Context(), v), &pb.RangeRequest{Key: key, Revision: 2})
			return err
		},
		"empty range": func(t *testing.T, v int64) error {
			_, err := k.Range(router.WithAuth(t.Context(), v), &pb.RangeRequest{Key: []byte("z"), RangeEnd: []byte("a")})
			return err
		},
		"pages": func(t *testing.T, v int64) error {
			return k.RangePages(router.WithAuth(t.Context(), v), &pb.RangeRequest{Key: key}, 1<<20, func(*pb.RangeResponse) error { return nil })
		},
		"delete of a range": func(t *testing.T, v int64) error {
			_, err := k.DeleteRange(router.WithAuth(t.Context(), v), &pb.DeleteRangeRequest{Key: key, RangeEnd: []byte(prefix + "l")})
			return err
		},
		"transaction over all shards": func(t *testing.T, v int64) error {
			_, err := k.Txn(router.WithAuth(t.Context(), v), &pb.TxnRequest{Success: []*pb.RequestOp{
				{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("a")}}},
				{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("n")}}},
			}})
			return err
		},
		"compact": func(t *testing.T, v int64) error {
			_, err := k.Compact(router.WithAuth(t.Context(), v), 1, false)
			if errors.Is(err, router.ErrCompacted) {
				return nil
			}
			return err
		},
		"keep alive": func(t *testing.T, v int64) error {
			_, _, err := k.LeaseKeepAlive(router.WithAuth(t.Context(), v), lease)
			return err
		},
		"time to live": func(t *testing.T, v int64) error {
			_, _, err := k.LeaseTimeToLive(router.WithAuth(t.Context(), v), lease, true)
			return err
		},
		"grant": func(t *testing.T, v int64) error {
			_, _, err := k.LeaseGrant(router.WithAuth(t.Context(), v), 0, 60)
			return err
		},
		"revoke of a lease": func(t *testing.T, v int64) error {
			l, _, err := k.LeaseGrant(t.Context(), 0, 60)
			if err == nil {
				_, err = k.LeaseRevoke(router.WithAuth(t.Context(), v), l.ID)
			}
			return err
		},
		"confirm": func(t *testing.T, v int64) error {
			_, err := k.ConfirmAuth(router.WithAuth(t.Context(), v))
			return err
		},
	}
}

// TestBoundCallsAreRefusedEverywhere: once a change of auth data has been answered, no
// frontend does what was permitted before it, though it has not heard of the change; on the home
// shard, on others, and over all.
func TestBoundCallsAreRefusedEverywhere(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	admin, other := openFleet(t, server, 1, nil), openFleet(t, server, 2, nil)
	put(t, admin, "akey", "v")
	put(t, admin, "nkey", "v")
	moved(t, admin, "m")
	lease, _, err := other.LeaseGrant(t.Context(), 0, 600)
	if err != nil {
		t.Fatal(err)
	}
	version := int64(0)
	for _, prefix := range []string{"a", "n"} {
		for name, call := range boundCalls(other, prefix, lease.ID) {
			if err := call(t, version); err != nil {
				t.Fatalf("%s%s, bound to the current version %d: %v", prefix, name, version, err)
			}
			version = changeAuth(t, admin, version, router.AuthChange{Set: map[string][]byte{"f": fmt.Append(nil, version)}})
			revision := admin.LastRevision()
			if err := call(t, version-1); !errors.Is(err, router.ErrAuthChanged) {
				t.Errorf("%s%s, bound to version %d of %d: %v, want ErrAuthChanged", prefix, name, version-1, version, err)
			}
			if now, _, err := admin.CurrentRevision(t.Context()); err != nil || now != revision {
				t.Errorf("%s%s: the refused call has changed something: revision %d became %d (%v)", prefix, name, revision, now, err)
			}
		}
	}
	page, err := other.Events(t.Context(), 2, 1<<20, false)
	if err != nil || page.Auth != version {
		t.Errorf("a page of events was read at auth version %d (%v), want %d", page.Auth, err, version)
	}
	// However often auth data change, the map is not longer for it, and moves go on from it.
	before, err := admin.Topology(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	moved(t, admin, "x")
	put(t, other, "xyz", "v")
	after, err := admin.Topology(t.Context())
	if err != nil || after.Epoch != before.Epoch+1 || len(after.Ranges) != 3 {
		t.Errorf("a move after the changes: %+v, %v", after, err)
	}
	if got := get(t, other, "akey", "", 2); len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "v" {
		t.Errorf("what was there before all: %v", got)
	}
}

// TestAuthChangesTogether: of changes at once, those of the same version exclude each other.
func TestAuthChangesTogether(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	const each, frontends = 8, 3
	done := make(chan error, frontends)
	var all []*router.Keyspace
	for i := range frontends {
		all = append(all, openFleet(t, server, uint64(i+1), nil))
	}
	for i, k := range all {
		go func() {
			for n := range each {
				for {
					data, err := k.AuthData(t.Context())
					if err == nil {
						err = k.ChangeAuth(t.Context(), data.Version, router.AuthChange{Set: map[string][]byte{
							fmt.Sprintf("%d.%d", i, n): nil, "count": append(data.Fields["count"], '1'),
						}})
					}
					if errors.Is(err, router.ErrAuthChanged) {
						continue
					}
					if err != nil {
						done <- err
						return
					}
					break
				}
			}
			done <- nil
		}()
	}
	for range frontends {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	data, err := all[0].AuthData(t.Context())
	if err != nil || data.Version != each*frontends || len(data.Fields) != each*frontends+1 || len(data.Fields["count"]) != each*frontends {
		t.Errorf("after %d changes: version %d, %d fields, counted %d (%v)", each*frontends, data.Version, len(data.Fields), len(data.Fields["count"]), err)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	server, client := startRedis(t)
	a, b := openFleet(t, server, 1, nil), openFleet(t, server, 2, nil)
	if err := a.SaveToken(t.Context(), "id", []byte("who"), time.Minute); err != nil {
		t.Fatal(err)
	}
	value, found, err := b.UseToken(t.Context(), "id", time.Hour)
	if err != nil || !found || string(value) != "who" {
		t.Errorf("the token is %q, %v, %v", value, found, err)
	}
	if left := client.PTTL(t.Context(), "{test:seq}:auth:token:id").Val(); left < 30*time.Minute {
		t.Errorf("a token that was used lives for %v more, want an hour", left)
	}
	if _, found, err := b.UseToken(t.Context(), "other", time.Hour); err != nil || found {
		t.Errorf("a token that was never saved: %v, %v", found, err)
	}
}
