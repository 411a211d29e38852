package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/object"
)

// ClaimEpoch says in the archive that the holder of an epoch writes the blocks from firstBlock on,
// which makes those void that holders of lower epochs have written, or will write. It comes
// before the first block. object.ErrExists if that epoch, or a higher one, was
// claimed already otherwise.
func (a *Archive) ClaimEpoch(ctx context.Context, t Timeline, epoch, firstBlock int64, now time.Time) error {
	claim := Claim{Timeline: t, Epoch: epoch, First: firstBlock, Time: now}
	prefix := t.Folder() + epochsPart + "/"
	// Nothing is listed before the names of this epoch.
	for info, err := range a.store.List(ctx, prefix+fmt.Sprintf("%0*d", epochDigits, epoch), "") {
		if err != nil {
			return fmt.Errorf("claim epoch %d: %w", epoch, err)
		}
		if info.Name != claim.Name() {
			return fmt.Errorf("claim epoch %d: %w: %s", epoch, object.ErrExists, info.Name)
		}
	}
	for info, err := range a.store.List(ctx, prefix, prefix+fmt.Sprintf("%0*d-~", epochDigits, epoch)) {
		if err != nil {
			return fmt.Errorf("claim epoch %d: %w", epoch, err)
		}
		return fmt.Errorf("claim epoch %d: %w: %s", epoch, object.ErrExists, info.Name)
	}
	return a.createSmall(ctx, claim.Name(), claim.head())
}

func (c Claim) head() []byte {
	return appendHead(nil, claimMagic, c.Timeline, c.Epoch, c.First, c.Time.UnixMilli())
}

// CheckClaim reads a claim and checks that it is what its name says.
func (a *Archive) CheckClaim(ctx context.Context, c Claim) error {
	return a.expect(ctx, c.Name(), c.head())
}

// MarkPruned says in the archive that objects are going to be removed on purpose.
func (a *Archive) MarkPruned(ctx context.Context, p Pruned) error {
	return a.createSmall(ctx, p.Name(), p.head())
}

func (p Pruned) head() []byte {
	return appendHead(nil, prunedMagic, p.Timeline, p.First, p.Last, p.Time.UnixMilli())
}

// CheckPruned reads such a mark and checks that it is what its name says.
func (a *Archive) CheckPruned(ctx context.Context, p Pruned) error {
	return a.expect(ctx, p.Name(), p.head())
}

// Timelines are those of the keyspace that have any object, oldest first.
func (a *Archive) Timelines(ctx context.Context) ([]Timeline, error) {
	var found []Timeline
	folder := timelinesFolder(a.keyspace)
	for after := ""; ; {
		name, err := a.firstName(ctx, folder, after)
		if err != nil {
			return nil, fmt.Errorf("list the timelines of %s: %w", a.keyspace, err)
		}
		if name == "" {
			return found, nil
		}
		id, _, inside := strings.Cut(name[len(folder):], "/")
		if t, ok := parseTimeline(a.keyspace, id); ok && inside {
			found = append(found, t)
		}
		// '0' is the character after the slash: whatever is in the folder is skipped.
		after = folder + id + "0"
		if !inside {
			after = name
		}
	}
}

// firstName is the first name after another one, or "".
func (a *Archive) firstName(ctx context.Context, prefix, after string) (string, error) {
	for info, err := range a.store.List(ctx, prefix, after) {
		return info.Name, err
	}
	return "", nil
}

// Catalog lists a timeline. It goes by names alone, but for one case: if the log ends in a segment
// of whose blocks a later claim has made the last ones void, that segment is read for where it
// ends now.
func (a *Archive) Catalog(ctx context.Context, t Timeline) (*Catalog, error) {
	var l listed
	prefix := t.Folder()
	for info, err := range a.store.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list the archive of %s: %w", t.Keyspace, err)
		}
		l.add(t, info, info.Name[len(prefix):])
	}
	c := arrange(t, l)
	for i := range c.Log {
		if !c.Log[i].open {
			continue
		}
		if err := a.resolve(ctx, &c.Log[i]); err != nil {
			return nil, err
		}
	}
	c.findGaps()
	return c, nil
}

// resolve finds where a stretch ends that is a part of its segment.
func (a *Archive) resolve(ctx context.Context, s *Stretch) error {
	err := a.eachBlock(ctx, s.Segment, func(block rawBlock) error {
		if block.number == s.LastBlock {
			s.Last, s.To, s.open = block.last, block.to, false
			return errFound
		}
		return nil
	})
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	if !errors.Is(err, errFound) {
		return fmt.Errorf("find block %d: %w", s.LastBlock, err)
	}
	return nil
}

// listed are the objects of a timeline by what they are.
type listed struct {
	bases    []Base
	segments []Segment
	claims   []Claim
	pruned   []Pruned
	unknown  []object.Info
	bytes    int64
}

func (l *listed) add(t Timeline, info object.Info, name string) {
	l.bytes += info.Size
	part, text, _ := strings.Cut(name, "/")
	known := false
	switch part {
	case basePart:
		l.bases, known = collect(l.bases, t, info, text, parseBase)
	case logPart:
		l.segments, known = collect(l.segments, t, info, text, parseSegment)
	case epochsPart:
		l.claims, known = collect(l.claims, t, info, text, parseClaim)
	case prunedPart:
		l.pruned, known = collect(l.pruned, t, info, text, parsePruned)
	}
	if !known {
		l.unknown = append(l.unknown, info)
	}
}

func collect[T any](to []T, t Timeline, info object.Info, text string, parse func(Timeline, string, object.Info) (T, bool)) ([]T, bool) {
	one, ok := parse(t, text, info)
	if ok {
		to = append(to, one)
	}
	return to, ok
}

// Stretch is what is read of a segment: all of it, but where segments overlap, or a later
// epoch has made its last blocks void.
type Stretch struct {
	Segment Segment
	// FirstBlock and LastBlock are the blocks that are read; First, Last, From and To are theirs.
	FirstBlock, LastBlock int64
	First, Last           router.Revision
	From, To              time.Time
	// open: Last and To are not known yet.
	open bool
}
