package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/etcdload"
	"github.com/tierd/tierd/test/oracle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 60 * time.Second

// tierd runs a command of the built tierd to its end.
func tierd(t *testing.T, arguments ...string) (out, errOut string, code int) {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), cluster.Binary(t, false), arguments...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// report is what tierd import --output json prints, and of tierd export what has the same name.
type report struct {
	Revision  int64  `json:"revision"`
	Compacted int64  `json:"compacted_revision"`
	Keys      int64  `json:"keys"`
	Versions  int64  `json:"versions"`
	Resumed   int64  `json:"resumed_versions"`
	Leases    int64  `json:"leases"`
	HashKV    uint32 `json:"hash_kv"`
	Equal     bool   `json:"equal"`
	Live      *struct {
		Snapshot int64   `json:"snapshot_revision"`
		After    int64   `json:"revisions_after_cut_over"`
		Behind   float64 `json:"seconds_behind"`
	} `json:"live"`
	Notes []string `json:"notes"`
}

// done runs a command that has to succeed and prints JSON.
func done(t *testing.T, arguments ...string) (r report) {
	t.Helper()
	out, errOut, code := tierd(t, append(arguments, "--output", "json")...)
	if code != 0 {
		t.Fatalf("tierd %s: code %d\n%s%s", strings.Join(arguments, " "), code, out, errOut)
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("tierd %s printed %q: %v", strings.Join(arguments, " "), out, err)
	}
	return r
}

// source is an etcd with a history, compacted in its middle.
func source(t *testing.T, seed uint64) (client *clientv3.Client, load *etcdload.Load, compacted int64) {
	t.Helper()
	t.Logf("seed %d", seed)
	client = oracle.Start(t, oracle.Options{}).Client()
	load = etcdload.New(client, seed)
	write(t, load, 150)
	compacted, err := load.Compact(t.Context(), 40, clientv3.WithCompactPhysical())
	if err != nil {
		t.Fatal(err)
	}
	write(t, load, 100)
	return client, load, compacted
}

func write(t *testing.T, load *etcdload.Load, operations int) {
	t.Helper()
	if err := load.Write(t.Context(), operations); err != nil {
		t.Fatal(err)
	}
}

// save takes a snapshot as etcdctl does.
func save(t *testing.T, endpoint string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snapshot.db")
	config := clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()}
	if _, err := snapshot.NewV3(zap.NewNop()).Save(t.Context(), config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve starts a tierd on what was imported.
func serve(t *testing.T, hotTier string) *clientv3.Client {
	t.Helper()
	return cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: hotTier}).Client()
}

// restore makes an etcd of a snapshot, as etcdutl does, and starts it.
func restore(t *testing.T, path string) *clientv3.Client {
	t.Helper()
	options := oracle.Options{
		DataDir: cluster.Folder(t), Name: "restored",
		PeerURL: fmt.Sprintf("http://127.0.0.1:%d", cluster.FreePorts(t, 1)[0]),
	}
	err := snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: path, OutputDataDir: options.DataDir, Name: options.Name, PeerURLs: []string{options.PeerURL},
		InitialCluster: options.Name + "=" + options.PeerURL, InitialClusterToken: "restored",
	})
	if err != nil {
		t.Fatal(err)
	}
	return oracle.Start(t, options).Client()
}

// same fails unless two keyspaces are the same from a revision on.
func same(t *testing.T, want, got *clientv3.Client, low, high int64) {
	t.Helper()
	if err := etcdload.Same(t.Context(), want, got, low, high); err != nil {
		t.Fatal(err)
	}
}

