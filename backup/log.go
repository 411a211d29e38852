package backup

import (
	"context"
	"fmt"
	"sort"

	"github.com/tierd/tierd/router"
)

// LogRange is a part of all that an archive keeps. From is the first revision that is of interest, 0 for the first
// kept; To the last, 0 for the end.
type LogRange struct{ From, To router.Revision }

// LogVisit is told what ReadLog finds.
type LogVisit struct {
	// Begin is called with a base before its items come: the first one, and one after each gap. The
	// items of a base are the state at its revision (with the versions since it was compacted), so
	// after a gap many have been seen before, and a key that is not among them was deleted.
	Begin func(Base) error
	// Item is called with each item, in order, as by Read.
	Item func(Item) error
}

// ReadLog reads all that the archive keeps, from the newest base not after the range's beginning, or else from the
// first base, to the range's end: what happened, with nothing compacted, but for the gaps. Changes before From
// come, too, as far as they are in the base and the blocks after it. It returns what it has come to at the end.
func (a *Archive) ReadLog(ctx context.Context, c *Catalog, part LogRange, visit LogVisit) (End, error) {
	i := max(0, sort.Search(len(c.Bases), func(i int) bool { return c.Bases[i].Revision > part.From })-1)
	w := &walk{archive: a, limit: part.To, yield: visit.Item}
	for ; i < len(c.Bases); i++ {
		base := c.Bases[i]
		if w.leases != nil && base.Block <= w.block {
			continue
		}
		if part.To != 0 && base.Revision > part.To {
			break
		}
		if err := visit.Begin(base); err != nil {
			return End{}, err
		}
		if err := w.run(ctx, base, c.upTo(base, part.To)); err != nil {
			return End{}, fmt.Errorf("read the log of the archive: %w", err)
		}
	}
	end := w.end()
	if part.To != 0 {
		end.Revision = min(end.Revision, part.To)
	}
	return end, nil
}

// upTo are the stretches after a base that say what happened up to a revision (0: to the end).
func (c *Catalog) upTo(base Base, revision router.Revision) []Stretch {
	run := c.from(base)
	for i := range run {
		if revision != 0 && run[i].First-1 > revision {
			return run[:i]
		}
	}
	return run
}
