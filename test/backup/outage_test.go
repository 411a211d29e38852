package backup

import (
	"fmt"
	"testing"
	"time"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/objectstore"
)

// awaitMetric waits until a frontend shows a value that is as wanted.
func awaitMetric(t *testing.T, f *cluster.Frontend, name string, wanted func(float64) bool) {
	t.Helper()
	cluster.Await(t, bound, name+" of "+f.Name(), func() error {
		value, err := metric(f, name)
		if err == nil && !wanted(value) {
			err = fmt.Errorf("it is %v", value)
		}
		return err
	})
}

// TestObjectTierAway: while the object tier is away nobody notices but the operator, on every frontend; the archive
// catches up by itself, and has everything. One frontend is started meanwhile.
func TestObjectTierAway(t *testing.T) {
	t.Parallel()
	seed := seed(t)
	p := s3(t)
	c := cluster.Start(t, cluster.Options{Frontends: 2, Args: p.args(snapshotsOften...), Env: p.env(2)})
	l := startLoad(t, c, seed, 3, true)
	(&writers{frontends: c.Frontends, blocks: make(map[*cluster.Frontend]float64)}).await(t)
	late := cluster.NewFrontend(t, cluster.FrontendOptions{Name: "late", HotTier: c.HotTier[0], Args: p.args(snapshotsOften...), Env: objectstore.Env()})
	all := append([]*cluster.Frontend{late}, c.Frontends...)
	for i, fault := range []objectstore.Fault{objectstore.Denied, objectstore.Lost, objectstore.Busy}[:*outagesFlag] {
		began := time.Now()
		p.faults.Set(objectstore.Random(seed, 1, fault))
		if i == 0 {
			late.Start()
			late.AwaitReady()
		}
		pause(t.Context(), *loadFlag/2)
		grown := func(lag float64) bool { return lag > (*loadFlag / 4).Seconds() }
		for _, f := range all {
			awaitMetric(t, f, "tierd_archive_lag_seconds", grown)
			if err := f.Ready(); err != nil {
				t.Errorf("%s: %v", f.Name(), err)
			}
		}
		failing := 0.0
		for _, f := range all {
			value, err := metric(f, "tierd_archive_failing")
			if err != nil {
				t.Fatal(err)
			}
			failing += value
		}
		if failing == 0 {
			t.Errorf("no frontend says that it cannot write the archive (%s)", fault)
		}
		over := time.Now()
		p.faults.Set(nil)
		for _, f := range all {
			awaitMetric(t, f, "tierd_archive_lag_seconds", func(lag float64) bool { return lag < lagLow.Seconds() })
		}
		t.Logf("%s: away for %v; all is archived again %v after", fault, over.Sub(began).Round(time.Second), time.Since(over).Round(time.Second))
	}
	check(t, p, c, l, seed)
	for _, f := range all {
		awaitMetric(t, f, "tierd_archive_lag_seconds", func(lag float64) bool { return lag == 0 })
	}
}

// lagLow is a lag that there is only while the archive is written.
const lagLow = 1500 * time.Millisecond
