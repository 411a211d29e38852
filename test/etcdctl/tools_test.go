package etcdctl_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/etcdctl"
	"github.com/tierd/tierd/test/oracle"
)

// mirrorBound is how long a mirror may take in all; it is only met by one that
// hangs.
const mirrorBound = 2 * time.Minute

// What `snapshot save` writes is a file that etcdutl accepts and that real etcd
// serves with the same keys, at the same revisions, as the store it was taken of.
func TestSnapshotRestoresInEtcd(t *testing.T) {
	t.Parallel()
	tools := etcdctl.Build(t)
	reference := newTarget(t, tools, startEtcd(t, 0))
	candidate := newTarget(t, tools, startCandidate(t, 0))
	for _, g := range []*target{reference, candidate} {
		for _, s := range append(someKeys(), step{cmd: "compaction 5"}, step{cmd: "snapshot save $DIR/snapshot.db"}) {
			if result := g.complete(s.String(), s); result.exit != "0" {
				t.Fatalf("%s: exit %s, stderr %s", s, result.exit, result.stderr)
			}
		}
	}
	want, got := snapshotStatus(t, tools, reference.dir), snapshotStatus(t, tools, candidate.dir)
	if want.Revision != got.Revision || want.TotalKey != got.TotalKey {
		t.Errorf("status of the snapshot: %+v, of etcd's own: %+v", got, want)
	}

	restored := restoreSnapshot(t, tools, candidate.dir)
	wantAll, gotAll := everything(t, cluster.Dial(t, reference.endpoint)), everything(t, restored.Client())
	if wantAll.String() != gotAll.String() {
		t.Errorf("the restored etcd holds\n%s\nwant\n%s", gotAll, wantAll)
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandBound)
	defer cancel()
	if _, err := restored.Client().Get(ctx, "key1", clientv3.WithRev(4)); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("the restored etcd answers below the compacted revision: %v", err)
	}
}

type snapshotSummary struct {
	Revision int64 `json:"revision"`
	TotalKey int   `json:"totalKey"`
}

func snapshotStatus(t *testing.T, tools etcdctl.Tools, dir string) snapshotSummary {
	t.Helper()
	output := etcdutl(t, tools, "snapshot", "status", filepath.Join(dir, "snapshot.db"), "-w", "json")
	var summary snapshotSummary
	if err := json.Unmarshal(output, &summary); err != nil {
		t.Fatalf("read the status %q: %v", output, err)
	}
	return summary
}

func restoreSnapshot(t *testing.T, tools etcdctl.Tools, dir string) *oracle.Server {
	t.Helper()
	peer := fmt.Sprintf("http://127.0.0.1:%d", cluster.FreePort(t))
	data := filepath.Join(dir, "restored")
	etcdutl(t, tools, "snapshot", "restore", filepath.Join(dir, "snapshot.db"),
		"--data-dir", data, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	return oracle.Start(t, oracle.Options{DataDir: data, PeerURL: peer})
}

func etcdutl(t *testing.T, tools etcdctl.Tools, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(tools.Etcdutl, args...)
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("etcdutl %v: %v\n%s", args, err, output)
	}
	return output
}

// inventory is all that a store holds, without what differs between any two.
type inventory struct {
	revision int64
	kvs      []string
}

func (i inventory) String() string { return fmt.Sprintf("revision %d: %v", i.revision, i.kvs) }

func everything(t *testing.T, client *clientv3.Client) inventory {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandBound)
	defer cancel()
	response, err := client.Get(ctx, "", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	all := inventory{revision: response.Header.Revision}
	for _, kv := range response.Kvs {
		all.kvs = append(all.kvs, fmt.Sprintf("%s=%s created %d modified %d version %d lease %d",
			kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease))
	}
	return all
}

// make-mirror copies what is there and follows what happens, from the store under
// test to etcd and the other way.
func TestMakeMirror(t *testing.T) {
	t.Parallel()
	tools := etcdctl.Build(t)
	for _, direction := range []string{"to etcd", "from etcd"} {
		t.Run(direction, func(t *testing.T) {
			t.Parallel()
			source, destination := startCandidate(t, 0), startEtcd(t, 0)
			if direction == "from etcd" {
				source, destination = destination, source
			}
			mirrorFollows(t, newTarget(t, tools, source), destination)
		})
	}
}

func mirrorFollows(t *testing.T, source *target, destination string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), mirrorBound)
	defer cancel()
	from, to := cluster.Dial(t, source.endpoint), cluster.Dial(t, destination)
	for number := range 300 {
		if _, err := from.Put(ctx, fmt.Sprintf("app/%03d", number), "before"); err != nil {
			t.Fatal(err)
		}
	}
	mirror := source.launch("make-mirror", step{cmd: "make-mirror --prefix=app/ --dest-prefix=copy/ " + destination})
	for number := range 100 {
		key := fmt.Sprintf("app/%03d", number)
		if _, err := from.Txn(ctx).Then(
			clientv3.OpPut(key, "during"),
			clientv3.OpDelete(fmt.Sprintf("app/%03d", number+150)),
		).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	cluster.Await(t, mirrorBound, "the mirror holds what the source holds", func() error {
		return sameValues(ctx, from, to)
	})
	mirror.stop("make-mirror", syscall.SIGINT)
}

func sameValues(ctx context.Context, from, to *clientv3.Client) error {
	want, err := from.Get(ctx, "app/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	got, err := to.Get(ctx, "copy/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	if len(want.Kvs) != len(got.Kvs) {
		return fmt.Errorf("%d keys, the source has %d", len(got.Kvs), len(want.Kvs))
	}
	for index, kv := range want.Kvs {
		copied := got.Kvs[index]
		if string(kv.Key[len("app/"):]) != string(copied.Key[len("copy/"):]) || string(kv.Value) != string(copied.Value) {
			return fmt.Errorf("%s=%s, the source has %s=%s", copied.Key, copied.Value, kv.Key, kv.Value)
		}
	}
	return nil
}
