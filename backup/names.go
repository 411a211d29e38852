package backup

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/object"
)

// The folders of a timeline.
const (
	basePart   = "base"
	epochsPart = "epochs"
	logPart    = "log"
	prunedPart = "pruned"
)

// Widths of the numbers in names, in digits: wide enough for the 2^53 that revisions stay below,
// and all with leading zeros, so that names sort as the numbers do.
const (
	epochDigits    = 10
	blockDigits    = 12
	revisionDigits = 16
	timeDigits     = 13
	clusterDigits  = 16
)

// BlockMax is the highest number of a block. As the end of a Pruned it stands for all that
// there ever are.
const BlockMax = 999_999_999_999

// BlockName is the number of a block as names have it.
func BlockName(block int64) string { return fmt.Sprintf("%0*d", blockDigits, block) }

// ID names the timeline within its keyspace.
func (t Timeline) ID() string {
	return fmt.Sprintf("%0*d-%0*x", timeDigits, t.Began.UnixMilli(), clusterDigits, t.Cluster)
}

// Folder is the beginning of the names of all its objects.
func (t Timeline) Folder() string { return timelinesFolder(t.Keyspace) + t.ID() + "/" }

func timelinesFolder(keyspace string) string { return keyspace + "/timelines/" }

// parseTimeline reads the ID of a timeline.
func parseTimeline(keyspace, id string) (Timeline, bool) {
	began, cluster, found := strings.Cut(id, "-")
	if !found || len(cluster) != clusterDigits {
		return Timeline{}, false
	}
	number, err := strconv.ParseUint(cluster, 16, 64)
	ms, ok := parseNumber(began, timeDigits)
	t := Timeline{Keyspace: keyspace, Began: time.UnixMilli(ms), Cluster: number}
	return t, err == nil && ok && t.ID() == id
}

// Segment is one object of the log: whole blocks, one after the other. Its name says all of this
// but the last two.
type Segment struct {
	Timeline Timeline
	// FirstBlock and LastBlock are the numbers of its blocks.
	FirstBlock, LastBlock int64
	// First and Last are the revisions of the changes in it; Last is First-1 if there is none.
	First, Last router.Revision
	// From and To bound when they happened, in whole milliseconds.
	From, To time.Time
	// Epoch is that of the archiver that wrote it.
	Epoch int64
	// Size is that of the stored object in bytes, Modified when it was stored: both only
	// of one that was listed.
	Size     int64
	Modified time.Time
}

// Name is the object's.
func (s Segment) Name() string {
	return fmt.Sprintf("%s%s/%0*d-%0*d-%0*d-%0*d-%0*d-%0*d-%0*d", s.Timeline.Folder(), logPart,
		blockDigits, s.FirstBlock, blockDigits, s.LastBlock,
		revisionDigits, s.First, revisionDigits, s.Last,
		timeDigits, s.From.UnixMilli(), timeDigits, s.To.UnixMilli(), epochDigits, s.Epoch)
}

// Base is a snapshot of the keyspace's state after a block.
type Base struct {
	Timeline Timeline
	// Block is the number of the last block that is in it, Revision the keyspace's after that
	// one, Time the block's To.
	Block    int64
	Revision router.Revision
	Time     time.Time
	// Epoch is that of the archiver that wrote it.
	Epoch int64
	// Size and Modified are as those of a Segment.
	Size     int64
	Modified time.Time
}

// Name is the object's.
func (b Base) Name() string {
	return fmt.Sprintf("%s%s/%0*d-%0*d-%0*d-%0*d", b.Timeline.Folder(), basePart, blockDigits, b.Block,
		revisionDigits, b.Revision, timeDigits, b.Time.UnixMilli(), epochDigits, b.Epoch)
}

// Claim says that an archiver has taken over: blocks of earlier epochs from First on
// are void.
type Claim struct {
	Timeline Timeline
	Epoch    int64
	// First is the number of the first block that it writes.
	First int64
	Time  time.Time
	// Modified is when the object was stored, of one that was listed.
	Modified time.Time
}

