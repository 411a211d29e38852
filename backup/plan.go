package backup

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync/atomic"
	"time"

	"github.com/tierd/tierd/router"
)

// ErrOutside: what was asked for is not in the archive. The sentence around it says what is.
var ErrOutside = errors.New("it is not in the archive")

// Target is a moment of a keyspace: its revision, or else a time, or else (the zero value) the latest
// that the archive has.
//
// The state at a time is that at the last revision of which the archive knows that the keyspace had
// it then: a mark says so, or the end of a block.
type Target struct {
	Revision router.Revision
	Time     time.Time
}

// Plan is what has to be read to get the state at a Target.
type Plan struct {
	Timeline Timeline
	Base     Base
	// Log are the stretches to read after the base, in order. The last of them may go further.
	Log []Stretch
	// Revision is what results: all that happened up to it, and while it was the current one.
	Revision router.Revision
	// Time is when the keyspace is known to have been there: for a Target with a Time, the last such moment not
	// after it; else the first one.
	Time time.Time
	// Segments and Bytes are how much is read: how many segments, and the size of those and the base
	// as they are stored.
	Segments int
	Bytes    int64
	// Progress, if it is set, counts the bytes read so far.
	Progress *atomic.Int64 `json:"-"`
}

// Plan finds what has to be read for a target. It opens at most one segment, and none for the latest.
// Errors are sentences; ErrOutside if the archive does not have it.
func (a *Archive) Plan(ctx context.Context, c *Catalog, target Target) (Plan, error) {
	if len(c.Bases) == 0 {
		return Plan{}, fmt.Errorf("the archive of %s has no base to begin from: %w", c.Timeline.Keyspace, ErrOutside)
	}
	switch {
	case target.Revision != 0:
		plan, err := c.planRevision(target.Revision)
		if err != nil {
			return Plan{}, err
		}
		plan.Time, err = a.timeOf(ctx, plan)
		return plan, err
	case !target.Time.IsZero():
		revision, at, err := a.revisionAt(ctx, c, target.Time)
		if err != nil {
			return Plan{}, err
		}
		plan, err := c.planRevision(revision)
		plan.Time = at
		return plan, err
	default:
		_, revision, at := c.End()
		plan, err := c.planRevision(revision)
		plan.Time = at
		return plan, err
	}
}

// from are the stretches that follow a base without a gap.
func (c *Catalog) from(base Base) []Stretch {
	i := sort.Search(len(c.Log), func(i int) bool { return c.Log[i].LastBlock > base.Block })
	if i == len(c.Log) || c.Log[i].FirstBlock > base.Block+1 {
		return nil
	}
	first := c.Log[i]
	if first.FirstBlock <= base.Block {
		first.FirstBlock, first.First, first.From = base.Block+1, base.Revision+1, base.Time
	}
	if !first.follows(base.Block, base.Revision) {
		return nil
	}
	run := []Stretch{first}
	for i++; i < len(c.Log) && c.Log[i].follows(c.Log[i-1].LastBlock, c.Log[i-1].Last); i++ {
		run = append(run, c.Log[i])
	}
	return run
}

// moment names a revision and a time in an error.
func moment(revision router.Revision, at time.Time) string {
	return fmt.Sprintf("revision %d (%s)", revision, at.UTC().Format(timeFormat))
}

const timeFormat = "2006-01-02T15:04:05.000Z"

// planRevision finds the base and the stretches for a revision.
func (c *Catalog) planRevision(revision router.Revision) (Plan, error) {
	i := sort.Search(len(c.Bases), func(i int) bool { return c.Bases[i].Revision > revision }) - 1
	if i < 0 {
		return Plan{}, fmt.Errorf("revision %d is before the first base of the archive, which is at %s: %w",
			revision, moment(c.Bases[0].Revision, c.Bases[0].Time), ErrOutside)
	}
	base := c.Bases[i]
	plan := Plan{Timeline: c.Timeline, Base: base, Revision: revision, Bytes: base.Size}
	run := c.from(base)
	reached, at := base.Revision, base.Time
	for _, s := range run {
		if s.First-1 > revision {
			break
		}
		plan.Log = append(plan.Log, s)
		plan.Bytes += s.Segment.Size
		reached, at = s.Last, s.To
	}
	plan.Segments = len(plan.Log)
	if reached >= revision {
		return plan, nil
	}
	return Plan{}, c.outside(fmt.Sprintf("revision %d", revision), reached, at)
}

