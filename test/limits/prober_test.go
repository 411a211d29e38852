package limits

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// prober is somebody else: a client that puts and one that gets, each one call after
// the other, while a test does what might disturb them.
type prober struct {
	*testing.T
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu   sync.Mutex
	took map[string][]time.Duration
	// ended says that a call has ended; over that no more begin.
	ended *sync.Cond
	over  bool
}

// probe starts one on connections of its own.
func probe(t *testing.T, endpoint string) *prober {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &prober{T: t, cancel: cancel, took: make(map[string][]time.Duration)}
	p.ended = sync.NewCond(&p.mu)
	for name, call := range map[string]func(*clientv3.Client) error{
		"put": func(c *clientv3.Client) error { _, err := c.Put(ctx, "probe", "v"); return err },
		"get": func(c *clientv3.Client) error { _, err := c.Get(ctx, "probe"); return err },
	} {
		client := cluster.Dial(t, endpoint)
		p.running.Go(func() {
			defer func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.over = true
				p.ended.Broadcast()
			}()
			for ctx.Err() == nil {
				begin := time.Now()
				if err := call(client); err != nil {
					if ctx.Err() == nil {
						t.Errorf("the probe's %s failed: %v", name, err)
					}
					return
				}
				p.mu.Lock()
				p.took[name] = append(p.took[name], time.Since(begin))
				p.ended.Broadcast()
				p.mu.Unlock()
			}
		})
	}
	t.Cleanup(p.stop)
	return p
}

func (p *prober) stop() {
	p.cancel()
	p.running.Wait()
}

// during reports what the calls took that were under way while something was done.
func (p *prober) during(what string, do func()) {
	p.Helper()
	p.mu.Lock()
	clear(p.took)
	p.mu.Unlock()
	begin := time.Now()
	do()
	elapsed := time.Since(begin)
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, before := range map[string]int{"put": len(p.took["put"]), "get": len(p.took["get"])} {
		for len(p.took[name]) == before && !p.over { // the one that is under way
			p.ended.Wait()
		}
	}
	line := fmt.Sprintf("%-44s %8s;", what, elapsed.Round(time.Millisecond))
	for _, name := range []string{"put", "get"} {
		line += fmt.Sprintf(" %s %s;", name, quantiles(p.took[name]))
	}
	p.Log(line)
}

// quantiles writes the median, the 99th percentile and the longest of some times.
func quantiles(times []time.Duration) string {
	if len(times) == 0 {
		return "none ended"
	}
	slices.Sort(times)
	at := func(part float64) time.Duration {
		return times[min(len(times)-1, int(part*float64(len(times))))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%d, p50 %v, p99 %v, max %v", len(times), at(0.5), at(0.99), at(1))
}
