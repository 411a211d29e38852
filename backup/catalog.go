package backup

import (
	"cmp"
	"slices"
	"time"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/object"
)

// Catalog is what a timeline has, by the names of its objects.
type Catalog struct {
	Timeline Timeline
	// Bases are in order of their blocks.
	Bases []Base
	// Log are the parts of segments that together are the log, in order, each block once.
	Log []Stretch
	// Gaps are where the log does not go on from one stretch to the next, or from the last stretch to
	// a later base; and what may be missing before the first stretch.
	Gaps []Gap
	// Claims are in order of epoch, Pruned in order of blocks, both without those that others make superfluous.
	Claims []Claim
	Pruned []Pruned
	// VoidSegments and VoidBases were written by an archiver after another had taken over.
	VoidSegments []Segment
	VoidBases    []Base
	// Superfluous are segments whose blocks are all in others: what was merged.
	Superfluous []Segment
	// SpareClaims and SparePruned are those whose words others include.
	SpareClaims []Claim
	SparePruned []Pruned
	// Unknown are objects whose names mean nothing.
	Unknown []object.Info
	// Bytes is what all of it takes.
	Bytes int64
}

// Gap is where blocks are not there.
type Gap struct {
	// After is the last block before it and Revision that one's Last (both 0 if there is none), Next the
	// first block after it, and NextRevision the first revision that the log has then.
	After, Next            int64
	Revision, NextRevision router.Revision
	// Pruned: all that is missing was removed on purpose.
	Pruned bool
	// Base is the number of the base (in Catalog.Bases) at which the log goes on, -1 if there is none.
	Base int
}

// limits tells for each epoch from which block on its writing is void.
type limits []Claim

// of is the first void block of an epoch.
func (l limits) of(epoch int64) int64 {
	first := int64(BlockMax)
	for _, claim := range slices.Backward(l) {
		if claim.Epoch <= epoch {
			break
		}
		first = min(first, claim.First)
	}
	return first
}

// arrange makes a catalog of what was listed.
func arrange(t Timeline, l listed) *Catalog {
	c := &Catalog{Timeline: t, Unknown: l.unknown, Bytes: l.bytes}
	c.Claims, c.SpareClaims = spareClaims(l.claims)
	c.Pruned, c.SparePruned = sparePruned(l.pruned)
	epochs := limits(c.Claims)
	for _, base := range l.bases {
		if base.Block >= epochs.of(base.Epoch) {
			c.VoidBases = append(c.VoidBases, base)
		} else {
			c.Bases = append(c.Bases, base)
		}
	}
	slices.SortFunc(c.Bases, func(a, b Base) int {
		return cmp.Or(cmp.Compare(a.Block, b.Block), cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Epoch, b.Epoch))
	})
	var usable []Stretch
	for _, s := range l.segments {
		last := min(s.LastBlock, epochs.of(s.Epoch)-1)
		if last < s.FirstBlock {
			c.VoidSegments = append(c.VoidSegments, s)
			continue
		}
		usable = append(usable, Stretch{
			Segment: s, FirstBlock: s.FirstBlock, LastBlock: last, First: s.First, Last: s.Last,
			From: s.From, To: s.To, open: last < s.LastBlock,
		})
	}
	c.lay(usable)
	return c
}

// spareClaims sets those claims apart that a later one with no higher block makes superfluous.
func spareClaims(claims []Claim) (needed, spare []Claim) {
	slices.SortFunc(claims, func(a, b Claim) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(b.First, a.First), a.Time.Compare(b.Time))
	})
	lowest := int64(BlockMax) + 1
	for _, claim := range slices.Backward(claims) {
		if claim.First >= lowest {
			spare = append(spare, claim)
			continue
		}
		lowest = claim.First
		needed = append(needed, claim)
	}
	slices.Reverse(needed)
	return needed, spare
}

// sparePruned sets those marks apart that are inside another one.
func sparePruned(marks []Pruned) (needed, spare []Pruned) {
	slices.SortFunc(marks, func(a, b Pruned) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(b.Last, a.Last), a.Time.Compare(b.Time))
	})
	for _, mark := range marks {
		if len(needed) > 0 && needed[len(needed)-1].covers(mark) {
			spare = append(spare, mark)
			continue
		}
		needed = append(needed, mark)
	}
	return needed, spare
}

