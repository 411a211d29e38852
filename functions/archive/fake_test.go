package archive

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/archivetest"
	"github.com/tierd/tierd/router"
)

const name = "k"

// keyspace is a router.Archivist in memory. Its clock stands still until it is moved.
type keyspace struct {
	now                 time.Time
	revision, compacted router.Revision
	versions            []router.Version
	leases              map[int64]int64
	auth                map[string][]byte
	// journal has the entries after forgotten; page is how many of them one call reads.
	journal   []router.JournalEntry
	forgotten int64
	page      int
	// dropped is the last revision that cannot be read any more, kept what the archive lets go of.
	dropped, kept router.Revision

	token    string
	epoch    int64
	progress router.ArchiveProgress
	// advance, if it is set, is called instead of noting progress, and may do so itself.
	advance func(router.ArchiveProgress) error
}

var _ router.Archivist = (*keyspace)(nil)

func newKeyspace() *keyspace {
	return &keyspace{now: archivetest.Began(), revision: 1, compacted: -1, leases: make(map[int64]int64), auth: make(map[string][]byte), page: 1000,
		progress: router.ArchiveProgress{To: time.UnixMilli(0)}}
}

// put writes some keys at once, a second after what was before.
func (k *keyspace) put(keys ...string) {
	k.now = k.now.Add(time.Second)
	k.revision++
	for sub, key := range keys {
		k.versions = append(k.versions, router.Version{Main: k.revision, Sub: int64(sub), KV: &mvccpb.KeyValue{
			Key: []byte(key), Value: fmt.Append(nil, k.revision), CreateRevision: int64(k.revision), ModRevision: int64(k.revision), Version: 1}})
	}
}

func (k *keyspace) note(e router.JournalEntry) {
	e.Number, e.Revision, e.Time = k.forgotten+int64(len(k.journal))+1, k.revision, k.now
	k.journal = append(k.journal, e)
}

func (k *keyspace) grant(lease int64) {
	k.leases[lease] = 60
	k.note(router.JournalEntry{Kind: router.JournalGrant, Lease: lease, TTLSeconds: 60})
}

func (k *keyspace) end(lease int64) {
	delete(k.leases, lease)
	k.note(router.JournalEntry{Kind: router.JournalEnd, Lease: lease, TTLSeconds: 60})
}

func (k *keyspace) setAuth(name, value string) {
	k.auth[name] = []byte(value)
	k.note(router.JournalEntry{Kind: router.JournalAuth, Auth: []router.AuthField{{Name: name, Value: []byte(value)}}})
}

func (k *keyspace) AuthData(context.Context) (router.AuthData, error) {
	return router.AuthData{Fields: maps.Clone(k.auth)}, nil
}

func (k *keyspace) mark() { k.note(router.JournalEntry{Kind: router.JournalMark}) }

func (k *keyspace) compact(at router.Revision) {
	k.compacted = at
	k.note(router.JournalEntry{Kind: router.JournalCompact, Compacted: at})
}

// forget drops all entries of the journal but the last ones.
func (k *keyspace) forget(but int) {
	gone := len(k.journal) - but
	k.forgotten, k.journal = k.forgotten+int64(gone), k.journal[gone:]
}

func (k *keyspace) ClaimArchive(_ context.Context, token string) (router.ArchiveRole, error) {
	if k.token != "" && k.token != token {
		return router.ArchiveRole{}, router.ErrFenced
	}
	if k.token == "" {
		k.token = token
		k.epoch++
	}
	return router.ArchiveRole{Epoch: k.epoch, Cluster: 0xabc, Began: archivetest.Began(), Progress: k.progress}, nil
}

func (k *keyspace) Journal(_ context.Context, token string, after int64) (router.JournalPage, error) {
	if token != k.token {
		return router.JournalPage{}, router.ErrFenced
	}
	last := k.forgotten + int64(len(k.journal))
	page := router.JournalPage{Revision: k.revision, Compacted: k.compacted, Now: k.now, Last: last, Lost: after < k.forgotten}
	entries := k.journal[min(max(after-k.forgotten, 0), int64(len(k.journal))):]
	page.Entries = slices.Clone(entries[:min(k.page, len(entries))])
	return page, nil
}

func (k *keyspace) ArchivedEvents(_ context.Context, from, to router.Revision, maxBytes int) ([]router.Version, router.Revision, error) {
	if from <= k.dropped {
		return nil, 0, router.ErrCompacted
	}
	var found []router.Version
	bytes, through := 0, from-1
	for r := from; r <= to && bytes < maxBytes; r++ {
		for _, v := range k.versions {
			if v.Main == r {
				found = append(found, v)
				bytes += len(v.KV.Key) + len(v.KV.Value)
			}
		}
		through = r
	}
	return found, through, nil
}

