package restore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tierd/tierd/backup"
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

// Meter says how far a restore is. It may be read while one runs.
type Meter struct {
	// Bytes are those of the stored objects that were read, Versions those that were brought.
	Bytes, Versions atomic.Int64
	// Total is what Bytes comes to.
	Total atomic.Int64
	// Resumed is how many versions were there from a restore before.
	Resumed atomic.Int64
}

// Outcome is what a restore has brought.
type Outcome struct {
	// Revision and Compacted are the keyspace's, Compacted -1 for never. Time is when the archived
	// one is known to have been at the plan's revision.
	Revision, Compacted router.Revision
	Time                time.Time
	// Versions counts what was brought, LeftOut those of keys that were not asked for, Resumed how many
	// of Versions an interrupted restore had brought before.
	Versions, LeftOut, Resumed int64
	// Keys counts those alive.
	Keys, Leases int64
	// Bytes is how much was read of the archive, before it was compressed.
	Bytes int64
	// Plan is what was read: that of the interrupted restore, if one was gone on with.
	Plan *Plan
}

// Run carries a plan out, or goes on with an interrupted restore of the same request. The errors of
// begin come back as they are: router.ErrKeyspaceExists, *router.OtherRestore.
func Run(ctx context.Context, a *backup.Archive, c *backup.Catalog, plan *Plan, begin Begin, meter *Meter) (Outcome, error) {
	r, err := begin(ctx, plan.start())
	if other := (*router.OtherRestore)(nil); errors.As(err, &other) {
		interrupted, same, failed := plan.Continue(ctx, a, c, other.ID)
		if failed != nil {
			return Outcome{}, failed
		}
		if same {
			plan = interrupted
			r, err = begin(ctx, plan.start())
		}
	}
	if err != nil {
		return Outcome{}, err
	}
	defer r.Close()
	meter.Total.Store(plan.Bytes)
	meter.Resumed.Store(r.Resumed())
	b := bringing{ctx: ctx, plan: plan, to: r, meter: meter}
	return b.run(a)
}

func (p *Plan) start() router.RestoreStart { return router.RestoreStart{ID: p.ID(), Floor: p.Floor} }

// bringing is one run.
type bringing struct {
	// ctx is that of the run.
	ctx     context.Context
	plan    *Plan
	to      Restoration
	meter   *Meter
	outcome Outcome
}

func (b *bringing) run(a *backup.Archive) (Outcome, error) {
	reading := b.plan.Plan
	reading.Progress = &b.meter.Bytes
	read, err := a.Read(b.ctx, reading, b.take)
	if err != nil {
		return Outcome{}, err
	}
	end := b.plan.end(read)
	if err := b.to.End(b.ctx, end); err != nil {
		return Outcome{}, fmt.Errorf("make the keyspace available: %w", err)
	}
	o := &b.outcome
	o.Revision, o.Compacted, o.Time, o.Leases, o.Bytes = end.Revision, end.Compacted, read.Time, int64(len(end.Leases)), read.Bytes
	o.Resumed, o.Plan = b.to.Resumed(), b.plan
	return *o, nil
}

func (b *bringing) take(it backup.Item) error {
	if it.Kind != backup.KindChange {
		return nil
	}
	if !b.plan.wanted(it.Version.KV.Key) {
		b.outcome.LeftOut++
		return nil
	}
	if err := b.to.Add(b.ctx, it.Version); err != nil {
		return fmt.Errorf("bring revision %d: %w", it.Revision, err)
	}
	b.outcome.Versions++
	b.meter.Versions.Store(b.outcome.Versions)
	b.outcome.Keys += keysMade(&it.Version, b.plan.Floor)
	return nil
}

// keysMade is by how many keys there are more after a version. Up to the floor there is one version at most
// of each key, the one alive there (or, of the floor itself, its deletion).
func keysMade(v *router.Version, floor router.Revision) int64 {
	switch {
	case v.Main <= floor && v.Tombstone:
		return 0
	case v.Main <= floor:
		return 1
	case v.Tombstone:
		return -1
	case v.KV.Version == 1:
		return 1
	default:
		return 0
	}
}