// lay lays stretches one after the other: at each block the one that goes furthest. Which
// copy of a block is read does not matter, as all that are not void are the same.
func (c *Catalog) lay(usable []Stretch) {
	slices.SortFunc(usable, func(a, b Stretch) int {
		return cmp.Or(cmp.Compare(a.FirstBlock, b.FirstBlock), cmp.Compare(b.LastBlock, a.LastBlock), cmp.Compare(b.Segment.Epoch, a.Segment.Epoch))
	})
	next, i := int64(0), 0
	for i < len(usable) {
		best := -1
		for ; i < len(usable) && usable[i].FirstBlock <= max(next, usable[first(best, i)].FirstBlock); i++ {
			switch {
			case usable[i].LastBlock < next:
				c.Superfluous = append(c.Superfluous, usable[i].Segment)
			case best < 0:
				best = i
			case usable[i].LastBlock > usable[best].LastBlock:
				c.Superfluous = append(c.Superfluous, usable[best].Segment)
				best = i
			default:
				c.Superfluous = append(c.Superfluous, usable[i].Segment)
			}
		}
		if best >= 0 {
			c.put(usable[best], next)
			next = usable[best].LastBlock + 1
		}
	}
}

// first is best, or i while there is none.
func first(best, i int) int {
	if best >= 0 {
		return best
	}
	return i
}

// put adds a stretch, without the blocks before next.
func (c *Catalog) put(s Stretch, next int64) {
	if len(c.Log) > 0 {
		before := &c.Log[len(c.Log)-1]
		if before.open && before.LastBlock+1 == s.FirstBlock {
			before.Last, before.To, before.open = s.First-1, s.From, false
		}
		if s.FirstBlock < next {
			s.FirstBlock, s.First, s.From = next, before.Last+1, before.To
		}
	}
	c.Log = append(c.Log, s)
}

// follows tells whether a stretch goes on where what ended with that block and revision did.
func (s *Stretch) follows(block int64, revision router.Revision) bool {
	return s.FirstBlock == block+1 && s.First == revision+1
}

// findGaps finds where the log is interrupted.
func (c *Catalog) findGaps() {
	var block int64
	var revision router.Revision
	for i := range c.Log {
		s := &c.Log[i]
		// The first block of all may have any first revision: that of what was there before the archive.
		if !s.follows(block, revision) && (i > 0 || s.FirstBlock > 1) {
			c.addGap(Gap{After: block, Revision: revision, Next: s.FirstBlock, NextRevision: s.First})
		}
		block, revision = s.LastBlock, s.Last
	}
	if n := len(c.Bases); n > 0 && c.Bases[n-1].Block > block {
		c.addGap(Gap{After: block, Revision: revision, Next: c.Bases[n-1].Block + 1, NextRevision: c.Bases[n-1].Revision + 1})
	}
}

func (c *Catalog) addGap(g Gap) {
	g.Base = -1
	for i, base := range c.Bases {
		if base.Block > g.After && base.Block == g.Next-1 {
			g.Base = i
		}
	}
	g.Pruned = c.IsPruned(g.After+1, g.Next-1)
	c.Gaps = append(c.Gaps, g)
}

// IsPruned tells whether there are blocks between those numbers, and all of them may be missing by what
// marks say.
func (c *Catalog) IsPruned(from, to int64) bool {
	if from > to {
		return false
	}
	for _, mark := range c.Pruned {
		if mark.First <= from && from <= mark.Last {
			from = mark.Last + 1
		}
	}
	return from > to
}

// PrunedThrough is the last block of the mark that the block is in; the block itself if it is in none.
func (c *Catalog) PrunedThrough(block int64) int64 {
	through := block
	for _, mark := range c.Pruned {
		if mark.First <= block {
			through = max(through, mark.Last)
		}
	}
	return through
}

// End is where the archive ends: the last block's number, its revision, and its time. It is the zero
// value of each if nothing is there.
func (c *Catalog) End() (block int64, revision router.Revision, at time.Time) {
	if n := len(c.Log); n > 0 {
		block, revision, at = c.Log[n-1].LastBlock, c.Log[n-1].Last, c.Log[n-1].To
	}
	if n := len(c.Bases); n > 0 && (len(c.Log) == 0 || c.Bases[n-1].Block > block) {
		block, revision, at = c.Bases[n-1].Block, c.Bases[n-1].Revision, c.Bases[n-1].Time
	}
	return block, revision, at
}