func (k *keyspace) AdvanceArchive(_ context.Context, token string, p router.ArchiveProgress, kept router.Revision) error {
	if token != k.token {
		return router.ErrFenced
	}
	if k.advance != nil {
		return k.advance(p)
	}
	k.progress, k.kept = p, kept
	return nil
}

func (k *keyspace) KeepArchive(_ context.Context, token string) error {
	if token != k.token {
		return router.ErrFenced
	}
	return nil
}

func (k *keyspace) ReleaseArchive(_ context.Context, token string) error {
	if token != k.token {
		return router.ErrFenced
	}
	k.token = ""
	return nil
}

func (k *keyspace) LookArchive(context.Context) (router.ArchiveProgress, router.Revision, error) {
	return k.progress, k.revision, nil
}

func (k *keyspace) History(_ context.Context, at router.Revision, yield func(router.Version) error) (router.HistoryInfo, error) {
	info := router.HistoryInfo{At: at, Current: k.revision, Compacted: k.compacted}
	if at < k.compacted {
		return info, router.ErrCompacted
	}
	for _, v := range k.versions {
		if v.Main <= at {
			if err := yield(v); err != nil {
				return info, err
			}
		}
	}
	return info, nil
}

func (k *keyspace) Leases(context.Context) ([]router.Lease, router.Revision, error) {
	var all []router.Lease
	for id, ttl := range k.leases {
		all = append(all, router.Lease{ID: id, GrantedTTL: ttl})
	}
	return all, k.revision, nil
}

// world is a keyspace and its archive.
type world struct {
	*testing.T
	*keyspace
	store   *archivetest.Store
	archive *backup.Archive
	now     func() time.Time
	log     *strings.Builder
}

func newWorld(t *testing.T) *world {
	k, store := newKeyspace(), archivetest.NewStore()
	return &world{T: t, keyspace: k, store: store, archive: backup.New(store, archivetest.Sealer{}, name),
		now: func() time.Time { return k.now }, log: &strings.Builder{}}
}

// enter makes a writer that has the role and has entered the archive.
func (w *world) enter(token string) *writer {
	w.Helper()
	role, err := w.ClaimArchive(w.Context(), token)
	if err != nil {
		w.Fatal(err)
	}
	settings := DefaultSettings()
	made := &writer{job: &job{c: Components{Keyspace: w.keyspace, Name: name, Logger: slog.New(slog.NewTextHandler(w.log, nil)), Now: w.now}, s: settings},
		archive: w.archive, token: token, epoch: role.Epoch, at: role.Progress,
		timeline: backup.Timeline{Keyspace: name, Began: role.Began, Cluster: role.Cluster}}
	if err := made.enter(w.Context()); err != nil {
		w.Fatal(err)
	}
	return made
}

// archived writes what there is.
func (w *world) archived(by *writer) {
	w.Helper()
	if err := by.catchUp(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// catalog lists the archive, which must have no gap.
func (w *world) catalog() *backup.Catalog {
	w.Helper()
	timelines, err := w.archive.Timelines(w.Context())
	if err != nil || len(timelines) != 1 {
		w.Fatalf("the timelines: %v, %v", timelines, err)
	}
	c, err := w.archive.Catalog(w.Context(), timelines[0])
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// read gives the keys and leases that the archive has at its end, and what it has come to.
func (w *world) read() (keys []string, end backup.End) {
	w.Helper()
	c := w.catalog()
	plan, err := w.archive.Plan(w.Context(), c, backup.Target{})
	if err != nil {
		w.Fatalf("%v; the log has %d stretches, gaps %+v", err, len(c.Log), c.Gaps)
	}
	found := make(map[string]bool)
	end, err = w.archive.Read(w.Context(), plan, func(it backup.Item) error {
		if it.Kind == backup.KindChange {
			found[string(it.Version.KV.Key)] = true
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return slices.Sorted(maps.Keys(found)), end
}

// whole checks that the archive has all there is, readable from its newest base and, without a gap, from its first one.
func (w *world) whole() {
	w.Helper()
	want := make(map[string]bool)
	for _, v := range w.versions {
		want[string(v.KV.Key)] = true
	}
	keys, end := w.read()
	if all := slices.Sorted(maps.Keys(want)); !slices.Equal(keys, all) || end.Revision != w.revision || end.Compacted != w.compacted {
		w.Errorf("the archive has %v at revision %d (compacted %d), want %v at %d (%d)", keys, end.Revision, end.Compacted, all, w.revision, w.compacted)
	}
	var leases []int64
	for _, l := range end.Leases {
		leases = append(leases, l.ID)
	}
	if all := slices.Sorted(maps.Keys(w.leases)); !slices.Equal(leases, all) {
		w.Errorf("the archive has the leases %v, want %v", leases, all)
	}
}
