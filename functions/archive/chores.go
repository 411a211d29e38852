package archive

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tierd/tierd/backup"
)

const (
	// mergeFan is how many segments of about as many blocks become one. With 32, a year of a block
	// each second is about a thousand segments.
	mergeFan = 32
	// mergeBytesMax bounds the bytes of what is merged into one segment. One of mergeLarge bytes is large enough:
	// under heavy load nothing is written twice.
	mergeBytesMax, mergeLarge = 64 << 20, 4 << 20
	// choreBound bounds one chore.
	choreBound = time.Hour
)

// chores are what is done beside the writing of blocks, one at a time: bases and merges. One
// goroutine uses it.
type chores struct {
	// log are the segments at the end of the log, without a gap.
	log []backup.Segment
	// base is the last one, logBytes how much was written to the log since.
	base     backup.Base
	logBytes int64

	// done receives the outcome of the chore under way; nil if there is none.
	done   chan outcome
	cancel context.CancelFunc
}

// outcome is what has become of a chore; what it was about is in one of the fields.
type outcome struct {
	base   *backup.Base
	merged *backup.Segment
	from   int
	err    error
}

// learn takes over what a writer before has left.
func (c *chores) learn(catalog *backup.Catalog) {
	c.stop()
	*c = chores{}
	for _, s := range catalog.Log {
		if last := len(c.log) - 1; last >= 0 && c.log[last].LastBlock+1 != s.FirstBlock {
			c.log = c.log[:0]
		}
		if s.FirstBlock != s.Segment.FirstBlock || s.LastBlock != s.Segment.LastBlock {
			c.log = c.log[:0] // a part of a segment cannot be merged
			continue
		}
		c.log = append(c.log, s.Segment)
	}
	if n := len(catalog.Bases); n > 0 {
		c.based(catalog.Bases[n-1])
	}
}

// wrote notes a block.
func (c *chores) wrote(s backup.Segment, bytes int64) {
	if last := len(c.log) - 1; last >= 0 && c.log[last].LastBlock+1 != s.FirstBlock {
		c.log = c.log[:0]
	}
	s.Size = bytes
	c.log = append(c.log, s)
	c.logBytes += bytes
}

// based notes a base, and how much log there is after it.
func (c *chores) based(b backup.Base) {
	c.base, c.logBytes = b, 0
	for _, s := range c.log {
		if s.FirstBlock > b.Block {
			c.logBytes += s.Size
		}
	}
}

// stop ends the chore under way.
func (c *chores) stop() {
	if c.done == nil {
		return
	}
	c.cancel()
	<-c.done
	c.done = nil
}

// tend takes in what was done, and begins what is due.
func (c *chores) tend(ctx context.Context, w *writer) {
	if c.done != nil {
		select {
		case o := <-c.done:
			c.done = nil
			c.take(o, w)
		default:
			return
		}
	}
	switch from, n := mergeable(c.log); {
	case c.baseDue(w):
		c.startBase(ctx, w)
	case n > 0:
		of := append([]backup.Segment(nil), c.log[from:from+n]...)
		c.start(ctx, func(ctx context.Context) outcome {
			merged, err := w.archive.Merge(ctx, w.timeline, w.epoch, of)
			return outcome{merged: &merged, from: from, err: err}
		})
	}
}

// take takes in what a chore has done.
func (c *chores) take(o outcome, w *writer) {
	switch {
	case o.err != nil && errors.Is(o.err, errMoved):
		// It is due still, and the next one will be quicker.
	case o.err != nil:
		w.failed(o.err)
	case o.base != nil:
		c.based(*o.base)
	default:
		if o.from >= len(c.log) || c.log[o.from].FirstBlock != o.merged.FirstBlock {
			return // the log has a gap since
		}
		n := 0
		for o.from+n < len(c.log) && c.log[o.from+n].LastBlock <= o.merged.LastBlock {
			n++
		}
		c.log = append(append(c.log[:o.from:o.from], *o.merged), c.log[o.from+n:]...)
	}
}

// baseDue says that another base is worth its while.
func (c *chores) baseDue(w *writer) bool {
	if !w.whole || w.at.Block == c.base.Block {
		return false
	}
	return c.logBytes >= max(w.s.SnapshotLogBytes, 2*c.base.Size) || w.at.To.Sub(c.base.Time) >= w.s.SnapshotAge
}

// startBase begins to write a base of the state at the end of the last block.
func (c *chores) startBase(ctx context.Context, w *writer) {
	head := backup.BaseHead{Block: w.at.Block, Revision: w.at.Revision, Compacted: w.compacted, Time: w.at.To, Chain: w.at.Chain}
	beside, err := w.besideAt(ctx, w.at.Journal)
	if err != nil {
		w.c.Logger.Warn("a base is put off", slog.Any("error", err))
		return
	}
	c.start(ctx, func(ctx context.Context) outcome {
		base, err := w.writeBase(ctx, head, beside)
		return outcome{base: &base, err: err}
	})
}

func (c *chores) start(ctx context.Context, chore func(context.Context) outcome) {
	ctx, c.cancel = context.WithTimeout(ctx, choreBound)
	done, cancel := make(chan outcome, 1), c.cancel
	c.done = done
	go func() {
		defer cancel()
		done <- chore(ctx)
	}()
}

// mergeable finds mergeFan adjacent segments of about as many blocks, the smallest first: from is the first of
// n; 0 if there are none.
func mergeable(log []backup.Segment) (from, n int) {
	best := 0
	for i := 0; i < len(log); {
		if log[i].Size >= mergeLarge {
			i++
			continue
		}
		tier, bytes, j := tierOf(log[i]), int64(0), i
		alike := func() bool { return j < len(log) && tierOf(log[j]) == tier && log[j].Size < mergeLarge }
		for ; alike() && j-i < mergeFan && bytes+log[j].Size <= mergeBytesMax; j++ {
			bytes += log[j].Size
		}
		full := j-i == mergeFan || j-i > 1 && alike() // no more fit
		if full && (n == 0 || tier < best) {
			from, n, best = i, j-i, tier
		}
		i = j
	}
	return from, n
}

// tierOf is the logarithm of a segment's number of blocks.
func tierOf(s backup.Segment) int {
	tier := 0
	for n := s.LastBlock - s.FirstBlock + 1; n >= mergeFan; n /= mergeFan {
		tier++
	}
	return tier
}