// outside says why something after that moment, where a run of the log ends, cannot be had.
func (c *Catalog) outside(what string, revision router.Revision, at time.Time) error {
	for _, base := range c.Bases {
		if base.Revision > revision {
			return fmt.Errorf("%s is in a gap of the archive, which lies between %s and %s: %w",
				what, moment(revision, at), moment(base.Revision, base.Time), ErrOutside)
		}
	}
	if _, last, end := c.End(); last > revision || end.After(at) {
		return fmt.Errorf("%s is behind a gap of the archive: the log up to %s is there, but no base from which it can be read; the last that can be restored is %s: %w",
			what, moment(last, end), moment(revision, at), ErrOutside)
	}
	return fmt.Errorf("%s is after the end of the archive, which is at %s: %w", what, moment(revision, at), ErrOutside)
}

// revisionAt finds the revision that the keyspace had at a time, and the moment of which that is known.
func (a *Archive) revisionAt(ctx context.Context, c *Catalog, t time.Time) (router.Revision, time.Time, error) {
	i := sort.Search(len(c.Bases), func(i int) bool { return c.Bases[i].Time.After(t) }) - 1
	if i < 0 {
		return 0, time.Time{}, fmt.Errorf("the time %s is before the first base of the archive, which is at %s: %w",
			t.UTC().Format(timeFormat), moment(c.Bases[0].Revision, c.Bases[0].Time), ErrOutside)
	}
	revision, at := c.Bases[i].Revision, c.Bases[i].Time
	for _, s := range c.from(c.Bases[i]) {
		if s.To.After(t) {
			return a.lastMark(ctx, s, t, revision, at)
		}
		revision, at = s.Last, s.To
	}
	if t.After(at) {
		return 0, time.Time{}, c.outside("the time "+t.UTC().Format(timeFormat), revision, at)
	}
	return revision, at, nil
}

// errFound ends the reading of a segment.
var errFound = errors.New("found")

// marks yields each moment of a stretch of which it is known what revision the keyspace had, in order.
func (a *Archive) marks(ctx context.Context, s Stretch, yield func(router.Revision, time.Time) error) error {
	var decoder itemDecoder
	err := a.eachBlock(ctx, s.Segment, func(block rawBlock) error {
		if block.number < s.FirstBlock {
			return nil
		}
		err := block.items(&decoder, func(it *Item) error {
			if it.Kind != KindMark {
				return nil
			}
			return yield(it.Revision, it.Time)
		})
		if err != nil {
			return err
		}
		if err := yield(block.last, block.to); err != nil || block.number < s.LastBlock {
			return err
		}
		return errFound
	})
	if errors.Is(err, errFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a moment in %s: %w", s.Segment.Name(), err)
	}
	return nil
}

// lastMark finds the last moment in a stretch that is not after t; revision and at if there is none.
func (a *Archive) lastMark(ctx context.Context, s Stretch, t time.Time, revision router.Revision, at time.Time) (router.Revision, time.Time, error) {
	err := a.marks(ctx, s, func(r router.Revision, when time.Time) error {
		if when.After(t) {
			return errFound
		}
		revision, at = r, when
		return nil
	})
	return revision, at, err
}

// timeOf finds the first moment at which the keyspace is known to have had a plan's revision.
func (a *Archive) timeOf(ctx context.Context, plan Plan) (time.Time, error) {
	if plan.Base.Revision >= plan.Revision {
		return plan.Base.Time, nil
	}
	i := sort.Search(len(plan.Log), func(i int) bool { return plan.Log[i].Last >= plan.Revision })
	at := plan.Log[i].To
	if s := plan.Log[i]; s.FirstBlock == s.LastBlock {
		return at, nil
	}
	err := a.marks(ctx, plan.Log[i], func(r router.Revision, when time.Time) error {
		if r < plan.Revision {
			return nil
		}
		at = when
		return errFound
	})
	return at, err
}
