package etcdfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/etcdload"
	"github.com/tierd/tierd/test/oracle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is an etcd with a history.
func source(t *testing.T, seed uint64, configure func(*embed.Config)) (*clientv3.Client, *etcdload.Load) {
	t.Helper()
	t.Logf("seed %d", seed)
	client := oracle.Start(t, oracle.Options{Configure: configure}).Client()
	return client, etcdload.New(client, seed)
}

func write(t *testing.T, load *etcdload.Load, operations int) {
	t.Helper()
	if err := load.Write(t.Context(), operations); err != nil {
		t.Fatal(err)
	}
}

func compact(t *testing.T, load *etcdload.Load, after int64, options ...clientv3.CompactOption) int64 {
	t.Helper()
	at, err := load.Compact(t.Context(), after, options...)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// save takes a snapshot as etcdctl does.
func save(t *testing.T, client *clientv3.Client) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snapshot.db")
	config := clientv3.Config{Endpoints: client.Endpoints(), Logger: zap.NewNop()}
	if _, err := snapshot.NewV3(zap.NewNop()).Save(t.Context(), config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path string) *etcdfile.Reader {
	t.Helper()
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

// sameAs compares a snapshot with the etcd it is of: hashes of all revisions, counts, leases.
func sameAs(t *testing.T, r *etcdfile.Reader, client *clientv3.Client, low int64) {
	t.Helper()
	s := r.State()
	for revision := low; revision <= int64(s.Revision); revision++ {
		want, err := client.HashKV(t.Context(), client.Endpoints()[0], revision)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Hash(t.Context(), etcdfile.Point{At: router.Revision(revision), Compacted: s.Compacted})
		if err != nil || got != want.Hash || int64(s.Compacted) != want.CompactRevision {
			t.Fatalf("revision %d: hash %08x compacted %d (%v), etcd has %08x %d", revision, got, s.Compacted, err, want.Hash, want.CompactRevision)
		}
	}
	live, err := client.Get(t.Context(), "\x00", clientv3.WithFromKey(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	leases, err := client.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Keys != live.Count || int64(s.Revision) != live.Header.Revision || s.Leases != int64(len(leases.Leases)) || !s.Digested || s.StorageVersion != "3.7.0" {
		t.Errorf("state %+v; etcd has %d keys at %d, %d leases", s, live.Count, live.Header.Revision, len(leases.Leases))
	}
}

// What a snapshot says is what the etcd says: at every revision, before and after compactions, and
// with nothing left alive.
func TestReaderEqualsEtcd(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			client, load := source(t, seed, nil)
			sameAs(t, open(t, save(t, client)), client, 1)
			write(t, load, 80)
			sameAs(t, open(t, save(t, client)), client, 1)
			at := compact(t, load, 10, clientv3.WithCompactPhysical())
			sameAs(t, open(t, save(t, client)), client, at+1)
			write(t, load, 40)
			at = compact(t, load, at, clientv3.WithCompactPhysical())
			write(t, load, 40)
			sameAs(t, open(t, save(t, client)), client, at+1)
			if _, err := client.Delete(t.Context(), "\x00", clientv3.WithFromKey()); err != nil {
				t.Fatal(err)
			}
			sameAs(t, open(t, save(t, client)), client, at+1)
		})
	}
}

// A snapshot tells the hashes that its etcd has after a compaction to come.
func TestHashOfALaterCompaction(t *testing.T) {
	t.Parallel()
	client, load := source(t, 8, nil)
	write(t, load, 60)
	before := compact(t, load, 20, clientv3.WithCompactPhysical())
	write(t, load, 60)
	r := open(t, save(t, client))
	at := compact(t, load, before, clientv3.WithCompactPhysical())
	for revision := at + 1; revision <= load.Revision; revision++ {
		want, err := client.HashKV(t.Context(), client.Endpoints()[0], revision)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Hash(t.Context(), etcdfile.Point{At: router.Revision(revision), Compacted: router.Revision(at)})
		if err != nil || got != want.Hash {
			t.Fatalf("revision %d compacted at %d: %08x (%v), etcd has %08x", revision, at, got, err, want.Hash)
		}
	}
	if _, err := r.Hash(t.Context(), etcdfile.Point{At: router.Revision(before), Compacted: router.Revision(before - 1)}); err == nil {
		t.Error("a hash from before the compaction")
	}
}

// versions are all that a snapshot yields.
func versions(t *testing.T, r *etcdfile.Reader) (all []router.Version) {
	t.Helper()
	err := r.Versions(t.Context(), func(v router.Version) error {
		all = append(all, v)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A compaction that was under way when the snapshot was taken counts as done.
func TestCompactionUnderWay(t *testing.T) {
	t.Parallel()
	client, load := source(t, 3, func(c *embed.Config) {
		c.CompactionBatchLimit, c.CompactionSleepInterval = 10, time.Hour
	})
	write(t, load, 120)
	at := compact(t, load, 80)
	write(t, load, 20)
	r := open(t, save(t, client))
	if got := r.State().Compacted; int64(got) != at {
		t.Fatalf("compacted at %d, want %d", got, at)
	}
	sameAs(t, r, client, at+1)
	state, err := client.Get(t.Context(), "\x00", clientv3.WithFromKey(), clientv3.WithRev(at))
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, v := range versions(t, r) {
		if int64(v.Main) <= at && !v.Tombstone {
			kept++
		}
	}
	if kept != len(state.Kvs) {
		t.Errorf("%d versions of the compacted part, and %d keys are alive there", kept, len(state.Kvs))
	}
}

// What the reader yields, the writer makes the same database of.
func TestWriterAndReader(t *testing.T) {
	t.Parallel()
	client, load := source(t, 4, nil)
	write(t, load, 100)
	compact(t, load, 40, clientv3.WithCompactPhysical())
	_, err1 := client.UserAdd(t.Context(), "somebody", "secret")
	_, err2 := client.RoleAdd(t.Context(), "something")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	r := open(t, save(t, client))
	path := filepath.Join(t.TempDir(), "copy.db")
	w, err := etcdfile.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	all := versions(t, r)
	for _, v := range all {
		if err := w.PutVersion(v); err != nil {
			t.Fatal(err)
		}
	}
	leases, err := r.Leases()
	if err != nil {
		t.Fatal(err)
	}
	s := r.State()
	auth := maps.Clone(r.Auth())
	auth["enabled"], auth["unknown to etcd"] = []byte("1"), nil
	err = errors.Join(w.PutLeases(leases), w.PutAuth(auth), w.PutMeta(etcdfile.Meta{Revision: s.Revision, Compacted: s.Compacted, StorageVersion: "3.7.0"}))
	if err != nil {
		t.Fatal(err)
	}
	size, err := w.Finish(etcdfile.FinishOptions{Digest: true, Sync: true})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() != size || info.Mode().Perm() != 0o600 {
		t.Errorf("file of %v, %v (%v), want %d bytes for the owner only", info.Size(), info.Mode(), err, size)
	}
	again := open(t, path)
	if diff := cmp.Diff(all, versions(t, again), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	delete(auth, "unknown to etcd")
	if diff := cmp.Diff(auth, again.Auth()); diff != "" {
		t.Error(diff)
	}
	want := s
	want.AuthEnabled = true
	got := again.State()
	got.Digest, got.SizeBytes = want.Digest, want.SizeBytes
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	client, load := source(t, 5, nil)
	write(t, load, 50)
	path := save(t, client)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	altered := bytes.Clone(whole)
	altered[len(altered)/2] ^= 1
	otherDatabase := filepath.Join(t.TempDir(), "other")
	db, err := bolt.Open(otherDatabase, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(otherDatabase)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{
		"altered":                  {altered, etcdfile.ErrAltered},
		"digest of another":        {append(bytes.Clone(other), whole[len(whole)-32:]...), etcdfile.ErrAltered},
		"cut within the digest":    {whole[:len(whole)-1], etcdfile.ErrNotDatabase},
		"cut to whole pages":       {whole[:4*4096], etcdfile.ErrAltered},
		"other database":           {other, etcdfile.ErrNotDatabase},
		"text":                     {bytes.Repeat([]byte("no database"), 512), etcdfile.ErrNotDatabase},
		"empty":                    {nil, etcdfile.ErrNotDatabase},
		"altered, without digest":  {bytes.Repeat([]byte{0xff}, 16*4096), etcdfile.ErrNotDatabase},
		"versions of garbage only": {scrambled(t, whole), etcdfile.ErrAltered},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := etcdfile.Open(t.Context(), path); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
			if err == nil {
				_ = r.Close()
			}
		}
	}
	if _, err := etcdfile.Open(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := etcdfile.Open(cancelled, path); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// scrambled is a database without digest, in which a version has a value that is none.
func scrambled(t *testing.T, whole []byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scrambled")
	if err := os.WriteFile(path, whole[:len(whole)-32], 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		key, _ := tx.Bucket([]byte("key")).Cursor().First()
		return tx.Bucket([]byte("key")).Put(key, []byte{0xff, 0xff})
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Users are told, and so are alarms.
func TestAuthAndAlarms(t *testing.T) {
	t.Parallel()
	client, _ := source(t, 6, nil)
	ctx := t.Context()
	_, err1 := client.RoleAdd(ctx, "root")
	_, err2 := client.UserAdd(ctx, "root", "secret")
	_, err3 := client.UserGrantRole(ctx, "root", "root")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	s := open(t, save(t, client)).State()
	if s.AuthEnabled || len(s.Users) != 1 || s.Users[0] != "root" || len(s.Roles) != 1 {
		t.Errorf("%+v", s)
	}
	if _, err := client.AuthEnable(ctx); err != nil {
		t.Fatal(err)
	}
	login, err := clientv3.New(clientv3.Config{Endpoints: client.Endpoints(), Username: "root", Password: "secret", Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer login.Close()
	path := filepath.Join(t.TempDir(), "auth.db")
	config := clientv3.Config{Endpoints: client.Endpoints(), Username: "root", Password: "secret", Logger: zap.NewNop()}
	if _, err := snapshot.NewV3(zap.NewNop()).Save(ctx, config, path); err != nil {
		t.Fatal(err)
	}
	if s := open(t, path).State(); !s.AuthEnabled {
		t.Errorf("%+v", s)
	}
}

// The entry that etcdutl's --bump-revision leaves is no key, and counts for the hash.
func TestBumpedRevision(t *testing.T) {
	t.Parallel()
	client, load := source(t, 7, nil)
	write(t, load, 50)
	options := oracle.Options{
		DataDir: cluster.Folder(t), Name: "restored",
		PeerURL: fmt.Sprintf("http://127.0.0.1:%d", cluster.FreePorts(t, 1)[0]),
	}
	err := snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: save(t, client), OutputDataDir: options.DataDir, Name: options.Name,
		PeerURLs: []string{options.PeerURL}, InitialCluster: options.Name + "=" + options.PeerURL,
		InitialClusterToken: "restored", RevisionBump: 1000, MarkCompacted: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	restored := oracle.Start(t, options).Client()
	put, err := restored.Put(t.Context(), "after", "bump")
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, save(t, restored))
	if s := r.State(); len(s.Markers) != 1 || int64(s.Markers[0]) != load.Revision+1000 || int64(s.Revision) != put.Header.Revision {
		t.Errorf("%+v, want a marker at %d and revision %d", s, load.Revision+1000, put.Header.Revision)
	}
	want, err := restored.HashKV(t.Context(), restored.Endpoints()[0], 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Hash(t.Context(), etcdfile.Point{At: router.Revision(put.Header.Revision), Compacted: r.State().Compacted}); err != nil || got != want.Hash {
		t.Errorf("hash %08x (%v), etcd has %08x", got, err, want.Hash)
	}
}
