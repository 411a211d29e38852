package maintenance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/router"
)

// reference is a real etcd with a history, and a fake keyspace that has lived
// through the same one.
type reference struct {
	t      *testing.T
	client *clientv3.Client
	random *rand.Rand
	copied *keyspace
	watch  clientv3.WatchChan
	leases []clientv3.LeaseID
}

// follow begins to copy the history of a fresh etcd.
func follow(t *testing.T, client *clientv3.Client, seed uint64) *reference {
	t.Helper()
	t.Logf("seed %d", seed)
	r := &reference{
		t: t, client: client, random: rand.New(rand.NewPCG(seed, 0)),
		copied: &keyspace{current: 1, compacted: -1},
		watch:  client.Watch(t.Context(), "", clientv3.WithPrefix(), clientv3.WithRev(1)),
	}
	for range 3 {
		grant, err := client.Grant(t.Context(), 3600)
		if err != nil {
			t.Fatal(err)
		}
		r.leases = append(r.leases, grant.ID)
		r.copied.leases = append(r.copied.leases, router.Lease{ID: int64(grant.ID), GrantedTTL: grant.TTL})
	}
	return r
}

// random operations on few keys, so that keys are overwritten, deleted and made
// again; transactions touch several keys in one revision.
func (r *reference) write(operations int) {
	r.t.Helper()
	var last int64
	for range operations {
		seen := make(map[string]bool)
		var ops []clientv3.Op
		for range 1 + r.random.IntN(4) {
			key := fmt.Sprintf("key/%02d", r.random.IntN(25))
			if seen[key] {
				continue
			}
			seen[key] = true
			ops = append(ops, r.operation(key))
		}
		resp, err := r.client.Txn(r.t.Context()).Then(ops...).Commit()
		if err != nil {
			r.t.Fatal(err)
		}
		last = resp.Header.Revision
	}
	r.catchUp(last)
}

func (r *reference) operation(key string) clientv3.Op {
	switch r.random.IntN(6) {
	case 0, 1:
		return clientv3.OpDelete(key)
	case 2:
		lease := r.leases[r.random.IntN(len(r.leases))]
		return clientv3.OpPut(key, r.value(), clientv3.WithLease(lease))
	default:
		return clientv3.OpPut(key, r.value())
	}
}

func (r *reference) value() string {
	return fmt.Sprintf("%0*x", r.random.IntN(40), r.random.Uint32())
}

// catchUp waits until the copy has reached a revision.
func (r *reference) catchUp(revision int64) {
	r.t.Helper()
	for int64(r.copied.LastRevision()) < revision {
		resp, open := <-r.watch
		if err := resp.Err(); !open || err != nil {
			r.t.Fatalf("the watch ended: %v", err)
		}
		for events := resp.Events; len(events) > 0; {
			n := 1
			for n < len(events) && events[n].Kv.ModRevision == events[0].Kv.ModRevision {
				n++
			}
			one := make([]*mvccpb.Event, n)
			for i := range one {
				one[i] = (*mvccpb.Event)(events[i])
			}
			r.copied.apply(one...)
			events = events[n:]
		}
	}
}

// compact compacts both at a revision, the real one down to its database.
func (r *reference) compact(revision int64) {
	r.t.Helper()
	if _, err := r.client.Compact(r.t.Context(), revision, clientv3.WithCompactPhysical()); err != nil {
		r.t.Fatal(err)
	}
	r.copied.compact(router.Revision(revision))
}

// deleteAll deletes every key, in one revision.
func (r *reference) deleteAll() {
	r.t.Helper()
	resp, err := r.client.Delete(r.t.Context(), "", clientv3.WithPrefix())
	if err != nil {
		r.t.Fatal(err)
	}
	r.catchUp(resp.Header.Revision)
}

func (r *reference) current() int64 { return int64(r.copied.LastRevision()) }

// between picks a revision from low to high, both possible.
func (r *reference) between(low, high int64) int64 { return low + r.random.Int64N(high-low+1) }

func hashOf(ctx context.Context, t *testing.T, client *clientv3.Client, revision int64) *clientv3.HashKVResponse {
	t.Helper()
	resp, err := client.HashKV(ctx, client.Endpoints()[0], revision)
	if err != nil {
		t.Fatalf("etcd's hash of revision %d: %v", revision, err)
	}
	return resp
}
