package shards

import (
	"context"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/oracle"
)

// historyBound is how long a watch may take to tell of everything; far above what is
// normal. leaseForever is a time to live in seconds that no test outlasts.
const (
	historyBound = time.Minute
	leaseForever = 3600
)

// History is every event up to the current revision, as a watch from the beginning
// tells it, by revision from 2 on. It fails the test if a revision is missing or comes
// twice.
func History(t *testing.T, client *clientv3.Client) [][]*clientv3.Event {
	t.Helper()
	now, err := client.Get(t.Context(), "any")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), historyBound)
	defer cancel()
	var all [][]*clientv3.Event
	last := int64(1)
	watch := client.Watch(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(2))
	for last < now.Header.Revision {
		r, ok := <-watch
		if !ok || r.Err() != nil {
			t.Fatalf("the watch of everything ended at revision %d of %d: %v", last, now.Header.Revision, r.Err())
		}
		for _, e := range r.Events {
			switch e.Kv.ModRevision {
			case last:
				all[len(all)-1] = append(all[len(all)-1], e)
			case last + 1:
				all = append(all, []*clientv3.Event{e})
				last++
			default:
				t.Fatalf("after revision %d came %v", last, e)
			}
		}
	}
	return all
}

// SameAsEtcd gives the history to a real etcd, and compares the hashes of the last
// revision and of some before, through every frontend. Nothing may be compacted.
func SameAsEtcd(t *testing.T, frontends []*cluster.Frontend) {
	t.Helper()
	etcd := oracle.Start(t, oracle.Options{}).Client()
	all := History(t, frontends[0].Client())
	feed(t, etcd, all)
	last := int64(len(all) + 1)
	for _, at := range []int64{last, last - 1, last / 2, last / 3, 2} {
		want, err := etcd.HashKV(t.Context(), etcd.Endpoints()[0], at)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frontends {
			got, err := f.Client().HashKV(t.Context(), f.Endpoint(), at)
			if err != nil {
				t.Fatal(err)
			}
			if got.Hash != want.Hash {
				t.Errorf("at revision %d of %d %s has hash %d, etcd fed the same events has %d", at, last, f.Name(), got.Hash, want.Hash)
			}
		}
	}
}

// feed makes the same revisions in etcd, each with one transaction.
func feed(t *testing.T, etcd *clientv3.Client, all [][]*clientv3.Event) {
	t.Helper()
	granted := make(map[int64]bool)
	for i, events := range all {
		txn := &pb.TxnRequest{}
		for _, e := range events {
			if id := e.Kv.Lease; id != 0 && !granted[id] {
				granted[id] = true
				if _, err := pb.NewLeaseClient(etcd.ActiveConnection()).LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: id, TTL: leaseForever}); err != nil {
					t.Fatal(err)
				}
			}
			op := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: e.Kv.Key, Value: e.Kv.Value, Lease: e.Kv.Lease}}}
			if e.Type == mvccpb.Event_DELETE {
				op = &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: e.Kv.Key}}}
			}
			txn.Success = append(txn.Success, op)
		}
		resp, err := pb.NewKVClient(etcd.ActiveConnection()).Txn(t.Context(), txn)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Header.Revision != int64(i+2) {
			t.Fatalf("etcd made revision %d of revision %d: %v", resp.Header.Revision, i+2, events)
		}
	}
}
