package router_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/hot"
)

func fleetOn(t testing.TB, client redis.UniversalClient) *hot.Fleet {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	fleet, err := hot.NewFleet(hot.Settings{Keyspace: "test", MemberID: 99}, hot.Components{Redis: client, Logger: logger, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return fleet
}

// scramble makes a history: versions, deletions, transactions of several keys, leases and,
// in its middle, a compaction.
func scramble(t testing.TB, k *router.Keyspace, random *mathrand.Rand, steps int) {
	t.Helper()
	ctx := t.Context()
	key := func() []byte { return []byte(string("abmz"[random.IntN(4)]) + "\x00" + fmt.Sprint(random.IntN(12))) }
	for lease := range int64(3) {
		if _, _, err := k.LeaseGrant(ctx, lease-1+4*(1-min(lease, 1)), 1000+lease); err != nil {
			t.Fatal(err)
		}
	}
	for i := range steps {
		var err error
		switch random.IntN(6) {
		case 0:
			_, err = k.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: key()})
		case 1:
			from := key()
			_, err = k.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: from, RangeEnd: append(slices.Clone(from), 0xff)})
		case 2:
			puts := &pb.TxnRequest{}
			for _, prefix := range "abmz"[:1+random.IntN(4)] {
				puts.Success = append(puts.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{
					RequestPut: &pb.PutRequest{Key: fmt.Appendf(nil, "%c%d", prefix, random.IntN(5)), Value: fmt.Append(nil, i)}}})
			}
			_, err = k.Txn(ctx, puts)
		default:
			lease := int64(0)
			if random.IntN(4) == 0 {
				lease = 1
			}
			_, err = k.Put(ctx, &pb.PutRequest{Key: key(), Value: fmt.Append(nil, i), Lease: lease})
		}
		if err != nil {
			t.Fatal(err)
		}
		if i == steps/2 {
			setUser(t, k, fmt.Sprint("user", i), "bcrypt\x00\xff")
			if _, err := k.Compact(ctx, k.LastRevision()-7, true); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// setUser changes the auth data.
func setUser(t testing.TB, k *router.Keyspace, name, value string) {
	t.Helper()
	data, err := k.AuthData(t.Context())
	if err == nil {
		err = k.ChangeAuth(t.Context(), data.Version, router.AuthChange{Set: map[string][]byte{router.AuthUser + name: []byte(value)}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func history(t testing.TB, read func(context.Context, router.Revision, func(router.Version) error) (router.HistoryInfo, error), at router.Revision) ([]router.Version, router.HistoryInfo) {
	t.Helper()
	var all []router.Version
	info, err := read(t.Context(), at, func(v router.Version) error {
		all = append(all, v)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, info
}

// sameState says how two keyspaces differ.
func sameState(t testing.TB, want, got *router.Keyspace, from router.Revision) {
	t.Helper()
	all, info := history(t, want.History, 0)
	restored, restoredInfo := history(t, got.History, 0)
	if diff := cmp.Diff(all, restored, protocmp.Transform()); diff != "" || info != restoredInfo {
		t.Fatalf("the history is another one: %v became %v\n%s", info, restoredInfo, diff)
	}
	for at := from; at <= info.At; at++ {
		hashed, _ := history(t, want.HashedHistory, at)
		again, _ := history(t, got.HashedHistory, at)
		if diff := cmp.Diff(hashed, again, protocmp.Transform()); diff != "" {
			t.Fatalf("what is hashed at revision %d differs:\n%s", at, diff)
		}
		a, b := get(t, want, "\x00", "\x00", int64(at)), get(t, got, "\x00", "\x00", int64(at))
		if diff := cmp.Diff(a.Kvs, b.Kvs, protocmp.Transform()); diff != "" {
			t.Fatalf("the state at revision %d differs:\n%s", at, diff)
		}
	}
	wanted, err1 := want.AuthData(t.Context())
	auth, err2 := got.AuthData(t.Context())
	if diff := cmp.Diff(wanted.Fields, auth.Fields); diff != "" || err1 != nil || err2 != nil {
		t.Fatalf("the auth data differ (%v, %v):\n%s", err1, err2, diff)
	}
	leases, _, err := want.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		a, _, err := want.LeaseTimeToLive(t.Context(), l.ID, true)
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := got.LeaseTimeToLive(t.Context(), l.ID, true)
		if a.RemainingTTL, b.RemainingTTL = 0, 0; err != nil || !cmp.Equal(a, b) {
			t.Fatalf("lease %d: %v, want %v (%v)", l.ID, b, a, err)
		}
	}
}

// bring restores versions into an empty Redis, and leaves off after some of them if that is wanted.
func bring(t testing.TB, client redis.UniversalClient, all []router.Version, from *router.Keyspace, info router.HistoryInfo, leaveOff int) {
	t.Helper()
	ctx := t.Context()
	r, err := router.Restore(ctx, fleetOn(t, client), router.RestoreStart{ID: "it", Floor: info.Compacted})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i, v := range all {
		if i == leaveOff {
			return
		}
		if err := r.Add(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
	leases, _, err := from.Leases(ctx)
	if err != nil {
		t.Fatal(err)
	}
	auth, err := from.AuthData(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.End(ctx, router.RestoreEnd{Revision: info.At, Compacted: info.Compacted, Leases: leases, Auth: auth.Fields}); err != nil {
		t.Fatal(err)
	}
}

func TestRestoredKeyspaceIsTheSame(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 3} {
		t.Run(fmt.Sprint(shards), func(t *testing.T) {
			t.Parallel()
			random := mathrand.New(mathrand.NewPCG(uint64(shards), 5))
			var source *router.Keyspace
			if shards == 1 {
				_, client := startRedis(t)
				source = open(t, client, 1)
			} else {
				source = openSpread(t, 1).keyspaces[0]
			}
			scramble(t, source, random, 1500)
			all, info := history(t, source.History, 0)
			_, client := startRedis(t)
			bring(t, client, all, source, info, len(all)*2/3)
			if _, err := router.Open(t.Context(), router.Settings{Keyspace: "test", Name: "early", MemberID: 8, QuotaBytes: 1, RequestTimeout: 1},
				router.Components{Fleet: fleetOn(t, client), Logger: slog.New(slog.DiscardHandler), Random: rand.Reader}); !errors.Is(err, router.ErrRestoring) {
				t.Fatalf("a keyspace that is being restored was opened: %v", err)
			}
			if _, err := router.Restore(t.Context(), fleetOn(t, client), router.RestoreStart{ID: "other"}); !errors.Is(err, router.ErrOtherRestore) {
				t.Fatalf("another restore came between: %v", err)
			}
			bring(t, client, all, source, info, -1)
			if _, err := router.Restore(t.Context(), fleetOn(t, client), router.RestoreStart{ID: "it"}); !errors.Is(err, router.ErrKeyspaceExists) {
				t.Fatalf("a restore began over a keyspace: %v", err)
			}
			if err := router.DiscardRestore(t.Context(), fleetOn(t, client)); !errors.Is(err, router.ErrKeyspaceExists) {
				t.Fatalf("a keyspace was discarded: %v", err)
			}
			restored := open(t, client, 2)
			sameState(t, source, restored, info.At-40)
			// Both go on in the same way.
			for _, k := range []*router.Keyspace{source, restored} {
				scramble2(t, k)
			}
			sameState(t, source, restored, info.At+11)
		})
	}
}

// scramble2 goes on: more versions, the end of a lease, a compaction of what was there before.
func scramble2(t testing.TB, k *router.Keyspace) {
	t.Helper()
	for i := range 20 {
		put(t, k, fmt.Sprintf("a\x00%d", i%12), "later")
	}
	if _, err := k.LeaseRevoke(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	setUser(t, k, "another", "later")
	if _, err := k.Compact(t.Context(), k.LastRevision()-10, true); err != nil {
		t.Fatal(err)
	}
}

func TestRestoreOfNothing(t *testing.T) {
	t.Parallel()
	_, client := startRedis(t)
	ctx := t.Context()
	r, err := router.Restore(ctx, fleetOn(t, client), router.RestoreStart{ID: "nothing", Floor: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.End(ctx, router.RestoreEnd{Revision: 1000, Compacted: 1000}); err != nil {
		t.Fatal(err)
	}
	r.Close()
	k := open(t, client, 1)
	if got := put(t, k, "a", "1"); got != 1001 {
		t.Fatalf("the first revision after the restore is %d, want 1001", got)
	}
	if _, err := k.Range(ctx, &pb.RangeRequest{Key: []byte("a"), Revision: 999}); !errors.Is(err, router.ErrCompacted) {
		t.Fatalf("a revision below the compacted one: %v", err)
	}
}

// A restore is not gone on with by a release that would bring it in other pieces.
func TestRestoreInOtherBatches(t *testing.T) {
	t.Parallel()
	_, from := startRedis(t)
	source := open(t, from, 1)
	scramble(t, source, mathrand.New(mathrand.NewPCG(1, 1)), 3000)
	all, info := history(t, source.History, 0)
	_, client := startRedis(t)
	bring(t, client, all, source, info, len(all)*2/3)
	if err := client.HIncrBy(t.Context(), "{test:seq}:order", "items", -1).Err(); err != nil {
		t.Fatal(err)
	}
	r, err := router.Restore(t.Context(), fleetOn(t, client), router.RestoreStart{ID: "it", Floor: info.Compacted})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, v := range all {
		if err = r.Add(t.Context(), v); err != nil {
			break
		}
	}
	if !errors.Is(err, router.ErrOtherRestore) {
		t.Fatalf("it was gone on with: %v, want ErrOtherRestore", err)
	}
}
