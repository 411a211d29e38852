package main

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"
)

func TestHeadroomPercent(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	cases := []struct {
		name         string
		bytes, alive uint64
		sinceLast    time.Duration
		want         int
	}{
		{"little is alive", 64 * mib, 4 * mib, time.Second, 1600},
		{"nothing is known yet", 64 * mib, 0, time.Second, 6400},
		{"half of it is alive", 64 * mib, 32 * mib, time.Second, 200},
		{"more is alive", 64 * mib, 100 * mib, time.Second, gcPercentDefault},
		{"idle", 64 * mib, 4 * mib, idleCycle, gcPercentDefault},
	}
	for _, c := range cases {
		if got := headroomPercent(c.bytes, c.alive, c.sinceLast); got != c.want {
			t.Errorf("%s: %d %%, want %d %%", c.name, got, c.want)
		}
	}
}

// Not parallel: it changes a rule of the whole process.
func TestHeadroomFollowsTheCollector(t *testing.T) {
	before := heapGoal()
	stop := keepHeadroom(64<<20, time.Now)
	defer stop()
	deadline := time.After(patience)
	for heapGoal() < 64<<20 {
		select {
		case <-deadline:
			t.Fatalf("the heap may grow to %d bytes after many cycles, before the headroom to %d", heapGoal(), before)
		default:
			runtime.GC()
		}
	}
	stop()
	if runtime.GC(); heapGoal() >= 64<<20 {
		t.Errorf("the heap may grow to %d bytes after the end of the headroom", heapGoal())
	}
}

// heapGoal is the size of the heap at which the collector runs.
func heapGoal() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.NextGC
}

// A cycle that ends while the headroom is taken back must not bring it back.
func TestHeadroomEndsForGood(t *testing.T) {
	t.Parallel()
	var rule atomic.Int64
	h := &headroom{bytes: 64 << 20, now: time.Now, percent: gcPercentDefault, set: func(percent int) int {
		return int(rule.Swap(int64(percent)))
	}}
	h.last = time.Now()
	h.stopped.Store(true)
	h.afterCycle()
	if got := rule.Load(); got != gcPercentDefault {
		t.Errorf("the rule is %d %% after the end, want %d %%", got, gcPercentDefault)
	}
}

func TestHeadroomOf(t *testing.T) {
	t.Parallel()
	const wanted = 64 << 20
	cases := []struct {
		name    string
		environ []string
		limit   uint64
		want    uint64
	}{
		{"no limit", []string{"HOME=/"}, 0, wanted},
		{"much memory", nil, 4 << 30, wanted},
		{"little memory", nil, 128 << 20, 16 << 20},
		{"the user's own percentage", []string{"GOGC=100"}, 0, 0},
		{"the user's own limit", []string{"GOMEMLIMIT=1GiB"}, 0, 0},
		{"a variable that starts alike", []string{"GOGC_X=1"}, 0, wanted},
	}
	for _, c := range cases {
		if got := headroomOf(wanted, c.environ, c.limit); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, got, c.want)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		files map[string]string
		want  uint64
	}{
		{"no groups", nil, 0},
		{"a container of its own", map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "134217728\n",
		}, 128 << 20},
		{"no limit", map[string]string{
			"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n",
		}, 0},
		{"a limit further up", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1000\n", "sys/fs/cgroup/a/memory.max": "900\n",
		}, 900},
		{"version 1, with a path from outside", map[string]string{
			"proc/self/cgroup":                                 "7:cpu:/x\n4:memory,hugetlb:/pod/1\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":       "268435456\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes":     "1\n",
			"sys/fs/cgroup/memory/other/memory.limit_in_bytes": "2\n",
		}, 256 << 20},
		{"a name with colons", map[string]string{
			"proc/self/cgroup": "0::/a:b\n", "sys/fs/cgroup/a:b/memory.max": "77\n",
		}, 77},
		{"nonsense", map[string]string{"proc/self/cgroup": "x\n0\n\n0::/\n", "sys/fs/cgroup/memory.max": "-1\n"}, 0},
	}
	for _, c := range cases {
		root := fstest.MapFS{}
		for name, text := range c.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := memoryLimit(root); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, got, c.want)
		}
	}
}
