package migrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/router"
)

// lookEvery is how often a live import looks how far its source is.
const lookEvery = time.Second

// LiveOptions are what an operator may choose of a live import.
type LiveOptions struct {
	// WithoutAuth leaves users and roles behind.
	WithoutAuth bool
	// TempDir is where the snapshot is kept while it is imported; empty for the system's folder.
	TempDir string
	// Follow keeps following until CutOver is closed, or nothing was written for Idle (0: that is
	// no reason); else the cut-over comes as soon as everything up to now is there.
	Follow  bool
	CutOver <-chan struct{}
	Idle    time.Duration
	// Now is the clock.
	Now func() time.Time
}

// LiveOutcome is what a live import has brought.
type LiveOutcome struct {
	Outcome
	// Snapshot is the source as the snapshot says; what came after it was followed.
	Snapshot etcdfile.State
	// Behind is how long the source was ahead at the end: from the moment its last revision was asked
	// for until the keyspace was available at it.
	Behind time.Duration
}

// live is a live import under way.
type live struct {
	source      *Source
	restoration Restoration
	options     LiveOptions
	progress    Progress
	watch       *watch
	// imported is the last revision that was brought, changed when it last changed.
	imported router.Revision
	changed  time.Time
	// auth are the auth data of the snapshot, if they are wanted.
	auth    map[string][]byte
	outcome LiveOutcome
}

// Live brings what a running etcd has, and what is written to it until the cut-over. The
// keyspace is available when it returns. Writes to the source after the cut-over are not brought:
// the caller compares its revision then.
func Live(ctx context.Context, source *Source, begin Begin, o LiveOptions, progress Progress) (LiveOutcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := &live{source: source, options: o, progress: progress, changed: o.Now()}
	defer func() {
		if l.restoration != nil {
			l.restoration.Close()
		}
	}()
	err := l.snapshot(ctx, begin)
	if err != nil {
		return l.outcome, err
	}
	l.watch = source.watch(ctx, l.imported+1)
	defer func() {
		cancel()
		for range l.watch.events { // until its goroutine has ended
		}
	}()
	progress.Step("following the source", 0)
	if o.Follow {
		if err := l.follow(ctx); err != nil {
			return l.outcome, err
		}
	}
	return l.outcome, l.cutOver(ctx)
}

