package prune

import (
	"github.com/tierd/tierd/backup"
)

// cutTo removes the bases that are not kept, and the segments that end at a block or before it.
func (p *planner) cutTo(c *backup.Catalog, kept []backup.Base, through int64) {
	stays := make(map[int64]bool, len(kept))
	for _, base := range kept {
		stays[base.Block] = true
	}
	for _, base := range c.Bases {
		if !stays[base.Block] {
			p.remove(phaseBases, base.Name(), base.Size, "older than what is kept, and in no schedule")
		}
	}
	for _, s := range c.Log {
		if s.LastBlock <= through {
			p.remove(phaseLog, s.Segment.Name(), s.Segment.Size, "older than what is kept to any revision")
		}
	}
	p.marks(c, kept, stays, through)
}

// marks says what will be missing: a stretch of blocks before each kept base up to through, and one after
// the last of them if nothing follows it.
func (p *planner) marks(c *backup.Catalog, kept []backup.Base, stays map[int64]bool, through int64) {
	next := int64(1)
	for _, base := range kept {
		if base.Block > through {
			return
		}
		if base.Block >= next {
			p.mark(c, backup.Pruned{First: next, Last: base.Block}, stays, through)
			next = base.Block + 1
		}
	}
	if through == backup.BlockMax {
		p.mark(c, backup.Pruned{First: next, Last: through}, stays, through)
	}
}

// mark puts a mark if something in it goes, or is gone, and it is not there yet. Those that it
// includes are superfluous then.
func (p *planner) mark(c *backup.Catalog, mark backup.Pruned, stays map[int64]bool, through int64) {
	mark.Timeline, mark.Time = c.Timeline, p.now
	needed := false
	for _, s := range c.Log {
		needed = needed || s.LastBlock <= through && s.LastBlock >= mark.First && s.FirstBlock <= mark.Last
	}
	for _, base := range c.Bases {
		needed = needed || !stays[base.Block] && base.Block >= mark.First-1 && base.Block <= mark.Last
	}
	var inside []backup.Pruned
	for _, old := range c.Pruned {
		if old.First == mark.First && old.Last == mark.Last {
			return
		}
		if mark.First <= old.First && old.Last <= mark.Last {
			inside = append(inside, old)
		}
	}
	if !needed && len(inside) == 0 {
		return
	}
	p.result.Marks = append(p.result.Marks, mark)
	for _, old := range inside {
		p.remove(phaseMarks, old.Name(), 0, "another mark includes it")
	}
}
