package shards_test

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// hashSeed makes sums of events comparable.
var hashSeed = maphash.MakeSeed()

// watch follows everything on one frontend.
type watch struct {
	frontend *cluster.Frontend
	stop     context.CancelFunc
	running  sync.WaitGroup
	// at is the last revision it was told of, sum that of all events, in order.
	at  atomic.Int64
	sum uint64
}

func (w *watch) begin(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w.stop = cancel
	t.Cleanup(w.end)
	events := w.frontend.Client().Watch(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(2), clientv3.WithPrevKV())
	w.at.Store(1)
	w.running.Go(func() { w.follow(t, ctx, events) })
}

// follow checks that revisions are dense, and that each event says what it replaced.
func (w *watch) follow(t *testing.T, ctx context.Context, events clientv3.WatchChan) {
	values := make(map[string]string)
	for r := range events {
		if err := r.Err(); err != nil && ctx.Err() == nil {
			t.Errorf("watch on %s: %v", w.frontend.Name(), err)
			return
		}
		for _, e := range r.Events {
			before, at := w.at.Load(), e.Kv.ModRevision
			if at != before && at != before+1 {
				t.Errorf("watch on %s: after revision %d came %v", w.frontend.Name(), before, e)
				return
			}
			key := string(e.Kv.Key)
			if previous := string(e.PrevKv.GetValue()); previous != values[key] {
				t.Errorf("watch on %s: %v replaces %q, but the last value was %q", w.frontend.Name(), e, previous, values[key])
				return
			}
			values[key] = string(e.Kv.Value)
			w.sum = w.sum*31 + maphash.String(hashSeed, fmt.Sprint(e.Type, e.Kv))
			w.at.Store(at)
		}
	}
}

func (w *watch) end() {
	w.stop()
	w.running.Wait()
}
