package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/torture/check"
	"github.com/tierd/tierd/test/torture/history"
	"github.com/tierd/tierd/test/torture/load"
)

const (
	clients = 20
	// pauseMean keeps a round at about a thousand calls each second.
	pauseMean = 7 * time.Millisecond
	// callsMax bounds a history, and the memory that porcupine takes with it.
	callsMax = 30000
	// settleBound is how long anything may take that comes to rest after the faults.
	settleBound = time.Minute
	// searchBound is how long porcupine may search; some seconds are normal.
	searchBound = 2 * time.Minute
)

// figures are what a round shows.
type figures struct {
	calls, acknowledged, unknown, resolved, expired, events, kills, changes int
	revisions                                                               int64
	took, checking                                                          time.Duration
}

func (f figures) String() string {
	return fmt.Sprintf("%5.1fs: %d calls, %d acknowledged, %d unknown (%d of them done), %d revisions, %d leases ended, %d kills, %d changes of the shard map, %d watch events, checked in %.2fs",
		f.took.Seconds(), f.calls, f.acknowledged, f.unknown, f.resolved, f.revisions, f.expired, f.kills, f.changes, f.events, f.checking.Seconds())
}

// round runs one plan on a new store, and checks what came of it.
func round(t *testing.T, seed uint64, plan []fault, size size, instrumented bool) figures {
	t.Helper()
	began := time.Now()
	c := cluster.Start(t, cluster.Options{
		Frontends: size.frontends, Servers: size.servers, Databases: size.databases, Wires: 1, Race: instrumented,
		Args: []string{"--watch-progress-notify-interval", "200ms", "--balance=false"},
	})
	spread(t, c, size)
	l, err := load.Start(load.Settings{Seed: seed, Clients: clients, Pause: pauseMean, Timeout: callTimeout, CallsMax: callsMax}, c.Endpoints())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Abort()
	n := &nemesis{t: t, ctx: t.Context(), load: l, frontends: c.Frontends, servers: c.Servers, wires: c.Wires}
	judged := false
	defer func() {
		if !judged { // the test has ended before: keep what there is
			h, _ := l.Finish(0, 0)
			h.Faults = n.done
			keep(t, h)
		}
	}()
	steady := change(t, c, seed, size)
	n.run(plan)
	changes := steady()
	l.Stop()
	last := settle(t, c, l)
	h, err := l.Finish(last, settleBound)
	h.Faults, judged = n.done, true
	if err != nil {
		t.Errorf("%v", err)
	}
	loaded := time.Now()
	report := judge(t, h)
	checked := time.Now()
	unmoved(t, c, last)
	if !t.Failed() {
		sameAsEtcd(t, c, report.Revisions)
	}
	return figures{
		calls: len(h.Operations), acknowledged: h.Count(history.Acknowledged), unknown: h.Count(history.Unknown), resolved: report.Resolved,
		expired: report.Expired, events: h.Events(), kills: n.kills, revisions: last, took: loaded.Sub(began), checking: checked.Sub(loaded), changes: changes,
	}
}

// settle waits until nothing changes any more: every frontend is ready, every
// lease has ended, and everything that was asked for is over. It gives the last
// revision.
func settle(t *testing.T, c *cluster.Cluster, l *load.Load) int64 {
	t.Helper()
	for _, f := range c.Frontends {
		f.AwaitReady()
	}
	ctx, cancel := context.WithTimeout(t.Context(), settleBound)
	defer cancel()
	if err := l.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
	client := c.Frontends[0].Client()
	cluster.Await(t, settleBound, "every lease has ended", func() error { return noLeases(ctx, client) })
	all, err := client.Get(ctx, "", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range all.Kvs {
		if kv.Lease != 0 {
			t.Errorf("a key has outlived its lease: %v", kv)
		}
	}
	return all.Header.Revision
}

func noLeases(ctx context.Context, client *clientv3.Client) error {
	leases, err := client.Leases(ctx)
	if err == nil && len(leases.Leases) > 0 {
		err = fmt.Errorf("%d are left", len(leases.Leases))
	}
	return err
}

// unmoved checks that the store stands still at its last revision, and that no
// alarm is up.
func unmoved(t *testing.T, c *cluster.Cluster, last int64) {
	t.Helper()
	for _, f := range c.Frontends {
		client := f.Client()
		now, err := client.Get(t.Context(), "any")
		if err != nil {
			t.Fatal(err)
		}
		if now.Header.Revision != last {
			t.Errorf("%s is at revision %d; when all was over the store was at %d", f.Name(), now.Header.Revision, last)
		}
		alarms, err := client.AlarmList(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(alarms.Alarms) > 0 {
			t.Errorf("alarms are up: %v", alarms.Alarms)
		}
	}
}

// judge checks a history, and saves one that fails.
func judge(t *testing.T, h *history.History) *check.Report {
	t.Helper()
	folder := artifacts(t, h)
	report := check.Check(h, check.Settings{Bound: searchBound, Visualize: folder.picture()})
	for _, v := range report.Violations {
		t.Errorf("%v", v)
	}
	if t.Failed() {
		folder.save(t, h)
	} else {
		folder.drop(t)
	}
	return report
}

// keep saves a history that could not be finished.
func keep(t *testing.T, h *history.History) {
	t.Helper()
	artifacts(t, h).save(t, h)
}

// seeded gives the random numbers of a round's faults.
func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1<<63)) }