// From an etcd to tierd, and back: the same keys at each revision, the same hashes, leases and events,
// and both go on.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2, 3} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			etcd, load, compacted := source(t, seed)
			redis := cluster.StartRedis(t, cluster.RedisOptions{})
			path := save(t, etcd.Endpoints()[0])
			planned := done(t, "import", path, "--hot-tier", redis.URL(), "--dry-run")
			r := done(t, "import", path, "--hot-tier", redis.URL())
			if !r.Equal || r.Revision != load.Revision || r.Compacted != compacted || planned.Versions != r.Versions || planned.Keys != r.Keys {
				t.Errorf("imported %+v, planned %+v; the etcd is at %d, compacted at %d", r, planned, load.Revision, compacted)
			}
			served := serve(t, redis.URL())
			same(t, etcd, served, compacted, load.Revision)

			// Both live on, the same way.
			for _, client := range []*clientv3.Client{etcd, served} {
				if _, err := client.Put(t.Context(), "after", "the import"); err != nil {
					t.Fatal(err)
				}
				if _, err := client.Delete(t.Context(), "dir1/", clientv3.WithPrefix()); err != nil {
					t.Fatal(err)
				}
			}
			now, err := served.Get(t.Context(), "after")
			if err != nil {
				t.Fatal(err)
			}
			same(t, etcd, served, compacted, now.Header.Revision)

			exported := filepath.Join(t.TempDir(), "export.db")
			e := done(t, "export", exported, "--hot-tier", redis.URL())
			if e.Revision != now.Header.Revision || e.Compacted != compacted {
				t.Errorf("exported %+v", e)
			}
			same(t, etcd, restore(t, exported), compacted, e.Revision)
		})
	}
}

// An export of an older revision is the keyspace of then.
func TestExportOfARevision(t *testing.T) {
	t.Parallel()
	etcd, load, compacted := source(t, 4)
	redis := cluster.StartRedis(t, cluster.RedisOptions{})
	done(t, "import", save(t, etcd.Endpoints()[0]), "--hot-tier", redis.URL())
	path := filepath.Join(t.TempDir(), "export.db")
	at := load.Revision - 30
	e := done(t, "export", path, "--hot-tier", redis.URL(), "--revision", fmt.Sprint(at))
	want, err := etcd.HashKV(t.Context(), etcd.Endpoints()[0], at)
	if err != nil {
		t.Fatal(err)
	}
	if e.Revision != at || e.HashKV != want.Hash {
		t.Errorf("exported %+v, want hash %d of revision %d", e, want.Hash, at)
	}
	restored := restore(t, path)
	for revision := compacted + 1; revision <= at; revision++ {
		a, err := etcd.HashKV(t.Context(), etcd.Endpoints()[0], revision)
		if err != nil {
			t.Fatal(err)
		}
		b, err := restored.HashKV(t.Context(), restored.Endpoints()[0], revision)
		if err != nil || a.Hash != b.Hash || b.Header.Revision != at {
			t.Fatalf("revision %d: %v, want %v (%v)", revision, b, a, err)
		}
	}
	for _, refused := range []int64{compacted - 1, load.Revision + 1} {
		other := filepath.Join(t.TempDir(), "other.db")
		_, errOut, code := tierd(t, "export", other, "--hot-tier", redis.URL(), "--revision", fmt.Sprint(refused))
		left, err := os.ReadDir(filepath.Dir(other))
		if code != 2 || err != nil || len(left) != 0 {
			t.Errorf("revision %d: code %d, left %v (%v)\n%s", refused, code, left, err, errOut)
		}
	}
	if _, errOut, code := tierd(t, "export", path, "--hot-tier", redis.URL()); code != 2 || !strings.Contains(errOut, "exists already") {
		t.Errorf("overwritten: code %d\n%s", code, errOut)
	}
}

