package torture

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/oracle"
	"github.com/tierd/tierd/test/torture/check"
	"github.com/tierd/tierd/test/torture/load"
)

// leaseForever is a time to live in seconds that no test outlasts.
const leaseForever = 3600

// hashesCompared is how many revisions are compared with etcd, beside the last.
const hashesCompared = 6

// sameAsEtcd feeds the history to a real etcd and compares hashes: of the last
// revision and of some before, through both frontends.
func sameAsEtcd(t *testing.T, c *cluster.Cluster, revisions []check.Revision) {
	t.Helper()
	etcd := oracle.Start(t, oracle.Options{}).Client()
	feed(t, etcd, revisions)
	last := revisions[len(revisions)-1].Number
	compacted := hash(t, c.Frontends[0].Client(), last).CompactRevision
	if compacted > 0 {
		if _, err := etcd.Compact(t.Context(), compacted, clientv3.WithCompactPhysical()); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(uint64(last), 0))
	at := []int64{last}
	for lowest := max(compacted, 1) + 1; len(at) <= hashesCompared && lowest < last; {
		at = append(at, lowest+random.Int64N(last-lowest))
	}
	for _, revision := range at {
		want := hash(t, etcd, revision)
		for _, f := range c.Frontends {
			got := hash(t, f.Client(), revision)
			if got.Hash != want.Hash || got.CompactRevision != want.CompactRevision {
				t.Errorf("at revision %d %s has hash %d (compacted %d), etcd fed the same events has %d (compacted %d)",
					revision, f.Name(), got.Hash, got.CompactRevision, want.Hash, want.CompactRevision)
			}
		}
	}
}

func hash(t *testing.T, client *clientv3.Client, revision int64) *clientv3.HashKVResponse {
	t.Helper()
	response, err := client.HashKV(t.Context(), client.Endpoints()[0], revision)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// feed makes the same revisions in etcd, each with one transaction.
func feed(t *testing.T, etcd *clientv3.Client, revisions []check.Revision) {
	t.Helper()
	kv, leases := pb.NewKVClient(etcd.ActiveConnection()), pb.NewLeaseClient(etcd.ActiveConnection())
	granted := make(map[int64]bool)
	for _, revision := range revisions {
		txn := &pb.TxnRequest{}
		for _, e := range revision.Events {
			txn.Success = append(txn.Success, again(e))
			if id := e.Kv.Lease; id != 0 && !granted[id] {
				granted[id] = true
				if _, err := leases.LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: id, TTL: leaseForever}); err != nil {
					t.Fatal(err)
				}
			}
		}
		response, err := kv.Txn(t.Context(), txn)
		if err != nil {
			t.Fatal(err)
		}
		if response.Header.Revision != revision.Number {
			t.Fatalf("etcd made revision %d of revision %d: %v", response.Header.Revision, revision.Number, revision.Events)
		}
	}
}

// again is what makes an event happen.
func again(e *mvccpb.Event) *pb.RequestOp {
	if e.Type == mvccpb.Event_DELETE {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: e.Kv.Key}}}
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: e.Kv.Key, Value: e.Kv.Value, Lease: e.Kv.Lease}}}
}

// TestEtcdPasses: the same load on a real etcd, without faults, is found to be
// right. Otherwise the model and the checks would be of another store.
func TestEtcdPasses(t *testing.T) {
	t.Parallel()
	const calls = 3000
	etcd := oracle.Start(t, oracle.Options{})
	l, err := load.Start(load.Settings{
		Seed: uint64(time.Now().UnixNano()), Clients: clients, Pause: pauseMean, Timeout: callTimeout, CallsMax: calls,
	}, []string{etcd.Endpoint(), etcd.Endpoint()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Abort()
	cluster.Await(t, settleBound, "all calls are made", func() error {
		if !l.Exhausted() {
			return errors.New("some are left")
		}
		return nil
	})
	l.Stop()
	client := etcd.Client()
	ctx, cancel := context.WithTimeout(t.Context(), settleBound)
	defer cancel()
	cluster.Await(t, settleBound, "every lease has ended", func() error { return noLeases(ctx, client) })
	now, err := client.Get(ctx, "any")
	if err != nil {
		t.Fatal(err)
	}
	h, err := l.Finish(now.Header.Revision, settleBound)
	if err != nil {
		t.Error(err)
	}
	judge(t, h)
}