// Name is the object's.
func (c Claim) Name() string {
	return fmt.Sprintf("%s%s/%0*d-%0*d-%0*d", c.Timeline.Folder(), epochsPart, epochDigits, c.Epoch,
		blockDigits, c.First, timeDigits, c.Time.UnixMilli())
}

// Pruned says that segments and bases were removed on purpose: the blocks First to Last may
// be missing, and bases of the blocks up to Last-1 and from First-1 on. There is a base of the
// block Last, unless that is BlockMax: then everything from First on may be missing.
type Pruned struct {
	Timeline    Timeline
	First, Last int64
	Time        time.Time
	// Modified is when the object was stored, of one that was listed.
	Modified time.Time
}

// Name is the object's.
func (p Pruned) Name() string {
	return fmt.Sprintf("%s%s/%0*d-%0*d-%0*d", p.Timeline.Folder(), prunedPart, blockDigits, p.First,
		blockDigits, p.Last, timeDigits, p.Time.UnixMilli())
}

// covers tells whether p says everything that other does.
func (p Pruned) covers(other Pruned) bool { return p.First <= other.First && other.Last <= p.Last }

// parseNumber reads a number of exactly that many decimal digits.
func parseNumber(text string, digits int) (int64, bool) {
	if len(text) != digits {
		return 0, false
	}
	number, err := strconv.ParseUint(text, 10, 63)
	return int64(number), err == nil
}

// parseNumbers reads the numbers of the last part of a name.
func parseNumbers(text string, digits ...int) ([]int64, bool) {
	parts := strings.Split(text, "-")
	if len(parts) != len(digits) {
		return nil, false
	}
	numbers := make([]int64, len(parts))
	for i, part := range parts {
		number, ok := parseNumber(part, digits[i])
		if !ok {
			return nil, false
		}
		numbers[i] = number
	}
	return numbers, true
}

func parseSegment(t Timeline, text string, info object.Info) (Segment, bool) {
	n, ok := parseNumbers(text, blockDigits, blockDigits, revisionDigits, revisionDigits, timeDigits, timeDigits, epochDigits)
	if !ok {
		return Segment{}, false
	}
	s := Segment{
		Timeline: t, FirstBlock: n[0], LastBlock: n[1], First: router.Revision(n[2]), Last: router.Revision(n[3]),
		From: time.UnixMilli(n[4]), To: time.UnixMilli(n[5]), Epoch: n[6], Size: info.Size, Modified: info.Modified,
	}
	return s, s.FirstBlock >= 1 && s.FirstBlock <= s.LastBlock && s.First >= 1 && s.First <= s.Last+1 && !s.To.Before(s.From)
}

func parseBase(t Timeline, text string, info object.Info) (Base, bool) {
	n, ok := parseNumbers(text, blockDigits, revisionDigits, timeDigits, epochDigits)
	if !ok {
		return Base{}, false
	}
	return Base{
		Timeline: t, Block: n[0], Revision: router.Revision(n[1]), Time: time.UnixMilli(n[2]), Epoch: n[3],
		Size: info.Size, Modified: info.Modified,
	}, true
}

func parseClaim(t Timeline, text string, info object.Info) (Claim, bool) {
	n, ok := parseNumbers(text, epochDigits, blockDigits, timeDigits)
	if !ok {
		return Claim{}, false
	}
	return Claim{Timeline: t, Epoch: n[0], First: n[1], Time: time.UnixMilli(n[2]), Modified: info.Modified}, true
}

func parsePruned(t Timeline, text string, info object.Info) (Pruned, bool) {
	n, ok := parseNumbers(text, blockDigits, blockDigits, timeDigits)
	if !ok {
		return Pruned{}, false
	}
	p := Pruned{Timeline: t, First: n[0], Last: n[1], Time: time.UnixMilli(n[2]), Modified: info.Modified}
	return p, p.First <= p.Last
}
