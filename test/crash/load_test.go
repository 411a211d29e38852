package crash

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/tierd/tierd/test/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// load is a number of clients that write, each key once, and remember what was
// acknowledged.
type load struct {
	cancel  context.CancelFunc
	writers sync.WaitGroup

	mu           sync.Mutex
	acknowledged map[string]int64
	progress     *sync.Cond
}

func startLoad(t *testing.T, c *cluster.Cluster, writers int) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel, acknowledged: make(map[string]int64)}
	l.progress = sync.NewCond(&l.mu)
	for w := range writers {
		client := c.Frontends[w%len(c.Frontends)].Client()
		l.writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				l.write(ctx, client, fmt.Sprintf("load-%d-%d", w, i))
			}
		})
	}
	t.Cleanup(func() { l.stop() })
	return l
}

// write puts one key, once: one that failed may have been done or not.
func (l *load) write(ctx context.Context, client *clientv3.Client, key string) {
	bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := client.Put(bounded, key, key)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acknowledged[key] = resp.Header.Revision
	l.progress.Broadcast()
}

// awaitAcknowledged waits until that many writes were acknowledged.
func (l *load) awaitAcknowledged(t *testing.T, n int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.acknowledged) < n {
		l.progress.Wait()
	}
}

// acknowledgedNow is how many writes were acknowledged so far.
func (l *load) acknowledgedNow() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged)
}

// stop ends the clients and gives what was acknowledged.
func (l *load) stop() map[string]int64 {
	l.cancel()
	l.writers.Wait()
	return l.acknowledged
}
