package router_test

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/hot"
)

// shardClient reaches a shard of the keyspace by itself.
func shardClient(t *testing.T, server *hot.Server, id hot.Shard, url string) *hot.Client {
	t.Helper()
	endpoint, err := hot.ParseEndpoint(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	redis := endpoint.NewClient()
	fleet, err := hot.NewFleet(hot.Settings{Keyspace: "test", MemberID: 99},
		hot.Components{Redis: redis, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fleet.Close(); _ = redis.Close() })
	if id == hot.HomeShard {
		return fleet.Home()
	}
	client, err := fleet.Shard(id, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestUnchangedBeforeMove: a shard that was filled by a move does not know what changed
// before, and does not say that nothing did.
func TestUnchangedBeforeMove(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	k := openFleet(t, server, 1, nil)
	read := put(t, k, "key", "read")
	changed := put(t, k, "key", "changed")
	if err := k.Move(t.Context(), []byte("k"), nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	client := shardClient(t, server, 1, "")
	span := hot.RangeSpan([]byte("k"), []byte("l"))
	for at, want := range map[hot.Revision]hot.Outcome{read: hot.OutcomeChanged, changed: hot.OutcomeThen} {
		lane, err := client.NewLane()
		if err != nil {
			t.Fatal(err)
		}
		reply, err := client.Append(t.Context(), lane, hot.EpochAny, 1<<30, hot.Stamp{}, []*hot.Transaction{{
			Conditions: []hot.Condition{hot.Unchanged(span, at)}, Then: []hot.Operation{hot.Put([]byte("other"), []byte("v"), 0, 0)},
		}})
		if err != nil || reply.Results[0].Outcome != want {
			t.Errorf("unchanged since revision %d: %v, %v, want %v", at, reply.Results, err, want)
		}
	}
}

// moved moves all keys from one on to a new shard.
func moved(t *testing.T, k *router.Keyspace, from string) {
	t.Helper()
	if err := k.Move(t.Context(), []byte(from), nil, 0, nil); err != nil {
		t.Fatal(err)
	}
}

// TestMoveBringsEventNumbers: once a transaction is compacted, the history still tells
// which of its events a key is of.
func TestMoveBringsEventNumbers(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	k := openFleet(t, server, 1, nil)
	txn := &pb.TxnRequest{}
	for _, key := range []string{"a", "b", "c"} {
		txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key)}}})
	}
	if _, err := k.Txn(t.Context(), txn); err != nil {
		t.Fatal(err)
	}
	moved(t, k, "b")
	last := put(t, k, "z", "v")
	if _, err := k.Compact(t.Context(), last, true); err != nil {
		t.Fatal(err)
	}
	var got []string
	_, err := k.HashedHistory(t.Context(), 0, func(v router.Version) error {
		got = append(got, fmt.Sprintf("%d.%d %s", v.Main, v.Sub, v.KV.Key))
		return nil
	})
	if want := []string{"2.0 a", "2.1 b", "2.2 c", "3.0 z"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("history is %q, %v, want %q", got, err, want)
	}
}

// TestAsManyKeysAsRevisions: the first event of a new shard is told, whatever the number
// of keys that it was filled with.
func TestAsManyKeysAsRevisions(t *testing.T) {
	t.Parallel()
	for keys := 1; keys <= 4; keys++ {
		server, _ := startRedis(t)
		k := openFleet(t, server, 1, nil)
		for range 2 { // so that there are as many revisions as keys for one of the numbers
			put(t, k, "a", "v")
		}
		txn := &pb.TxnRequest{}
		for j := range keys {
			txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", j)}}})
		}
		if _, err := k.Txn(t.Context(), txn); err != nil {
			t.Fatal(err)
		}
		moved(t, k, "k")
		first := put(t, k, "k0", "v")
		put(t, k, "k0", "w")
		page, err := k.Events(t.Context(), first, 1<<20, false)
		if err != nil || len(page.Events) != 2 {
			t.Errorf("with %d keys: %d events, %v", keys, len(page.Events), err)
		}
	}
}