// A raised revision: what is alive is there, nothing older can be read, and a client that has seen
// a later revision is told to read anew.
func TestImportBumped(t *testing.T) {
	t.Parallel()
	etcd, load, _ := source(t, 5)
	redis := cluster.StartRedis(t, cluster.RedisOptions{})
	path := save(t, etcd.Endpoints()[0])
	r := done(t, "import", path, "--hot-tier", redis.URL(), "--bump-revision", "1000", "--mark-compacted")
	if !r.Equal || r.Revision != load.Revision+1000 || r.Compacted != r.Revision {
		t.Errorf("%+v", r)
	}
	served := serve(t, redis.URL())
	want, err := etcd.Get(t.Context(), "\x00", clientv3.WithFromKey())
	if err != nil {
		t.Fatal(err)
	}
	got, err := served.Get(t.Context(), "\x00", clientv3.WithFromKey())
	if err != nil || len(got.Kvs) != len(want.Kvs) || got.Header.Revision != r.Revision {
		t.Fatalf("%v (%v), want %v", got, err, want)
	}
	watch := <-served.Watch(t.Context(), "\x00", clientv3.WithFromKey(), clientv3.WithRev(load.Revision+10))
	if watch.CompactRevision != r.Revision {
		t.Errorf("a watch from before: %+v", watch)
	}
	put, err := served.Put(t.Context(), "a", "b")
	if err != nil || put.Header.Revision != r.Revision+1 {
		t.Errorf("%v (%v)", put, err)
	}
	served.Close()
}

// A tierd is as good a source as an etcd.
func TestLiveImportFromTierd(t *testing.T) {
	t.Parallel()
	first, second := cluster.StartRedis(t, cluster.RedisOptions{}), cluster.StartRedis(t, cluster.RedisOptions{})
	served := serve(t, first.URL())
	load := etcdload.New(served, 12)
	write(t, load, 100)
	compacted, err := load.Compact(t.Context(), 40)
	if err != nil {
		t.Fatal(err)
	}
	write(t, load, 50)
	if r := done(t, "import", "--endpoints", served.Endpoints()[0], "--hot-tier", second.URL()); !r.Equal || r.Revision != load.Revision {
		t.Errorf("%+v", r)
	}
	same(t, served, serve(t, second.URL()), compacted, load.Revision)
}

// Nothing at all, and a compaction at revision 0, which an etcd takes.
func TestImportOfNothing(t *testing.T) {
	t.Parallel()
	etcd := oracle.Start(t, oracle.Options{}).Client()
	redis := cluster.StartRedis(t, cluster.RedisOptions{})
	if r := done(t, "import", save(t, etcd.Endpoints()[0]), "--hot-tier", redis.URL(), "--keyspace", "empty"); !r.Equal || r.Revision != 1 || r.Compacted != -1 {
		t.Errorf("%+v", r)
	}
	if _, err := etcd.Compact(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := etcd.Put(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	if r := done(t, "import", save(t, etcd.Endpoints()[0]), "--hot-tier", redis.URL(), "--keyspace", "file"); !r.Equal || r.Revision != 2 {
		t.Errorf("%+v", r)
	}
	if r := done(t, "import", "--endpoints", etcd.Endpoints()[0], "--hot-tier", redis.URL(), "--keyspace", "live"); !r.Equal || r.Revision != 2 {
		t.Errorf("%+v", r)
	}
}

// A source in use is followed until it is idle.
func TestLiveImport(t *testing.T) {
	t.Parallel()
	etcd, load, compacted := source(t, 6)
	redis := cluster.StartRedis(t, cluster.RedisOptions{})
	imported := cluster.NewProcess(t, cluster.Command{
		Name: "import", LogDir: cluster.Folder(t), Path: cluster.Binary(t, false),
		Args: []string{"import", "--endpoints", etcd.Endpoints()[0], "--hot-tier", redis.URL(), "--follow", "--cut-over-when-idle", "3s"},
	})
	imported.Start()
	cluster.Await(t, patience, "the import to follow", func() error {
		if !strings.Contains(imported.Log(), "following") {
			return errors.New("not yet")
		}
		return nil
	})
	write(t, load, 300)
	if code := imported.WaitExit(patience); code != 0 {
		t.Fatalf("code %d\n%s", code, imported.Log())
	}
	for _, text := range []string{"equal to the source's", "still at revision", "seconds at the cut-over", "Next: start tierd serve"} {
		if !strings.Contains(imported.Log(), text) {
			t.Errorf("the report lacks %q:\n%s", text, imported.Log())
		}
	}
	same(t, etcd, serve(t, redis.URL()), compacted, load.Revision)
}
