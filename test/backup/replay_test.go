package backup

import (
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/tierd/tierd/test/oracle"
)

// replay is a real etcd that is given the recorded operations, one revision after the other.
type replay struct {
	client    *clientv3.Client
	endpoint  string
	left      []*clientv3.Event
	at        int64
	compacted int64
	leases    map[int64]bool
}

const (
	// leaseSeconds is longer than any test.
	leaseSeconds = 1_000_000
	opsMax       = 10_000
)

func newReplay(t *testing.T, events []*clientv3.Event) *replay {
	t.Helper()
	server := oracle.Start(t, oracle.Options{Configure: func(c *embed.Config) { c.MaxTxnOps = opsMax }})
	return &replay{client: server.Client(), endpoint: server.Endpoint(), left: events, at: 1, compacted: -1, leases: make(map[int64]bool)}
}

// advance brings etcd to a revision.
func (r *replay) advance(t *testing.T, to int64) {
	t.Helper()
	for r.at < to {
		var ops []clientv3.Op
		next := r.left[0].Kv.ModRevision
		for len(r.left) > 0 && r.left[0].Kv.ModRevision == next {
			ops = append(ops, r.op(t, r.left[0]))
			r.left = r.left[1:]
		}
		done, err := r.client.Txn(t.Context()).Then(ops...).Commit()
		if err != nil {
			t.Fatalf("give etcd revision %d: %v", next, err)
		}
		if r.at = done.Header.Revision; r.at != next {
			t.Fatalf("etcd is at revision %d after the operations of %d", r.at, next)
		}
	}
}

func (r *replay) op(t *testing.T, e *clientv3.Event) clientv3.Op {
	t.Helper()
	if e.Type == clientv3.EventTypeDelete {
		return clientv3.OpDelete(string(e.Kv.Key))
	}
	if e.Kv.Lease == 0 {
		return clientv3.OpPut(string(e.Kv.Key), string(e.Kv.Value))
	}
	if !r.leases[e.Kv.Lease] {
		if err := grantAs(t.Context(), r.client, e.Kv.Lease, leaseSeconds); err != nil {
			t.Fatal(err)
		}
		r.leases[e.Kv.Lease] = true
	}
	return clientv3.OpPut(string(e.Kv.Key), string(e.Kv.Value), clientv3.WithLease(clientv3.LeaseID(e.Kv.Lease)))
}

// hash is etcd's at a revision, with that one compacted. Revisions and compacted ones must not fall. It is not known at
// the compacted revision itself, for which etcd goes on answering with the hash from before its compaction.
func (r *replay) hash(t *testing.T, at, compacted int64) (hash uint32, known bool) {
	t.Helper()
	r.advance(t, at)
	if compacted > r.compacted {
		if _, err := r.client.Compact(t.Context(), compacted, clientv3.WithCompactPhysical()); err != nil {
			t.Fatal(err)
		}
		r.compacted = compacted
	}
	if compacted != r.compacted {
		t.Fatalf("at revision %d the compacted revision is %d, and was %d before", at, compacted, r.compacted)
	}
	answer, err := r.client.HashKV(t.Context(), r.endpoint, at)
	if err != nil {
		t.Fatal(err)
	}
	if answer.CompactRevision != compacted && at == compacted {
		return 0, false
	}
	if answer.CompactRevision != compacted {
		t.Fatalf("etcd is compacted at %d, want %d", answer.CompactRevision, compacted)
	}
	return answer.Hash, true
}