// TestLeaseOfTheSameID: a lease that is granted anew has none of the keys that the one
// before had given to another shard.
func TestLeaseOfTheSameID(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	k := openFleet(t, server, 1, nil)
	const id = 7
	grant := func() {
		if _, _, err := k.LeaseGrant(t.Context(), id, 600); err != nil {
			t.Fatal(err)
		}
	}
	grant()
	if _, err := k.Put(t.Context(), &pb.PutRequest{Key: []byte("key"), Lease: id}); err != nil {
		t.Fatal(err)
	}
	moved(t, k, "k")
	first, err := k.LeaseRevoke(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	grant()
	if second, err := k.LeaseRevoke(t.Context(), id); err != nil || second != first {
		t.Errorf("revoked at %d and, without keys, at %d, %v", first, second, err)
	}
}

// TestEmptyRange: a range that ends before it begins holds nothing.
func TestEmptyRange(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	k := openFleet(t, server, 1, nil)
	last := put(t, k, "\x00", "v")
	if got := get(t, k, "b", "a", int64(last)); got.Count != 0 || len(got.Kvs) != 0 {
		t.Errorf("an empty range holds %v", got)
	}
}

// TestLastRecordGone: the home shard's last record may be dropped, or be another part of
// its transaction than the first; the keyspace is in service all the same.
func TestLastRecordGone(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	k := openFleet(t, server, 1, nil)
	put(t, k, "key", "v")
	moved(t, k, "k")
	txn := &pb.TxnRequest{}
	for _, key := range []string{"z", "a"} {
		txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key)}}})
	}
	if _, err := k.Txn(t.Context(), txn); err != nil {
		t.Fatal(err)
	}
	openFleet(t, server, 2, nil)
	if _, err := k.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte("a")}); err != nil {
		t.Fatal(err)
	}
	last := put(t, k, "z", "v")
	if _, err := k.Compact(t.Context(), last, true); err != nil {
		t.Fatal(err)
	}
	put(t, openFleet(t, server, 3, nil), "z", "w")
}

// TestTwiceInOneTransaction: what two transactions within one make of a key, the second
// one has made in the end, and the first one at no revision.
func TestTwiceInOneTransaction(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	k := openFleet(t, server, 1, nil)
	moved(t, k, "k")
	before := put(t, k, "k0", "v")
	nested := func(op *pb.RequestOp) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: []*pb.RequestOp{op}}}}
	}
	putOne := func(key string) *pb.RequestOp {
		return nested(&pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte("v")}}})
	}
	deleteOne := func(key string) *pb.RequestOp {
		return nested(&pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}}})
	}
	if _, err := k.Txn(t.Context(), &pb.TxnRequest{Success: []*pb.RequestOp{putOne("k1"), deleteOne("k1"), deleteOne("k0"), putOne("k0")}}); err != nil {
		t.Fatal(err)
	}
	last := put(t, k, "k2", "v")
	for at, want := range map[router.Revision]string{before: "k0 2.1", before + 1: "k0 3.1", last: "k0 3.1 k2 4.1", 0: "k0 3.1 k2 4.1"} {
		var got []string
		for _, kv := range get(t, k, "k", "l", int64(at)).Kvs {
			got = append(got, fmt.Sprintf("%s %d.%d", kv.Key, kv.ModRevision, kv.Version))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("at revision %d there is %q, want %q", at, got, want)
		}
	}
}

// TestRemovalGoesOn: a compaction goes on where another frontend died between the
// removal of a shard and that of the map which names it.
func TestRemovalGoesOn(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	k := openFleet(t, server, 1, nil)
	put(t, k, "key", "v")
	moved(t, k, "k")
	put(t, k, "key", "v")
	moved(t, k, "k")
	last := put(t, k, "key", "v")
	if err := shardClient(t, server, hot.HomeShard, "").ForgetShard(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := shardClient(t, server, 1, "").Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Compact(t.Context(), last, true); err != nil {
		t.Fatal(err)
	}
	topology, err := k.Topology(t.Context())
	if err != nil || len(topology.Shards) != 2 || topology.Shards[1].ID != 2 {
		t.Errorf("after the compaction: %+v, %v", topology, err)
	}
}
