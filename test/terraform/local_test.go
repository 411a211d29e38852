//go:build e2e

package terraform

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/etcdctl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seeds are keys that are there before shards change.
const seeds = 2000

// build builds a tierd that says another version of itself.
func build(t *testing.T, version string) string {
	t.Helper()
	root, err := cluster.RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cluster.Folder(t), "tierd-"+version)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-X main.version="+version, "-o", path, "./cmd/tierd")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build tierd: %v\n%s", err, out)
	}
	return path
}

// deployed is a deployment under load.
type deployed struct {
	*deployment
	load   *load
	watch  *watcher
	client *clientv3.Client
}

// TestLocal applies the deployment, scales it in each direction, rolls a new binary out and kills one
// process of each kind, all under load, and destroys it.
func TestLocal(t *testing.T) {
	first := build(t, "9.0.1")
	d := &deployed{deployment: newDeployment(t, map[string]string{"tierd_binary": first, "shards": "3", "frontends": "2"})}
	d.apply(nil)
	d.unchanged()
	d.commandLine()

	endpoint, config := d.tls()
	d.client = dialFor(t, endpoint, config)
	d.watch = startWatch(t, dialFor(t, endpoint, config), d.seed())
	d.load = startLoad(t, endpoint, config)
	d.load.unharmed("at rest")

	d.apply(nil, "-replace=terraform_data.shards")
	d.load.unharmed("keys were spread over 3 shards")
	d.onShards(3)
	d.apply(map[string]string{"shards": "4"})
	d.load.unharmed("3 shards became 4")
	d.onShards(4)

	d.apply(map[string]string{"frontends": "3"})
	d.load.unharmed("2 frontends became 3")
	d.serving(3)
	d.load.more(latecomers)
	d.load.unharmed("clients joined")
	d.apply(map[string]string{"frontends": "2"})
	d.load.unharmed("3 frontends became 2")
	d.serving(2)

	d.apply(map[string]string{"tierd_binary": build(t, "9.0.2"), "settings": `{ watch-progress-notify-interval = "5m" }`})
	d.load.unharmed("another binary was rolled out")
	d.running("9.0.2")

	d.kills()
	d.load.unharmed("processes were killed")

	d.killsMeanwhile(first)
	d.running("9.0.1")

	d.shrink()
	d.load.unharmed("4 shards became 3")
	d.onShards(3)
	d.unchanged()
	d.verify()
	d.machineRestarts()
	d.destroyed()
}

// commandLine runs etcdctl by the line of the output.
func (d *deployed) commandLine() {
	d.t.Helper()
	var line string
	d.output("etcdctl", &line)
	words := strings.Fields(line)
	for _, step := range []struct{ command, want string }{{"put greeting hello", "OK\n"}, {"get greeting", "greeting\nhello\n"}, {"del greeting", "1\n"}} {
		cmd := exec.CommandContext(d.t.Context(), etcdctl.Build(d.t).Etcdctl, append(words[1:], strings.Fields(step.command)...)...)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != step.want {
			d.t.Fatalf("etcdctl %s: %v: %q", step.command, err, out)
		}
	}
}

// seed writes keys that nobody changes later, and gives the last revision.
func (d *deployed) seed() (revision int64) {
	d.t.Helper()
	for i := range seeds {
		key := seedKey(i)
		resp, err := d.client.Put(d.t.Context(), key, "seed of "+key)
		if err != nil {
			d.t.Fatal(err)
		}
		revision = resp.Header.Revision
	}
	return revision
}

// seedKey are spread over the letters, as the keys of the load are.
func seedKey(i int) string { return fmt.Sprintf("%c/seed-%04d", 'a'+rune(i%26), i) }

// onShards fails the test unless just these shards hold keys.
func (d *deployed) onShards(count int) {
	d.t.Helper()
	topology, err := d.shards()
	if err != nil {
		d.t.Fatal(err)
	}
	for shard := range 12 {
		if keys := topology.keys(shard + 1); keys > 0 != (shard < count) {
			d.t.Errorf("shard %d holds %d keys: %+v", shard+1, keys, topology)
		}
	}
	if len(topology.Endpoints) != count {
		d.t.Errorf("%d endpoints are known, not %d", len(topology.Endpoints), count)
	}
}

