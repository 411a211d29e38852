package migrate_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/archivetest"
	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/backup/migrate"
	"github.com/tierd/tierd/router"
)

// An export of an archive has the state and the leases of the revision that was planned, compacted where
// the keyspace was.
func TestExportOfAnArchive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		w := archivetest.Write(t, archivetest.DrawModel(t, 8))
		catalog, err := w.Archive.Catalog(ctx, w.Timeline)
		if err != nil {
			t.Fatal(err)
		}
		_, last, _ := catalog.End()
		at := router.Revision(rapid.Int64Range(int64(w.Start), int64(last)).Draw(t, "at"))
		plan, err := w.Archive.Plan(ctx, catalog, backup.Target{Revision: at})
		if err != nil {
			t.Fatal(err)
		}
		want := archivetest.NewState()
		for _, it := range w.Before {
			want.Apply(&it)
		}
		for _, b := range w.Blocks {
			for _, it := range b.Items {
				if it.Revision <= at {
					want.Apply(&it)
				}
			}
		}
		path := filepath.Join(dir, "export.db")
		e, err := migrate.Export(ctx, migrate.OfArchive(w.Archive, plan), path, "3.7.0", quiet{})
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
		if e.State.Keys != int64(len(want.Live)) || compaction(e.State.Compacted) != compaction(want.Compacted) || e.State.Leases != int64(len(want.Leases)) {
			t.Fatalf("%+v, want %d keys, %d leases, compacted at %d", e.State, len(want.Live), len(want.Leases), want.Compacted)
		}
		sameLive(t, path, want)
	})
}

// compaction is one revision for all that mean never.
func compaction(r router.Revision) router.Revision { return max(r, 0) }

// sameLive compares the state at the end of a file.
func sameLive(t *rapid.T, path string, want *archivetest.State) {
	t.Helper()
	file, err := etcdfile.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	live := make(map[string]*mvccpb.KeyValue)
	err = file.Versions(context.Background(), func(v router.Version) error {
		if delete(live, string(v.KV.Key)); !v.Tombstone {
			live[string(v.KV.Key)] = v.KV
		}
		return nil
	})
	if err = errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Live, live, protocmp.Transform()); diff != "" {
		t.Fatal(diff)
	}
}

// A failure leaves no file; reading that a compaction overtook is repeated some times.
func TestExportLeavesNothingUnfinished(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		err   error
		tries int
	}{
		"broken":    {broken, 1},
		"compacted": {router.ErrCompacted, 5},
	} {
		dir, tries := t.TempDir(), 0
		path := filepath.Join(dir, "export.db")
		if err := os.WriteFile(path+".part", []byte("from before"), 0o600); err != nil {
			t.Fatal(err)
		}
		content := func(_ context.Context, yield func(router.Version) error) (migrate.Contents, error) {
			tries++
			return migrate.Contents{}, errors.Join(yield(router.Version{Main: 2, KV: &mvccpb.KeyValue{Key: []byte("a")}}), c.err)
		}
		_, err := migrate.Export(t.Context(), content, path, "3.7.0", quiet{})
		left, dirErr := os.ReadDir(dir)
		if !errors.Is(err, c.err) || tries != c.tries || dirErr != nil || len(left) != 0 {
			t.Errorf("%s: %v after %d tries, left %v (%v)", name, err, tries, left, dirErr)
		}
	}
}
