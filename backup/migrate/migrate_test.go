package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/authpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/backup/migrate"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/etcdload"
	"github.com/tierd/tierd/test/oracle"
)

// source is an etcd with a history that was compacted.
func source(t *testing.T, seed uint64) (*clientv3.Client, *etcdload.Load) {
	t.Helper()
	t.Logf("seed %d", seed)
	client := oracle.Start(t, oracle.Options{}).Client()
	load := etcdload.New(client, seed)
	if err := load.Write(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if _, err := load.Compact(t.Context(), 20, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if err := load.Write(t.Context(), 50); err != nil {
		t.Fatal(err)
	}
	return client, load
}

// saved is a snapshot of an etcd, opened.
func saved(t *testing.T, client *clientv3.Client) *etcdfile.Reader {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snapshot.db")
	if err := migrate.NewSource(client, time.After).Save(t.Context(), path, quiet{}); err != nil {
		t.Fatal(err)
	}
	r, err := etcdfile.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// head is what a source says of its current revision.
func head(t *testing.T, client *clientv3.Client) migrate.Head {
	t.Helper()
	h, err := migrate.NewSource(client, time.After).Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestFile(t *testing.T) {
	t.Parallel()
	client, _ := source(t, 1)
	p := &place{}
	o, err := migrate.File(t.Context(), saved(t, client), p.begin, migrate.Options{}, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	if h := head(t, client); h.Revision != o.Revision || h.Compacted != o.Compacted || h.Hash != o.SourceHash || h.Unhashed {
		t.Errorf("brought %+v, the source has %+v", o, h)
	}
	wantEqual(t, p, o)
}

// An import that ends in the middle is gone on with, wherever it ended.
func TestFileResumes(t *testing.T) {
	t.Parallel()
	client, _ := source(t, 2)
	file := saved(t, client)
	p := &place{}
	for after := 1; ; after += 37 {
		p.killAfter = after
		o, err := migrate.File(t.Context(), file, p.begin, migrate.Options{}, quiet{})
		if err == nil {
			if len(p.resumed) < 3 || o.Resumed == 0 {
				t.Errorf("resumed at %v", p.resumed)
			}
			wantEqual(t, p, o)
			return
		}
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
	}
}

// A raised revision leaves what is alive, compacted there.
func TestFileBumped(t *testing.T) {
	t.Parallel()
	client, _ := source(t, 3)
	file := saved(t, client)
	p := &place{}
	o, err := migrate.File(t.Context(), file, p.begin, migrate.Options{Bump: 1000}, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	if o.Revision != file.State().Revision+1000 || o.Compacted != o.Revision {
		t.Errorf("%+v", o)
	}
	wantEqual(t, p, o)
}

// Users and roles come along as they are, unless they are to be left behind.
func TestUsers(t *testing.T) {
	t.Parallel()
	client, _ := source(t, 4)
	_, err1 := client.UserAdd(t.Context(), "somebody", "secret")
	_, err2 := client.RoleAdd(t.Context(), "something")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	status, err := client.AuthStatus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	file := saved(t, client)
	p := &place{}
	if _, err := migrate.File(t.Context(), file, p.begin, migrate.Options{}, quiet{}); err != nil {
		t.Fatal(err)
	}
	var user authpb.User
	if err := proto.Unmarshal(p.end.Auth["user:somebody"], &user); err != nil || string(user.Name) != "somebody" || len(user.Password) < 20 {
		t.Errorf("the user is %v (%v)", &user, err)
	}
	if got := string(p.end.Auth["revision"]); got != fmt.Sprint(status.AuthRevision) || p.end.Auth["role:something"] == nil || p.end.Auth["enabled"] != nil {
		t.Errorf("auth data %q, at revision %s, want %d", slices.Sorted(maps.Keys(p.end.Auth)), got, status.AuthRevision)
	}
	left := &place{}
	if _, err := migrate.File(t.Context(), file, left.begin, migrate.Options{WithoutAuth: true}, quiet{}); err != nil || len(left.end.Auth) > 0 {
		t.Errorf("left behind: %v, %v", left.end.Auth, err)
	}
}

// restored is an etcd that etcdutl has restored with a raised revision, which leaves an entry
// without a key.
func restored(t *testing.T, client *clientv3.Client) *clientv3.Client {
	t.Helper()
	options := oracle.Options{
		DataDir: cluster.Folder(t), Name: "restored",
		PeerURL: fmt.Sprintf("http://127.0.0.1:%d", cluster.FreePorts(t, 1)[0]),
	}
	path := filepath.Join(t.TempDir(), "snapshot.db")
	if err := migrate.NewSource(client, time.After).Save(t.Context(), path, quiet{}); err != nil {
		t.Fatal(err)
	}
	err := snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: path, OutputDataDir: options.DataDir, Name: options.Name, PeerURLs: []string{options.PeerURL},
		InitialCluster: options.Name + "=" + options.PeerURL, InitialClusterToken: "restored", RevisionBump: 1000, MarkCompacted: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return oracle.Start(t, options).Client()
}

// live imports from a running etcd.
func live(ctx context.Context, client *clientv3.Client, p *place, o migrate.LiveOptions, progress migrate.Progress) (migrate.LiveOutcome, error) {
	o.Now = time.Now
	return migrate.Live(ctx, migrate.NewSource(client, time.After), p.begin, o, progress)
}

// A source that was restored with a raised revision has the same hash but for the entry without a
// key, which is made up for.
func TestMarkers(t *testing.T) {
	t.Parallel()
	client, _ := source(t, 5)
	bumped := restored(t, client)
	load := etcdload.New(bumped, 5)
	if err := load.Write(t.Context(), 30); err != nil {
		t.Fatal(err)
	}
	p := &place{}
	o, err := live(t.Context(), bumped, p, migrate.LiveOptions{}, quiet{})
	if err != nil || len(o.Markers) != 1 {
		t.Fatalf("%+v: %v", o, err)
	}
	wantEqual(t, p, o.Outcome)
}

// A live import that follows a source which is written to and compacted all the time.
func TestLiveUnderLoad(t *testing.T) {
	t.Parallel()
	client, load := source(t, 6)
	p := &place{}
	written, cutOver := make(chan error, 1), make(chan struct{})
	following := quiet{step: func(what string) {
		if what != "following the source" {
			return
		}
		go func() { // from the moment on that it follows
			written <- func() error {
				for range 5 {
					if err := load.Write(t.Context(), 60); err != nil {
						return err
					}
					// A source that is compacted ahead of the import ends it: see TestLiveOvertaken.
					if err := cluster.Poll(patience, p.reaches(load.Revision)); err != nil {
						return err
					}
					if _, err := load.Compact(t.Context(), load.Revision-20); err != nil {
						return err
					}
				}
				return nil
			}()
			close(cutOver)
		}()
	}}
	o, err := live(t.Context(), client, p, migrate.LiveOptions{Follow: true, CutOver: cutOver}, following)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if int64(o.Revision) != load.Revision || o.Revision < o.Snapshot.Revision+250 || o.Compacted < o.Snapshot.Revision {
		t.Errorf("%+v, the load ended at %d", o, load.Revision)
	}
	wantEqual(t, p, o.Outcome)
}

// A cut-over in the middle of the writes ends at one revision, whole.
func TestLiveCutOverUnderLoad(t *testing.T) {
	t.Parallel()
	client, load := source(t, 7)
	ctx, cancel := context.WithCancel(t.Context())
	writing, done := make(chan struct{}), make(chan error, 1)
	go func() {
		close(writing)
		done <- load.Write(ctx, 1_000_000)
	}()
	<-writing
	for range 3 {
		p := &place{}
		o, err := live(t.Context(), client, p, migrate.LiveOptions{}, quiet{})
		if err != nil {
			t.Fatal(err)
		}
		h, err := migrate.Hash(t.Context(), p, o.Outcome)
		if err != nil || h.Comparable != o.SourceHash {
			t.Errorf("hash %08x (%v), the source had %08x at %d", h.Comparable, err, o.SourceHash, o.Revision)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the load ended: %v", err)
	}
}

// The cut-over comes by itself when nothing is written.
func TestLiveIdle(t *testing.T) {
	t.Parallel()
	client, load := source(t, 8)
	p := &place{}
	o, err := live(t.Context(), client, p, migrate.LiveOptions{Follow: true, Idle: time.Second, CutOver: make(chan struct{})}, quiet{})
	if err != nil || int64(o.Revision) != load.Revision {
		t.Fatalf("%+v: %v", o, err)
	}
	wantEqual(t, p, o.Outcome)
}

// A source compacted at just its current revision does not tell its hash; a second snapshot
// does.
func TestLiveOfSourceCompactedAtItsHead(t *testing.T) {
	t.Parallel()
	client, load := source(t, 9)
	if _, err := client.Compact(t.Context(), load.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if h := head(t, client); !h.Unhashed || int64(h.Compacted) != load.Revision {
		t.Fatalf("%+v", h)
	}
	p := &place{}
	o, err := live(t.Context(), client, p, migrate.LiveOptions{}, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, p, o.Outcome)
}

// A live import that was killed goes on with a later snapshot while the compaction is the same, and is
// another one after it.
func TestLiveResumes(t *testing.T) {
	t.Parallel()
	client, load := source(t, 10)
	p := &place{killAfter: 40}
	if _, err := live(t.Context(), client, p, migrate.LiveOptions{}, quiet{}); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	if err := load.Write(t.Context(), 30); err != nil {
		t.Fatal(err)
	}
	o, err := live(t.Context(), client, p, migrate.LiveOptions{}, quiet{})
	if err != nil || o.Resumed != 39 {
		t.Fatalf("%+v: %v", o, err)
	}
	wantEqual(t, p, o.Outcome)

	q := &place{killAfter: 40}
	if _, err := live(t.Context(), client, q, migrate.LiveOptions{}, quiet{}); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	if _, err := load.Compact(t.Context(), int64(o.Revision)-1); err != nil {
		t.Fatal(err)
	}
	if _, err := live(t.Context(), client, q, migrate.LiveOptions{}, quiet{}); err == nil {
		t.Error("went on with an import of another compaction")
	}
}

// overtaken compacts the source when the import begins to bring versions.
type overtaken struct {
	quiet
	*place
	t      *testing.T
	client *clientv3.Client
	load   *etcdload.Load
}

func (o *overtaken) begin(ctx context.Context, start router.RestoreStart) (migrate.Restoration, error) {
	if err := o.load.Write(o.t.Context(), 20); err != nil {
		return nil, err
	}
	if _, err := o.client.Compact(o.t.Context(), o.load.Revision); err != nil {
		return nil, err
	}
	return o.place.begin(ctx, start)
}

// A compaction that overtakes the import is a gap.
func TestLiveOvertaken(t *testing.T) {
	t.Parallel()
	client, load := source(t, 11)
	o := &overtaken{place: &place{}, t: t, client: client, load: load}
	_, err := migrate.Live(t.Context(), migrate.NewSource(client, time.After), o.begin, migrate.LiveOptions{Now: time.Now}, o.quiet)
	if !errors.Is(err, migrate.ErrGap) || o.end != nil {
		t.Errorf("%v", err)
	}
}

func TestLiveOfNothing(t *testing.T) {
	t.Parallel()
	p := &place{}
	o, err := live(t.Context(), oracle.Start(t, oracle.Options{}).Client(), p, migrate.LiveOptions{}, quiet{})
	if err != nil || o.Revision != 1 || o.Compacted != -1 {
		t.Fatalf("%+v: %v", o, err)
	}
	wantEqual(t, p, o.Outcome)
}
