// Package migrate brings a keyspace from an etcd to tierd, as it is: with its revisions, versions,
// leases and compacted revision, so that HashKV of both is the same.
//
// It reads an etcd snapshot file, or a running etcd: a snapshot of that, and then what is
// written to it, as a watch tells it, until the cut-over. It promises that what it brings is
// complete and in order or that it fails: a gap in what the source tells is an error, never passed
// over. What was interrupted before its end is gone on with by doing the same again. Nothing is
// ever written to the source.
package migrate

import (
	"context"
	"fmt"

	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/router"
)

// Restoration is where a keyspace is brought to: *router.Restoration.
type Restoration interface {
	Resumed() int64
	Add(ctx context.Context, v router.Version) error
	End(ctx context.Context, end router.RestoreEnd) error
	Close()
}

// Begin begins a restoration, or goes on with one: router.Restore.
type Begin func(ctx context.Context, start router.RestoreStart) (Restoration, error)

// Progress is told how far a migration is. It must return soon.
type Progress interface {
	// Step begins a step of total things, 0 if nobody knows how many.
	Step(what string, total int64)
	// Done says how many there are done now.
	Done(count int64)
	// Following says how far a live import is behind its source.
	Following(imported, source router.Revision)
}

// Options are what an operator may choose.
type Options struct {
	// Bump raises the revision by so many and compacts there, so that clients that have seen
	// later revisions than the source's read everything anew; 0 keeps it.
	Bump router.Revision
	// WithoutAuth leaves users and roles behind; who reaches the keyspace may then do everything.
	WithoutAuth bool
}

// Outcome is what was brought, or would be.
type Outcome struct {
	// Revision and Compacted are the keyspace's.
	Revision, Compacted router.Revision
	// Versions counts all, Resumed those that an interrupted import before had brought.
	Versions, Resumed int64
	Keys, Leases      int64
	// SourceHash is HashKV of the source at this revision and compaction.
	SourceHash uint32
	// Markers are revisions with an entry that has no key: part of the source's hash, and not brought.
	Markers []router.Revision
}

// Planned is what the import of a file would bring, but for its hash.
func Planned(s etcdfile.State, o Options) Outcome {
	p := Outcome{
		Revision: s.Revision, Compacted: s.Compacted, Versions: s.Versions, Keys: s.Keys, Leases: s.Leases, Markers: s.Markers,
	}
	if o.Bump > 0 {
		p.Revision += o.Bump
		p.Compacted = p.Revision
	}
	return p
}

// File brings the contents of a snapshot file.
func File(ctx context.Context, file *etcdfile.Reader, begin Begin, o Options, progress Progress) (Outcome, error) {
	s := file.State()
	outcome := Planned(s, o)
	r, err := begin(ctx, router.RestoreStart{ID: fmt.Sprintf("etcd snapshot %x", s.Digest), Floor: s.Floor})
	if err != nil {
		return outcome, err
	}
	defer r.Close()
	outcome.Resumed = r.Resumed()
	if err := bring(ctx, file, r, progress); err != nil {
		return outcome, err
	}
	leases, err := file.Leases()
	if err != nil {
		return outcome, err
	}
	if outcome.SourceHash, err = file.Hash(ctx, etcdfile.Point{At: outcome.Revision, Compacted: outcome.Compacted}); err != nil {
		return outcome, fmt.Errorf("hash the source: %w", err)
	}
	progress.Step("making the keyspace available", 0)
	end := router.RestoreEnd{Revision: outcome.Revision, Compacted: outcome.Compacted, Leases: leases}
	if !o.WithoutAuth {
		end.Auth = file.Auth()
	}
	if err := r.End(ctx, end); err != nil {
		return outcome, fmt.Errorf("end the import: %w", err)
	}
	return outcome, nil
}

// progressEvery is after how many versions progress is told.
const progressEvery = 1000

// bring adds the versions of a file. The restoration passes over those that it has.
func bring(ctx context.Context, file *etcdfile.Reader, r Restoration, progress Progress) error {
	done := int64(0)
	progress.Step("importing versions", file.State().Versions)
	err := file.Versions(ctx, func(v router.Version) error {
		if err := r.Add(ctx, v); err != nil {
			return fmt.Errorf("bring revision %d.%d: %w", v.Main, v.Sub, err)
		}
		if done++; done%progressEvery == 0 {
			progress.Done(done)
		}
		return nil
	})
	if err != nil {
		return err
	}
	progress.Done(file.State().Versions)
	return nil
}

// Keyspace is what was imported, opened.
type Keyspace interface {
	HashedHistory(ctx context.Context, at router.Revision, yield func(router.Version) error) (router.HistoryInfo, error)
}

// Hashes are HashKV of an imported keyspace.
type Hashes struct {
	// Own is its own, Comparable the one to compare with the source's: the same, but with the source's
	// entries without a key, if it has any.
	Own, Comparable uint32
	Info            router.HistoryInfo
}

// Hash computes HashKV of an imported keyspace.
func Hash(ctx context.Context, k Keyspace, o Outcome) (h Hashes, err error) {
	own, comparable := etcdfile.NewHasher(), etcdfile.NewHasher()
	markers := hashedMarkers(o)
	h.Info, err = k.HashedHistory(ctx, o.Revision, func(v router.Version) error {
		for len(markers) > 0 && markers[0] <= v.Main {
			comparable.WriteMarker(markers[0])
			markers = markers[1:]
		}
		if err := own.Write(v); err != nil {
			return err
		}
		return comparable.Write(v)
	})
	if err != nil {
		return h, fmt.Errorf("hash revision %d of the imported keyspace: %w", o.Revision, err)
	}
	for _, m := range markers {
		comparable.WriteMarker(m)
	}
	h.Own, h.Comparable = own.Sum(), comparable.Sum()
	return h, nil
}

// hashedMarkers are the entries without a key that the source's hash has: as those of any key,
// the last one at or below the compacted revision, if none is above it, and all above.
func hashedMarkers(o Outcome) []router.Revision {
	for i, m := range o.Markers {
		if m > o.Compacted {
			return o.Markers[i:]
		}
	}
	if n := len(o.Markers); n > 0 {
		return o.Markers[n-1:]
	}
	return nil
}
