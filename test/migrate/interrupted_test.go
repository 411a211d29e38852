package migrate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/test/cluster"
)

// orderKey is where the sequencer of the default keyspace counts what a restore has brought.
const orderKey = "{default:seq}:order"

// large is a snapshot of so many versions that an import of it takes a moment.
func large(t *testing.T, versions int64, value string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "large.db")
	w, err := etcdfile.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range versions {
		revision := n + 2
		err := w.PutVersion(router.Version{Main: router.Revision(revision), KV: &mvccpb.KeyValue{
			Key: fmt.Appendf(nil, "key/%08d", n), Value: []byte(value), CreateRevision: revision, ModRevision: revision, Version: 1,
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.PutMeta(etcdfile.Meta{Revision: router.Revision(versions + 1), Compacted: -1, StorageVersion: "3.7.0"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(etcdfile.FinishOptions{Digest: true}); err != nil {
		t.Fatal(err)
	}
	return path
}

// begin starts an import and waits until it has brought something.
func begin(t *testing.T, redis *cluster.Redis, arguments ...string) *cluster.Process {
	t.Helper()
	p := cluster.NewProcess(t, cluster.Command{
		Name: "import", LogDir: cluster.Folder(t), Path: cluster.Binary(t, false), Args: append([]string{"import", "--hot-tier", redis.URL()}, arguments...),
	})
	p.Start()
	client := redis.Client()
	cluster.Await(t, patience, "the import to begin", func() error {
		loads, err := client.HGet(t.Context(), orderKey, "loads").Int()
		if err == nil && loads < 5 {
			err = errors.New("not yet")
		}
		return err
	})
	return p
}

// An import that is killed is gone on with by the same command, refuses another one, and can be
// discarded.
func TestImportKilled(t *testing.T) {
	t.Parallel()
	const versions = 200_000
	redis := cluster.StartRedis(t, cluster.RedisOptions{})
	path, other := large(t, versions, strings.Repeat("v", 200)), large(t, 10, "other")
	begin(t, redis, path).Kill()

	if _, errOut, code := tierd(t, "import", other, "--hot-tier", redis.URL()); code != 2 || !strings.Contains(errOut, "--discard-interrupted") {
		t.Fatalf("another import came between: code %d\n%s", code, errOut)
	}
	r := done(t, "import", path, "--hot-tier", redis.URL())
	if !r.Equal || r.Versions != versions || r.Resumed == 0 || r.Resumed >= versions {
		t.Errorf("%+v", r)
	}
	served := serve(t, redis.URL())
	count, err := served.Get(t.Context(), "key/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || count.Count != versions || count.Header.Revision != versions+1 {
		t.Errorf("%v (%v)", count, err)
	}
	served.Close()
	if _, errOut, code := tierd(t, "import", other, "--hot-tier", redis.URL()); code != 2 || !strings.Contains(errOut, "does not exist, or is empty") {
		t.Errorf("imported over a keyspace: code %d\n%s", code, errOut)
	}
	if _, errOut, code := tierd(t, "import", other, "--hot-tier", redis.URL(), "--discard-interrupted"); code != 2 {
		t.Errorf("a keyspace was discarded: code %d\n%s", code, errOut)
	}
}

func TestImportDiscarded(t *testing.T) {
	t.Parallel()
	redis := cluster.StartRedis(t, cluster.RedisOptions{})
	begin(t, redis, large(t, 200_000, strings.Repeat("v", 200))).Kill()
	r := done(t, "import", large(t, 10, "other"), "--hot-tier", redis.URL(), "--discard-interrupted")
	if !r.Equal || r.Keys != 10 || r.Resumed != 0 {
		t.Errorf("%+v", r)
	}
}

// following starts a live import and waits until it follows.
func following(t *testing.T, redis *cluster.Redis, etcd *clientv3.Client) *cluster.Process {
	t.Helper()
	p := cluster.NewProcess(t, cluster.Command{
		Name: "import", LogDir: cluster.Folder(t), Path: cluster.Binary(t, false),
		Args: []string{"import", "--endpoints", etcd.Endpoints()[0], "--hot-tier", redis.URL(), "--follow"},
	})
	p.Start()
	cluster.Await(t, patience, "the import to follow", func() error {
		if !strings.Contains(p.Log(), "following: imported") {
			return errors.New("not yet")
		}
		return nil
	})
	return p
}

// A live import to a keyspace that has something in it is refused as that of a file is, and leaves it alone.
func TestLiveImportOverAKeyspace(t *testing.T) {
	t.Parallel()
	redis := cluster.StartRedis(t, cluster.RedisOptions{})
	kept := serve(t, redis.URL())
	if _, err := kept.Put(t.Context(), "kept", "as it is"); err != nil {
		t.Fatal(err)
	}
	client, _, _ := source(t, 7)
	_, errOut, code := tierd(t, "import", "--endpoints", client.Endpoints()[0], "--hot-tier", redis.URL())
	if code != 2 || !strings.Contains(errOut, "the keyspace exists") || strings.Contains(errOut, "panic") {
		t.Errorf("code %d\n%s", code, errOut)
	}
	if got, err := kept.Get(t.Context(), "", clientv3.WithPrefix()); err != nil || len(got.Kvs) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}

// A live import that is killed is gone on with while the source is not compacted.
func TestLiveImportKilled(t *testing.T) {
	t.Parallel()
	etcd, load, compacted := source(t, 7)
	redis := cluster.StartRedis(t, cluster.RedisOptions{})
	p := following(t, redis, etcd)
	write(t, load, 50)
	p.Kill()
	write(t, load, 50)
	r := done(t, "import", "--endpoints", etcd.Endpoints()[0], "--hot-tier", redis.URL())
	if !r.Equal || r.Revision != load.Revision || r.Live == nil || r.Live.After != 0 {
		t.Errorf("%+v", r)
	}
	same(t, etcd, serve(t, redis.URL()), compacted, load.Revision)
}

// The cut-over by a signal under load: what was imported is whole up to one revision, and the report says
// that the source was written to after it.
func TestLiveCutOverBySignal(t *testing.T) {
	t.Parallel()
	etcd, load, compacted := source(t, 8)
	redis := cluster.StartRedis(t, cluster.RedisOptions{})
	p := following(t, redis, etcd)
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			if err := load.Write(t.Context(), 10); err != nil {
				ended <- err
				return
			}
		}
	}()
	p.Signal(syscall.SIGTERM)
	code := p.WaitExit(patience)
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if code != 0 || !strings.Contains(p.Log(), "equal to the source's") || !strings.Contains(p.Log(), "WRITTEN AFTER THE CUT-OVER") {
		t.Errorf("code %d\n%s", code, p.Log())
	}
	served := serve(t, redis.URL())
	head, err := served.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for revision := compacted + 1; revision <= head.Header.Revision; revision++ {
		a, err := etcd.HashKV(t.Context(), etcd.Endpoints()[0], revision)
		if err != nil {
			t.Fatal(err)
		}
		b, err := served.HashKV(t.Context(), served.Endpoints()[0], revision)
		if err != nil || a.Hash != b.Hash {
			t.Fatalf("revision %d: %v, want %v (%v)", revision, b, a, err)
		}
	}
}

// What a live import leaves in the folder for temporary files is gone after it.
func TestLiveImportLeavesNoFile(t *testing.T) {
	t.Parallel()
	etcd, _, _ := source(t, 9)
	redis, dir := cluster.StartRedis(t, cluster.RedisOptions{}), t.TempDir()
	done(t, "import", "--endpoints", etcd.Endpoints()[0], "--hot-tier", redis.URL(), "--temp-dir", dir)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v (%v)", left, err)
	}
}
