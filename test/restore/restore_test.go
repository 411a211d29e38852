package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/tierd/tierd/test/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 60 * time.Second
	// orderKey is where the sequencer of the restored keyspace counts what was brought.
	orderKey = "{restored:seq}:order"
)

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

// report is what tierd restore --output json prints.
type report struct {
	Revision       int64 `json:"revision"`
	SourceRevision int64 `json:"source_revision"`
	Compacted      int64 `json:"compacted_revision"`
	Keys           int64 `json:"keys"`
	Versions       int64 `json:"versions"`
	LeftOut        int64 `json:"left_out_versions"`
	Resumed        int64 `json:"resumed_versions"`
	Equal          bool  `json:"equal"`
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

// refused runs a command that has to fail with code 2 and that text.
func refused(t *testing.T, want string, arguments ...string) {
	t.Helper()
	if out, errOut, code := tierd(t, arguments...); code != 2 || !strings.Contains(errOut, want) {
		t.Errorf("tierd %s: code %d\n%s%swant: %s", strings.Join(arguments, " "), code, out, errOut, want)
	}
}

// begun starts a restore and waits until it has brought something.
func begun(t *testing.T, redis *cluster.Redis, arguments ...string) *cluster.Process {
	t.Helper()
	p := cluster.NewProcess(t, cluster.Command{Name: "restore", LogDir: cluster.Folder(t), Path: cluster.Binary(t, false), Args: arguments})
	p.Start()
	client := redis.Client()
	cluster.Await(t, patience, "the restore to begin", func() error {
		loads, err := client.HGet(t.Context(), orderKey, "loads").Int()
		if err == nil && loads < 5 {
			err = errors.New("not yet")
		}
		return err
	})
	return p
}

// A restore that is killed is gone on with by the same command, although the archive has grown and has another
// base by then; another restore is refused meanwhile, and one over a keyspace always.
func TestKilled(t *testing.T) {
	t.Parallel()
	const keys = 300_000
	a, redis := newArchive(t), cluster.StartRedis(t, cluster.RedisOptions{})
	a.base(t, keys/2, 200)
	a.log(t, keys/2, 200)
	command := []string{"restore", "--data-dir", a.dataDir, "--to-keyspace", "restored", "--to-hot-tier", redis.URL()}
	begun(t, redis, command...).Kill()
	refused(t, "--discard-interrupted", append(command, "--revision", "200000")...)
	refused(t, "--discard-interrupted", append(command, "--key-prefix", "a")...)
	a.log(t, 10, 200)
	r := done(t, append(command, "--verify")...)
	if r.Revision != keys+1 || r.Versions != keys || r.Keys != keys || r.Resumed == 0 || r.Resumed >= keys || !r.Equal {
		t.Errorf("%+v", r)
	}
	refused(t, "never writes over one", command...)
	refused(t, "never writes over one", append(command, "--discard-interrupted")...)
}

func TestDiscarded(t *testing.T) {
	t.Parallel()
	a, redis := newArchive(t), cluster.StartRedis(t, cluster.RedisOptions{})
	a.base(t, 300_000, 200)
	command := []string{"restore", "--data-dir", a.dataDir, "--to-keyspace", "restored", "--to-hot-tier", redis.URL()}
	begun(t, redis, command...).Kill()
	a.log(t, 10, 200)
	r := done(t, append(command, "--discard-interrupted", "--verify")...)
	if r.Keys != 300_010 || r.Resumed != 0 || !r.Equal {
		t.Errorf("%+v", r)
	}
}

// files are the names and sizes of all that is in a folder.
func files(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		found = append(found, fmt.Sprint(path, info.Size()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.base(t, 10, 20)
	a.log(t, 10, 20)
	before := files(t, a.dataDir)
	r := done(t, "restore", "--data-dir", a.dataDir, "--to-keyspace", "restored", "--dry-run", "--revision", "15")
	if r.Revision != 15 || !slices.Equal(files(t, a.dataDir), before) {
		t.Errorf("%+v, left %v, there was %v", r, files(t, a.dataDir), before)
	}
	refused(t, "is after the end of the archive", "restore", "--data-dir", a.dataDir, "--to-keyspace", "restored", "--revision", "22")
	refused(t, "say where to restore to", "restore", "--data-dir", a.dataDir)
}

// written is the data directory of a keyspace with transactions of keys of several prefixes, written by a frontend that has been stopped.
func written(t *testing.T) (dataDir string) {
	t.Helper()
	f := cluster.StartFrontend(t, cluster.FrontendOptions{})
	client := f.Client()
	lease, err := client.Grant(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		_, err := client.Txn(t.Context()).Then(
			clientv3.OpPut(fmt.Sprintf("b/%d", i%3), fmt.Sprint("b", i)), clientv3.OpPut(fmt.Sprintf("a/%d", i%3), fmt.Sprint("a", i), clientv3.WithLease(lease.ID)),
		).Commit()
		if err == nil {
			_, err = client.Put(t.Context(), fmt.Sprint("c/", i), "c")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Compact(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	f.Stop()
	return f.DataDir()
}

// What a frontend has archived until it stopped comes back: all of it, or keys with a prefix, of which a watch still tells what
// happened to them.
func TestPrefix(t *testing.T) {
	t.Parallel()
	dataDir, redis := written(t), cluster.StartRedis(t, cluster.RedisOptions{})
	all := done(t, "restore", "--data-dir", dataDir, "--to-keyspace", "all", "--to-hot-tier", redis.URL(), "--verify")
	if all.Revision != 41 || all.Keys != 26 || all.Compacted != 10 || !all.Equal {
		t.Errorf("%+v", all)
	}
	if out, errOut, code := tierd(t, "backup", "verify", "--restore", "--data-dir", dataDir); code != 0 || !strings.Contains(out, "OK: restored at revision 41 with 26 keys") {
		t.Errorf("code %d\n%s%s", code, out, errOut)
	}
	some := done(t, "restore", "--data-dir", dataDir, "--to-keyspace", "restored", "--to-hot-tier", redis.URL(), "--verify", "--key-prefix", "a/", "--key-prefix", "c/1")
	if some.Revision != 41 || some.Keys != 14 || some.LeftOut != 29 || !some.Equal {
		t.Errorf("%+v", some)
	}
	client := cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: redis.URL(), Args: []string{"--keyspace", "restored", "--object-tier", "none"}}).Client()
	found, err := client.Get(t.Context(), "\x00", clientv3.WithFromKey())
	if err != nil || found.Count != 14 || string(found.Kvs[0].Key) != "a/0" || string(found.Kvs[0].Value) != "a18" || found.Kvs[0].Version != 7 || found.Kvs[0].Lease == 0 {
		t.Fatalf("%v (%v)", found, err)
	}
	revisions := watched(t, client, 11, 24)
	if revisions[0] != 12 || revisions[len(revisions)-1] != 41 {
		t.Errorf("a watch tells of the revisions %v", revisions)
	}
}

// watched are the revisions of so many events from one on.
func watched(t *testing.T, client *clientv3.Client, from int64, count int) (revisions []int64) {
	t.Helper()
	for answer := range client.Watch(t.Context(), "\x00", clientv3.WithFromKey(), clientv3.WithRev(from)) {
		if err := answer.Err(); err != nil {
			t.Fatal(err)
		}
		for _, event := range answer.Events {
			revisions = append(revisions, event.Kv.ModRevision)
		}
		if len(revisions) >= count {
			return revisions
		}
	}
	t.Fatalf("the watch ended after %v", revisions)
	return nil
}

// With a raised revision a client that has seen a later one reads everything anew: its watch is told that it was compacted.
func TestBump(t *testing.T) {
	t.Parallel()
	dataDir, redis := written(t), cluster.StartRedis(t, cluster.RedisOptions{})
	r := done(t, "restore", "--data-dir", dataDir, "--to-keyspace", "restored", "--to-hot-tier", redis.URL(), "--verify",
		"--revision", "30", "--bump-revision", "1000", "--mark-compacted")
	if r.SourceRevision != 30 || r.Revision != 1030 || r.Compacted != 1030 || !r.Equal {
		t.Errorf("%+v", r)
	}
	client := cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: redis.URL(), Args: []string{"--keyspace", "restored", "--object-tier", "none"}}).Client()
	answer := <-client.Watch(t.Context(), "a/0", clientv3.WithRev(41))
	if answer.CompactRevision != 1030 {
		t.Errorf("a watch from revision 41 is told %+v", answer)
	}
	put, err := client.Put(t.Context(), "new", "value")
	if err != nil || put.Header.Revision != 1031 {
		t.Errorf("%v (%v)", put, err)
	}
}

// A branch is a keyspace of its own beside the one it comes from.
func TestBranch(t *testing.T) {
	t.Parallel()
	dataDir := written(t)
	r := done(t, "branch", "--data-dir", dataDir, "--from", "default@20", "feature", "--verify")
	if r.Revision != 20 || !r.Equal {
		t.Errorf("%+v", r)
	}
	refused(t, "--from must be KEYSPACE@REVISION", "branch", "--data-dir", dataDir, "--from", "20", "feature")
	client := cluster.StartFrontend(t, cluster.FrontendOptions{DataDir: dataDir, Args: []string{"--keyspace", "feature"}}).Client()
	found, err := client.Get(t.Context(), "b/0")
	if err != nil || found.Header.Revision != 20 || string(found.Kvs[0].Value) != "b9" {
		t.Errorf("%v (%v)", found, err)
	}
}