// snapshot brings a snapshot of the source.
func (l *live) snapshot(ctx context.Context, begin Begin) (err error) {
	cluster, err := l.source.Cluster(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(l.options.TempDir, "tierd-import-*")
	if err != nil {
		return fmt.Errorf("make a folder for the snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "snapshot.db")
	if err := l.source.Save(ctx, path, l.progress); err != nil {
		return err
	}
	file, err := etcdfile.Open(ctx, path)
	if err != nil {
		return fmt.Errorf("read the snapshot of the source: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	s := file.State()
	if !s.Digested {
		return fmt.Errorf("read the snapshot of the source: %w: it came without its digest", etcdfile.ErrAltered)
	}
	if !l.options.WithoutAuth {
		l.auth = file.Auth()
	}
	// A later snapshot that is compacted at the same revision begins with the same versions, so an
	// interrupted import can be gone on with as long as that does not change.
	start := router.RestoreStart{ID: fmt.Sprintf("etcd %016x compacted at %d", cluster, s.Compacted), Floor: s.Floor}
	if l.restoration, err = begin(ctx, start); err != nil {
		return err
	}
	resumed := l.restoration.Resumed()
	l.outcome = LiveOutcome{Outcome: Planned(s, Options{}), Snapshot: s}
	l.outcome.Resumed = resumed
	if resumed > s.Versions {
		return fmt.Errorf("the interrupted import brought %d versions, and this snapshot has %d: the member asked is behind; try again", resumed, s.Versions)
	}
	if err := bring(ctx, file, l.restoration, l.progress); err != nil {
		return err
	}
	l.imported = s.Revision
	return nil
}

// follow brings what is written until there is a reason for the cut-over.
func (l *live) follow(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-l.options.CutOver:
			return nil
		case events, open := <-l.watch.events:
			if err := l.take(ctx, events, open, 0); err != nil {
				return err
			}
		case <-ticker.C:
			now, err := l.source.Revision(ctx)
			if err != nil {
				return err
			}
			l.progress.Following(l.imported, now)
			if l.options.Idle > 0 && l.imported >= now && l.options.Now().Sub(l.changed) >= l.options.Idle {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take brings events, those up to a revision if that is not 0.
func (l *live) take(ctx context.Context, events []*mvccpb.Event, open bool, through router.Revision) error {
	if !open {
		return errors.Join(l.watch.failure, ctx.Err())
	}
	sub := int64(-1) // revisions come whole
	for _, e := range events {
		main := router.Revision(e.Kv.ModRevision)
		if through > 0 && main > through {
			break
		}
		switch {
		case main == l.imported && sub >= 0:
			sub++
		case main == l.imported+1:
			l.imported, sub = main, 0
		default:
			return fmt.Errorf("%w: after revision %d came %d", ErrGap, l.imported, main)
		}
		if err := l.restoration.Add(ctx, versionOf(e, sub)); err != nil {
			return fmt.Errorf("bring revision %d.%d: %w", main, sub, err)
		}
		l.count(e)
	}
	l.changed = l.options.Now()
	l.progress.Done(l.outcome.Versions)
	return nil
}

// versionOf is the version that an event tells of. Its number within the revision is its place there.
func versionOf(e *mvccpb.Event, sub int64) router.Version {
	v := router.Version{Main: router.Revision(e.Kv.ModRevision), Sub: sub, KV: e.Kv}
	if e.Type == mvccpb.Event_DELETE {
		v.Tombstone, v.KV = true, &mvccpb.KeyValue{Key: e.Kv.Key}
	}
	return v
}

func (l *live) count(e *mvccpb.Event) {
	l.outcome.Versions++
	switch {
	case e.Type == mvccpb.Event_DELETE:
		l.outcome.Keys--
	case e.Kv.CreateRevision == e.Kv.ModRevision:
		l.outcome.Keys++
	}
}

// cutOver brings what the source has by now, and makes the keyspace available.
func (l *live) cutOver(ctx context.Context) error {
	// Leases are read on both sides: whichever lease a key names is in one of the lists.
	before, err := l.source.Leases(ctx)
	if err != nil {
		return err
	}
	began := l.options.Now()
	head, err := l.source.Head(ctx)
	if err != nil {
		return err
	}
	for l.imported < head.Revision {
		select {
		case events, open := <-l.watch.events:
			if err := l.take(ctx, events, open, head.Revision); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if l.imported > head.Revision {
		return fmt.Errorf("the source says it is at revision %d, and has told of %d", head.Revision, l.imported)
	}
	after, err := l.source.Leases(ctx)
	if err != nil {
		return err
	}
	if head.Unhashed {
		if head.Hash, err = l.hashFromFile(ctx, head); err != nil {
			return err
		}
	}
	leases := union(before, after)
	l.outcome.Revision, l.outcome.Compacted, l.outcome.SourceHash = head.Revision, head.Compacted, head.Hash
	l.outcome.Leases = int64(len(leases))
	if err := l.checkAuth(ctx); err != nil {
		return err
	}
	l.progress.Step("making the keyspace available", 0)
	end := router.RestoreEnd{Revision: head.Revision, Compacted: head.Compacted, Leases: leases, Auth: l.auth}
	if err := l.restoration.End(ctx, end); err != nil {
		return fmt.Errorf("end the import: %w", err)
	}
	l.outcome.Behind = l.options.Now().Sub(began)
	return nil
}

// ErrAuthChanged: users or roles of the source have changed since its snapshot. A watch does not tell of
// them.
var ErrAuthChanged = errors.New("users or roles of the source have changed during the import")

// checkAuth refuses to end with auth data that the source no longer has.
func (l *live) checkAuth(ctx context.Context) error {
	if l.options.WithoutAuth {
		return nil
	}
	revision, known, err := l.source.AuthRevision(ctx)
	if err != nil {
		return err
	}
	if before := l.outcome.Snapshot.AuthRevision; known && revision != before {
		return fmt.Errorf("%w: the auth revision was %d and is %d", ErrAuthChanged, before, revision)
	}
	return nil
}

// hashFromFile finds the hash that the source itself does not tell, from another snapshot.
func (l *live) hashFromFile(ctx context.Context, head Head) (sum uint32, err error) {
	dir, err := os.MkdirTemp(l.options.TempDir, "tierd-import-*")
	if err != nil {
		return 0, fmt.Errorf("make a folder for a snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "snapshot.db")
	if err := l.source.Save(ctx, path, l.progress); err != nil {
		return 0, err
	}
	file, err := etcdfile.Open(ctx, path)
	if err != nil {
		return 0, fmt.Errorf("read the second snapshot of the source: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if sum, err = file.Hash(ctx, etcdfile.Point{At: head.Revision, Compacted: head.Compacted}); err != nil {
		return 0, fmt.Errorf("hash the second snapshot of the source: %w", err)
	}
	return sum, nil
}

// union has each lease once.
func union(a, b []router.Lease) []router.Lease {
	seen := make(map[int64]bool, len(a))
	all := make([]router.Lease, 0, len(a)+len(b))
	for _, l := range append(append([]router.Lease(nil), a...), b...) {
		if !seen[l.ID] {
			seen[l.ID] = true
			all = append(all, l)
		}
	}
	return all
}