// serving fails the test unless so many frontends are members, and ready for the load balancer.
func (d *deployed) serving(count int) {
	d.t.Helper()
	cluster.Await(d.t, bound, fmt.Sprintf("there are %d members", count), func() error {
		members, err := d.client.MemberList(d.t.Context())
		if err == nil && len(members.Members) != count {
			err = fmt.Errorf("%d members", len(members.Members))
		}
		return err
	})
	for n := range 16 {
		if running := d.pid(fmt.Sprintf("frontend-%d", n+1)) != 0; running != (n < count) {
			d.t.Errorf("frontend %d runs: %v", n+1, running)
		}
	}
}

// running fails the test unless every frontend runs a version.
func (d *deployed) running(version string) {
	d.t.Helper()
	for n := range 2 {
		program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", d.pid(fmt.Sprintf("frontend-%d", n+1))))
		if err != nil {
			d.t.Fatal(err)
		}
		out, err := exec.Command(program, "version").CombinedOutput()
		if err != nil || !strings.Contains(string(out), version) {
			d.t.Errorf("frontend %d runs %s, not %s: %v", n+1, out, version, err)
		}
	}
}

// shrink takes the fourth shard away, while clients compact as an API server does.
func (d *deployed) shrink() {
	ctx, cancel := context.WithCancel(d.t.Context())
	done := make(chan error, 1)
	go func() { done <- d.compact(ctx) }()
	out, err := d.tryApply(map[string]string{"shards": "3"})
	cancel()
	if compacted := <-done; compacted != nil {
		d.t.Errorf("compact: %v", compacted)
	}
	if err != nil {
		d.t.Fatalf("apply: %v\n%s", err, out)
	}
	for _, name := range []string{"redis-4-1", "redis-4-2"} {
		if d.pid(name) != 0 {
			d.t.Errorf("%s still runs", name)
		}
	}
}

// compact compacts what the watch has told, now and then.
func (d *deployed) compact(ctx context.Context) error {
	ticker := time.NewTicker(2 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if _, err := d.client.Compact(ctx, d.watch.seen()-50); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// verify ends the load, and holds what is there against what was acknowledged and told.
func (d *deployed) verify() {
	d.t.Helper()
	d.load.stop()
	all, err := d.client.Get(d.t.Context(), "", clientv3.WithPrefix())
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.watch.await(all.Header.Revision); err != nil {
		d.t.Fatal(err)
	}
	d.watch.mu.Lock()
	defer d.watch.mu.Unlock()
	for _, w := range d.load.writes {
		if told := d.watch.told[w.revision]; told != w {
			d.t.Errorf("%+v was acknowledged, and the watch told %+v", w, told)
		}
	}
	// What was under way when the load was stopped may have been done behind the read.
	latest := make(map[string]write)
	for revision := int64(1); revision <= all.Header.Revision; revision++ {
		if w, ok := d.watch.told[revision]; ok {
			latest[w.key] = w
		}
	}
	seedsLeft := seeds
	for _, kv := range all.Kvs {
		got := write{string(kv.Key), string(kv.Value), kv.ModRevision}
		switch want, told := latest[got.key]; {
		case told && got != want:
			d.t.Errorf("%+v is there at revision %d, and the watch told %+v", got, all.Header.Revision, want)
		case !told && got.value == "seed of "+got.key:
			seedsLeft--
		case !told:
			d.t.Errorf("%+v is there, and nobody wrote it", got)
		}
		delete(latest, got.key)
	}
	if seedsLeft != 0 || len(latest) != 0 {
		d.t.Errorf("%d keys of the first ones and %d later ones are gone", seedsLeft, len(latest))
	}
	d.t.Logf("%d writes were acknowledged; the watch told %d", len(d.load.writes), len(d.watch.told))
}

// destroyed destroys the deployment, and finds nothing of it.
func (d *deployed) destroyed() {
	d.t.Helper()
	ports := d.ports(2, 3)
	if busy := listening(ports); len(busy) != len(ports) {
		d.t.Errorf("of the ports %v, only %v are listened on", ports, busy)
	}
	if out, err := d.run(d.t.Context(), "destroy", "-auto-approve"); err != nil {
		d.t.Fatalf("destroy: %v\n%s", err, out)
	}
	for _, found := range d.remains(ports) {
		d.t.Errorf("after destroy there is still: %s", found)
	}
}
