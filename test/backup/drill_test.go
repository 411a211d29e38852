package backup

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

var drillFlag = flag.Int("drill", 2000, "how many keys of 1 KB there are when everything is lost")

// drillWriters write while it happens.
const drillWriters = 20

// entry is what a writer of the drill was told.
type entry struct {
	key, value string
	revision   int64
	ended      time.Time
}

// drill is the load of a total loss.
type drill struct {
	mu      sync.Mutex
	entries []entry
	running sync.WaitGroup
	cancel  context.CancelFunc
}

// start writes keys, each once, and goes on until stop.
func (d *drill) start(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	d.cancel = cancel
	t.Cleanup(d.stop)
	padding := strings.Repeat("x", 1000)
	for w := range drillWriters {
		client := c.Frontends[w%len(c.Frontends)].Client()
		d.running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				e := entry{key: fmt.Sprintf("%s/%d/%d", keyMark, w, n), value: fmt.Sprintf("%s-%d-%d-%s", valueMark, w, n, padding)}
				put, err := client.Put(ctx, e.key, e.value)
				if err != nil {
					return
				}
				e.revision, e.ended = put.Header.Revision, time.Now()
				d.mu.Lock()
				d.entries = append(d.entries, e)
				d.mu.Unlock()
			}
		})
	}
}

func (d *drill) stop() {
	d.cancel()
	d.running.Wait()
}

// await waits until that many were acknowledged.
func (d *drill) await(t *testing.T, n int) {
	t.Helper()
	cluster.Await(t, bound, "the keys are written", func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.entries) < n {
			return fmt.Errorf("%d of %d", len(d.entries), n)
		}
		return nil
	})
}

// TestDrill: all processes die at once and Redis's files are destroyed, under load and with the settings that
// tierd has by itself. The keyspace comes back from the archive, with all but the last moment's writes.
func TestDrill(t *testing.T) {
	t.Parallel()
	p := folder(t)
	args := []string{"--object-tier", p.url, "--archive-key-file", p.keyFile}
	c := cluster.Start(t, cluster.Options{Frontends: 2, Args: args})
	d := &drill{}
	d.start(t, c)
	d.await(t, *drillFlag)
	written := &writers{frontends: c.Frontends, blocks: make(map[*cluster.Frontend]float64)}
	written.await(t)
	written.await(t) // a block that was written under load

	lost := time.Now()
	for _, f := range c.Frontends {
		f.Kill()
	}
	destroy(t, c.Redis)
	d.stop()

	begun := time.Now()
	place := cluster.StartRedis(t, cluster.RedisOptions{})
	out, err := c.Tool(t.Context(), nil, "restore", "--from", p.url, "--archive-key-file", p.keyFile, "--to-hot-tier", place.URL(), "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	restored := time.Now()
	var report struct {
		Revision int64
		Versions int64
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f := cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: place.URL(), Args: args})
	client := f.Client()
	put, err := client.Put(t.Context(), "after", "the loss")
	if err != nil {
		t.Fatal(err)
	}
	served := time.Now()
	if put.Header.Revision != report.Revision+1 {
		t.Errorf("the first write after the restore has revision %d, want %d", put.Header.Revision, report.Revision+1)
	}
	d.account(t, client, report.Revision, lost)
	t.Logf("RTO: %v from the first step of the restore to the first write (%v of it the restore: %d versions of 1 KB)",
		served.Sub(begun).Round(time.Millisecond), restored.Sub(begun).Round(time.Millisecond), report.Versions)
	goesOn(t, p, client, put.Header.Revision)
}

// account finds out which acknowledged writes are lost: none but the last ones.
func (d *drill) account(t *testing.T, client *clientv3.Client, restored int64, lost time.Time) {
	t.Helper()
	all, err := client.Get(t.Context(), keyMark, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]string, len(all.Kvs))
	for _, kv := range all.Kvs {
		there[string(kv.Key)] = string(kv.Value)
	}
	missing, oldest := 0, time.Duration(0)
	for _, e := range d.entries {
		switch value, found := there[e.key]; {
		case e.revision > restored:
			missing, oldest = missing+1, max(oldest, lost.Sub(e.ended))
			if found {
				t.Errorf("%s of revision %d is there at revision %d", e.key, e.revision, restored)
			}
		case !found || value != e.value:
			t.Errorf("%s of revision %d is not there at revision %d", e.key, e.revision, restored)
		}
	}
	t.Logf("RPO: %d of %d acknowledged writes are lost; the oldest was acknowledged %v before", missing, len(d.entries), oldest.Round(time.Millisecond))
}

// goesOn waits until what was restored has an archive of its own, beside the one before.
func goesOn(t *testing.T, p *place, client *clientv3.Client, revision int64) {
	t.Helper()
	archive := p.open(t)
	cluster.Await(t, bound, "the restored keyspace is archived", func() error {
		timelines, err := archive.Timelines(t.Context())
		if err != nil || len(timelines) != 2 {
			return fmt.Errorf("timelines %v, %w", timelines, err)
		}
		listed, err := archive.Catalog(t.Context(), timelines[1])
		if err != nil {
			return err
		}
		if _, archived, _ := listed.End(); int64(archived) < revision {
			return fmt.Errorf("it has revision %d of %d", archived, revision)
		}
		return nil
	})
	if _, err := client.Get(t.Context(), "after"); err != nil {
		t.Error(err)
	}
}
