//go:build bench

package privilege

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// TestAuditCost measures puts and gets a second with an audit log and without, in turns.
//
//	go test -tags bench -count 1 -v -run TestAuditCost ./test/privilege
func TestAuditCost(t *testing.T) {
	const clients, rounds, each = 64, 3, 4 * time.Second
	redis := cluster.StartRedis(t, cluster.RedisOptions{Config: []string{"--appendfsync", "no"}})
	frontends := map[string]*cluster.Frontend{}
	for name, arguments := range map[string][]string{"without": nil, "with": {"--audit-log", filepath.Join(cluster.Folder(t), "audit")}} {
		frontends[name] = cluster.StartFrontend(t, cluster.FrontendOptions{
			HotTier: redis.URL(), Name: name, Args: append(arguments, "--object-tier", "none", "--keyspace", name),
		})
	}
	for round := range rounds {
		for name, f := range frontends {
			for kind, call := range map[string]func(context.Context, *clientv3.Client, int) error{
				"put": func(ctx context.Context, c *clientv3.Client, i int) error {
					_, err := c.Put(ctx, fmt.Sprint("/registry/pods/default/pod-", i%10_000), "value")
					return err
				},
				"get": func(ctx context.Context, c *clientv3.Client, i int) error {
					_, err := c.Get(ctx, fmt.Sprint("/registry/pods/default/pod-", i%10_000))
					return err
				},
			} {
				before := cpuTime(t, f.PID())
				calls := rate(t, f, clients, each, call)
				used := cpuTime(t, f.PID()) - before
				t.Logf("round %d, %s: %.0f %ss/s, %.1f us of the frontend's processor time each", round, name,
					calls, kind, float64(used.Microseconds())/(calls*each.Seconds()))
			}
		}
	}
}

// rate is how many calls a second some clients make.
func rate(t *testing.T, f *cluster.Frontend, clients int, each time.Duration, call func(context.Context, *clientv3.Client, int) error) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), each)
	defer cancel()
	var done atomic.Int64
	var running sync.WaitGroup
	began := time.Now()
	for n := range clients {
		client := f.Client()
		running.Go(func() {
			for i := n; ctx.Err() == nil; i += clients {
				if err := call(ctx, client, i); err == nil {
					done.Add(1)
				}
			}
		})
	}
	running.Wait()
	return float64(done.Load()) / time.Since(began).Seconds()
}

// cpuTime is the processor time that a process has used.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // after the name, which may have blanks
	fields := strings.Fields(rest)
	const user, system, hertz = 11, 12, 100
	ticks := 0
	for _, at := range []int{user, system} {
		n, err := strconv.Atoi(fields[at])
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / hertz
}
