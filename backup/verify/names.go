package verify

import (
	"fmt"

	"github.com/tierd/tierd/backup"
)

// unmergedMax is how many segments of one block a timeline has before that is worth a warning: listing them takes
// time.
const unmergedMax = 20_000

// names checks what names say.
type names struct {
	catalog *backup.Catalog
	// begins are the blocks of bases that begin a log; not known if quick.
	begins map[int64]bool
	quick  bool
	result *Timeline
}

func (n *names) check() {
	if n.removed() {
		return
	}
	n.leftOvers()
	n.firstBase()
	for _, gap := range n.catalog.Gaps {
		n.gap(gap)
	}
	n.marks()
	n.claims()
	n.basesFit()
}

// removed tells whether the timeline as a whole is on its way out.
func (n *names) removed() bool {
	for _, mark := range n.catalog.Pruned {
		if mark.First <= 1 && mark.Last == backup.BlockMax && len(n.catalog.Bases) == 0 {
			n.result.add(Warning, mark.Name(), "the timeline was pruned as a whole, and that has not come to its end: prune again")
			return true
		}
	}
	return false
}

func (n *names) leftOvers() {
	c := n.catalog
	for _, info := range c.Unknown {
		n.result.add(Warning, info.Name, "is no object of an archive that this release knows")
	}
	for _, s := range c.VoidSegments {
		n.result.add(Warning, s.Name(), "was written by an archiver that had been replaced; it is void")
	}
	for _, b := range c.VoidBases {
		n.result.add(Warning, b.Name(), "was written by an archiver that had been replaced; it is void")
	}
	for _, s := range c.Superfluous {
		n.result.add(Warning, s.Name(), "has nothing that other segments do not have")
	}
	if len(c.SpareClaims) > 0 {
		n.result.add(Warning, c.SpareClaims[0].Name(), fmt.Sprintf("%d claims of epochs are out of date", len(c.SpareClaims)))
	}
	unmerged := 0
	for _, s := range c.Log {
		if s.Segment.FirstBlock == s.Segment.LastBlock {
			unmerged++
		}
	}
	if unmerged > unmergedMax {
		n.result.add(Warning, c.Timeline.Folder()+"log/", fmt.Sprintf("%d segments have not been merged", unmerged))
	}
}

// firstBase: a timeline begins with a base, and its log is read from one.
func (n *names) firstBase() {
	c := n.catalog
	folder := c.Timeline.Folder() + "base/"
	if len(c.Bases) == 0 {
		n.result.add(Failure, folder, "there is no base: nothing can be restored")
		return
	}
	if len(c.Log) == 0 || c.IsPruned(c.Log[0].FirstBlock, c.Log[0].FirstBlock) {
		return
	}
	first := c.Log[0].FirstBlock
	if c.Bases[0].Block > first-1 && first == 1 {
		n.result.add(Failure, folder+backup.BlockName(0)+"-", fmt.Sprintf(
			"the first base is missing: what was before revision %d cannot be restored", c.Bases[0].Revision))
	}
}

// gap judges a gap of the log: what is missing must have been pruned, or be the number of a base that begins.
func (n *names) gap(gap backup.Gap) {
	c := n.catalog
	if gap.Next <= gap.After+1 {
		n.result.add(Failure, c.Timeline.Folder()+"log/"+backup.BlockName(gap.Next)+"-",
			fmt.Sprintf("block %d begins with revision %d, though the one before it ends with %d", gap.Next, gap.NextRevision, gap.Revision))
		return
	}
	from := gap.After + 1
	for _, base := range c.Bases {
		if base.Block < from || base.Block >= gap.Next {
			continue
		}
		if n.begins[base.Block] {
			n.missing(from, base.Block-1, gap)
			n.result.add(Warning, base.Name(), fmt.Sprintf("the log has a gap before this base, up to revision %d: the archiver has lost track", base.Revision))
			from = base.Block + 1
		} else if n.quick && base.Block == from && !c.IsPruned(from, from) {
			n.result.add(Warning, base.Name(), "block "+backup.BlockName(base.Block)+" is not there: whether it is missing, or this base begins after a gap, is known only by reading it")
			from = base.Block + 1
		}
	}
	n.missing(from, gap.Next-1, gap)
}

// missing tells of blocks that are neither there nor pruned.
func (n *names) missing(from, to int64, gap backup.Gap) {
	c := n.catalog
	for from <= to {
		for from <= to && c.IsPruned(from, from) {
			from = c.PrunedThrough(from) + 1
		}
		end := from
		for end < to && !c.IsPruned(end+1, end+1) {
			end++
		}
		if from > to {
			return
		}
		n.result.add(Failure, c.Timeline.Folder()+"log/"+backup.BlockName(from)+"-", fmt.Sprintf(
			"the blocks %d to %d are missing, between revisions %d and %d", from, end, gap.Revision, gap.NextRevision))
		from = end + 1
	}
}

// marks: each pruned stretch leads to a base.
func (n *names) marks() {
	for _, mark := range n.catalog.Pruned {
		found := mark.Last == backup.BlockMax
		for _, base := range n.catalog.Bases {
			found = found || base.Block == mark.Last
		}
		if !found {
			n.result.add(Failure, n.catalog.Timeline.Folder()+"base/"+backup.BlockName(mark.Last)+"-",
				fmt.Sprintf("the base of block %d is missing, which pruning has kept", mark.Last))
		}
	}
}

// claims: who took over at a block had all before it.
func (n *names) claims() {
	block, revision, _ := n.catalog.End()
	for _, claim := range n.catalog.Claims {
		if claim.First-1 > block && !n.catalog.IsPruned(block+1, claim.First-1) {
			n.result.add(Failure, n.catalog.Timeline.Folder()+"log/"+backup.BlockName(block+1)+"-", fmt.Sprintf(
				"the blocks %d to %d are missing, after revision %d: epoch %d went on behind them", block+1, claim.First-1, revision, claim.Epoch))
			block = claim.First - 1
		}
	}
}

// basesFit: a base has the revision of its block.
func (n *names) basesFit() {
	ends := make(map[int64]backup.Stretch, len(n.catalog.Log))
	for _, s := range n.catalog.Log {
		ends[s.LastBlock] = s
	}
	for _, base := range n.catalog.Bases {
		if s, ok := ends[base.Block]; ok && (s.Last != base.Revision || !s.To.Equal(base.Time)) {
			n.result.add(Failure, base.Name(), fmt.Sprintf("is of revision %d, but its block %d ends with revision %d in %s", base.Revision, base.Block, s.Last, s.Segment.Name()))
		}
	}
}
