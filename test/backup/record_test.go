package backup

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// record is what a watcher and the clients know of a keyspace.
type record struct {
	mu sync.Mutex
	// events are all there were from revision 2 on, in order; at is the last one's revision.
	events []*clientv3.Event
	at     int64
	writes []write
	leases map[int64]*leaseRecord
	// compactions are those that were asked for, in order of the asking.
	compactions []*compaction
}

// write is an acknowledged one.
type write struct {
	began, ended time.Time
	revision     int64
}

// leaseRecord is what is known of a lease. Times are told by revisions: of what began when before was
// the current revision or later, and was acknowledged with the revision after.
type leaseRecord struct {
	ttl                       int64
	before, after             int64 // of the grant; after 0 if it was not acknowledged
	ending                    bool  // a revoke was tried
	endingBefore, endingAfter int64
	short                     bool // it may expire at any time
}

// compaction is one that was asked for.
type compaction struct{ revision, before, after int64 }

func newRecord() *record { return &record{leases: make(map[int64]*leaseRecord), at: 1} }

// watch writes down every event from the first one on, through any frontend, until ctx ends.
func (r *record) watch(ctx context.Context, t *testing.T, client *clientv3.Client) {
	for ctx.Err() == nil {
		for response := range client.Watch(clientv3.WithRequireLeader(ctx), "", clientv3.WithPrefix(), clientv3.WithRev(r.revision()+1)) {
			if response.CompactRevision > 0 {
				t.Errorf("the watcher came too late: it was at revision %d, compacted is %d", r.revision(), response.CompactRevision)
				return
			}
			if response.Err() != nil {
				break
			}
			if err := r.take(response.Events); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

func (r *record) take(events []*clientv3.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		if e.Kv.ModRevision != r.at && e.Kv.ModRevision != r.at+1 {
			return fmt.Errorf("the watch goes from revision %d to %d", r.at, e.Kv.ModRevision)
		}
		r.at = e.Kv.ModRevision
		r.events = append(r.events, e)
	}
	return nil
}

func (r *record) revision() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *record) wrote(began time.Time, revision int64) {
	ended := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, write{began: began, ended: ended, revision: revision})
}

// await waits until the watcher was told of a revision.
func (r *record) await(t *testing.T, revision int64) {
	t.Helper()
	cluster.Await(t, bound, "the watcher was told of everything", func() error {
		if at := r.revision(); at < revision {
			return fmt.Errorf("it is at revision %d of %d", at, revision)
		}
		return nil
	})
}

// state is what the keys were at a revision, by the events, and the versions there were.
func (r *record) state(t *testing.T, at int64) map[string]*mvccpb.KeyValue {
	t.Helper()
	live := make(map[string]*mvccpb.KeyValue)
	for _, e := range r.events {
		if e.Kv.ModRevision > at {
			break
		}
		key := string(e.Kv.Key)
		if e.Type == clientv3.EventTypeDelete {
			delete(live, key)
			continue
		}
		create, version := e.Kv.ModRevision, int64(1)
		if old := live[key]; old != nil {
			create, version = old.CreateRevision, old.Version+1
		}
		if e.Kv.CreateRevision != create || e.Kv.Version != version {
			t.Fatalf("the watcher was told of %s with create revision %d and version %d, want %d and %d", key, e.Kv.CreateRevision, e.Kv.Version, create, version)
		}
		live[key] = e.Kv
	}
	return live
}
