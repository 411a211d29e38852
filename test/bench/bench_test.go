//go:build bench

// Package bench measures tierd against real etcd: the same load on the same machine
// in the same run, in turns, both with fsync before every answer.
package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tierd/tierd/test/cluster"
)

const (
	rounds      = 3
	roundTime   = 4 * time.Second
	valueBytes  = 512
	keys        = 10000
	connections = 10
)

// system is a server under load.
type system struct {
	name     string
	endpoint string
	pids     []int
}

// workload is one kind of call; it is made by so many clients at once.
type workload struct {
	name    string
	clients int
	call    func(ctx context.Context, client *clientv3.Client, worker, i int) error
}

// figures are what one round measured.
type figures struct {
	perSecond, cpuMicros float64
	p50, p99             time.Duration
}

func TestCompareWithEtcd(t *testing.T) {
	systems := []system{startTierd(t), startEtcd(t)}
	value := strings.Repeat("v", valueBytes)
	key := func(worker, i int) string { return fmt.Sprintf("/registry/bench/%048d", (worker*7919+i)%keys) }
	put := func(ctx context.Context, c *clientv3.Client, w, i int) error {
		_, err := c.Put(ctx, key(w, i), value)
		return err
	}
	get := func(ctx context.Context, c *clientv3.Client, w, i int) error {
		_, err := c.Get(ctx, key(w, i))
		return err
	}
	list := func(ctx context.Context, c *clientv3.Client, _, _ int) error {
		_, err := c.Get(ctx, "/registry/bench/", clientv3.WithPrefix(), clientv3.WithLimit(1000))
		return err
	}
	swap := func(ctx context.Context, c *clientv3.Client, w, i int) error {
		k := fmt.Sprintf("/registry/swap/%d", w)
		got, err := c.Get(ctx, k)
		if err != nil {
			return err
		}
		var mod int64
		if len(got.Kvs) > 0 {
			mod = got.Kvs[0].ModRevision
		}
		_, err = c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(k), "=", mod)).
			Then(clientv3.OpPut(k, value)).Else(clientv3.OpGet(k)).Commit()
		return err
	}
	fmt.Printf("| workload | tierd /s | etcd /s | ratio | tierd p50, p99 | etcd p50, p99 | server CPU per call, tierd | etcd | ratio |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, w := range []workload{
		{"put, 1 client", 1, put}, {"put, 100 clients", 100, put}, {"get, 1 client", 1, get}, {"get, 100 clients", 100, get},
		{"get and compare-and-swap, 100 clients", 100, swap}, {"list of 1,000, 4 clients", 4, list},
	} {
		if only := os.Getenv("TIERD_BENCH_ONLY"); only != "" && !strings.Contains(w.name, only) {
			continue
		}
		results := make([][]figures, len(systems))
		for range rounds {
			for i, s := range systems {
				results[i] = append(results[i], measure(t, s, w))
			}
		}
		a, b := median(results[0]), median(results[1])
		fmt.Printf("| %s | %.0f | %.0f | %.2f | %s, %s | %s, %s | %.0f us | %.0f us | %.2f |\n", w.name, a.perSecond, b.perSecond, a.perSecond/b.perSecond,
			a.p50.Round(10*time.Microsecond), a.p99.Round(10*time.Microsecond), b.p50.Round(10*time.Microsecond), b.p99.Round(10*time.Microsecond),
			a.cpuMicros, b.cpuMicros, a.cpuMicros/b.cpuMicros)
	}
}

// median is the round with the median throughput.
func median(of []figures) figures {
	slices.SortFunc(of, func(a, b figures) int { return int(a.perSecond - b.perSecond) })
	return of[len(of)/2]
}

func measure(t *testing.T, s system, w workload) figures {
	t.Helper()
	clients := make([]*clientv3.Client, min(connections, w.clients))
	for i := range clients {
		clients[i] = dial(t, s.endpoint)
		defer clients[i].Close()
	}
	var mu sync.Mutex
	var all []time.Duration
	var workers sync.WaitGroup
	before, started := cpu(t, s.pids), time.Now()
	for n := range w.clients {
		workers.Go(func() {
			var took []time.Duration
			for i := 0; time.Since(started) < roundTime; i++ {
				begin := time.Now()
				if err := w.call(t.Context(), clients[n%len(clients)], n, i); err != nil {
					t.Errorf("%s on %s: %v", w.name, s.name, err)
					break
				}
				took = append(took, time.Since(begin))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
		})
	}
	workers.Wait()
	used, elapsed := cpu(t, s.pids)-before, time.Since(started)
	slices.Sort(all)
	if len(all) == 0 {
		t.Fatalf("%s on %s: no call succeeded", w.name, s.name)
	}
	return figures{
		perSecond: float64(len(all)) / elapsed.Seconds(), cpuMicros: float64(used.Microseconds()) / float64(len(all)),
		p50: all[len(all)/2], p99: all[len(all)*99/100],
	}
}

func dial(t *testing.T, endpoint string) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// cpu is the processor time that processes have used, from /proc/PID/stat.
func cpu(t *testing.T, pids []int) time.Duration {
	t.Helper()
	const ticksPerSecond = 100
	var ticks int64
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		for _, field := range strings.Fields(rest)[11:13] {
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

func startTierd(t *testing.T) system {
	f := cluster.StartFrontend(t, cluster.FrontendOptions{Args: []string{"--quota-backend-bytes", strconv.Itoa(8 << 30)}})
	return system{name: "tierd", endpoint: f.Endpoint(), pids: []int{f.PID(), f.LocalRedisPID()}}
}

func startEtcd(t *testing.T) system {
	dir := cluster.Folder(t)
	binary := filepath.Join(dir, "etcd")
	if out, err := exec.Command("go", "build", "-o", binary, "./etcd").CombinedOutput(); err != nil {
		t.Fatalf("build etcd: %v\n%s", err, out)
	}
	ports := cluster.FreePorts(t, 2)
	endpoint := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	process := cluster.NewProcess(t, cluster.Command{
		Name: "etcd", Path: binary, Args: []string{filepath.Join(dir, "data"), endpoint, fmt.Sprintf("http://127.0.0.1:%d", ports[1])}, LogDir: dir,
	})
	process.Start()
	client := dial(t, endpoint)
	defer client.Close()
	cluster.Await(t, time.Minute, "etcd answers", func() error {
		_, err := client.Get(t.Context(), "x")
		return err
	})
	return system{name: "etcd", endpoint: endpoint, pids: []int{process.PID()}}
}
