package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/router"
)

// eventsBytes bounds one reading of changes, so that no script runs for long.
const eventsBytes = 512 << 10

// writer writes the archive while this frontend has the role. One goroutine uses it.
type writer struct {
	*job
	archive  *backup.Archive
	token    string
	epoch    int64
	timeline backup.Timeline
	// at is how far the archive has come.
	at router.ArchiveProgress
	// compacted is the keyspace's compacted revision at the end of the last block; known only where
	// that block had all there was.
	compacted router.Revision
	whole     bool
	// pending is a block of which it is not known whether it is stored and noted. No other one may be of its
	// number and epoch: a reader could not tell which of them the log goes on from.
	pending *draft
	chores  chores
}

// run writes until ctx ends, which it does with a last block, or holding does.
func (w *writer) run(ctx, holding context.Context, role router.ArchiveRole) error {
	w.epoch, w.at = role.Epoch, role.Progress
	w.timeline = backup.Timeline{Keyspace: w.c.Name, Began: role.Began, Cluster: role.Cluster}
	since, pause := w.c.Now(), w.s.Interval
	ready := false
	defer w.chores.stop()
	for {
		var err error
		if !ready {
			err = w.enter(holding)
			ready = err == nil
		}
		if ready {
			err = w.catchUp(holding)
		}
		switch {
		case err == nil:
			w.works()
			w.chores.tend(holding, w)
			since, pause = w.c.Now(), w.s.Interval
		case holding.Err() != nil || errors.Is(err, router.ErrFenced) || w.c.Now().Sub(since) > patience:
			return err
		default:
			w.failed(err)
			w.look(holding)
			pause = min(2*pause, backOffMax)
		}
		select {
		case <-ctx.Done():
			w.leave(holding, ready)
			return nil
		case <-holding.Done():
			return context.Cause(holding)
		case <-w.c.After(pause):
		}
	}
}

// leave writes the last block.
func (w *writer) leave(ctx context.Context, ready bool) {
	ctx, cancel := context.WithTimeout(ctx, lastBound)
	defer cancel()
	if !ready {
		return
	}
	if err := w.catchUp(ctx); err != nil {
		w.c.Logger.Warn("the last changes are left for another frontend to archive", slog.Any("error", err))
	}
}

// enter makes blocks of earlier holders void that the sequencer does not know of, and finds out what
// there is to merge.
func (w *writer) enter(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, enterBound)
	defer cancel()
	err := w.archive.ClaimEpoch(ctx, w.timeline, w.epoch, w.at.Block+1, w.timeline.Began)
	if errors.Is(err, backup.ErrExists) {
		// Someone has had this epoch or a later one. The next claim has the next number.
		return errors.Join(router.ErrFenced, fmt.Errorf("the archive knows a later writer than the hot tier does: if this goes on, the hot tier has lost its end: %w", err))
	}
	if err != nil {
		return fmt.Errorf("claim the epoch: %w", err)
	}
	catalog, err := w.archive.Catalog(ctx, w.timeline)
	if err != nil {
		return fmt.Errorf("list the archive: %w", err)
	}
	w.chores.learn(catalog)
	if block, revision, _ := catalog.End(); w.at.Revision != 0 && (len(catalog.Bases) == 0 || block != w.at.Block || revision != w.at.Revision) {
		w.c.Logger.Error("the archive lacks what was written to it: objects were removed, or the frontends do not all have the same object tier; it goes on with a snapshot, and there is a gap before",
			slog.Int64("block", w.at.Block), slog.Int64("revision", int64(w.at.Revision)), slog.Int64("found-block", block), slog.Int64("found-revision", int64(revision)))
		w.at.Revision = 0
	}
	return nil
}

// catchUp writes blocks until the archive has all that was there when it began.
func (w *writer) catchUp(ctx context.Context) error {
	if w.at.Revision == 0 {
		if err := w.begin(ctx); err != nil {
			return err
		}
	}
	for {
		if w.pending == nil {
			next, err := w.next(ctx)
			if errors.Is(err, router.ErrCompacted) {
				w.c.Logger.Error("changes were dropped for want of space before they were archived: the archive has a gap", slog.Int64("after", int64(w.at.Revision)), slog.Any("error", err))
				w.at.Revision = 0
				return w.begin(ctx)
			}
			if err != nil || next == nil {
				return err
			}
			w.pending = next
		}
		if err := w.write(ctx, w.pending); err != nil {
			return err
		}
		w.whole, w.compacted, w.pending = w.pending.all, w.pending.page.Compacted, nil
		if w.whole {
			return nil
		}
	}
}

// next makes the next block; nil if there is nothing worth one.
func (w *writer) next(ctx context.Context) (*draft, error) {
	page, err := w.c.Keyspace.Journal(ctx, w.token, w.at.Journal)
	if err != nil {
		return nil, err
	}
	if page.Revision < w.at.Revision {
		return nil, fmt.Errorf("the hot tier is at revision %d and the archive has %d already: the hot tier has lost acknowledged writes", page.Revision, w.at.Revision)
	}
	w.c.Metrics.show(w.at.Revision, page.Revision, w.at.To, page.Now)
	if nothing(page, w.at.Revision) {
		return nil, nil
	}
	made, err := w.draft(ctx, page)
	return &made, err
}

// nothing says that there is nothing worth a block: a mark of a revision that is archived can wait for
// the next one.
func nothing(page router.JournalPage, archived router.Revision) bool {
	return page.Revision == archived && !page.Lost && !slices.ContainsFunc(page.Entries, func(e router.JournalEntry) bool { return e.Kind != router.JournalMark })
}

// write stores a block and notes that it is there. It may be called again after any failure.
func (w *writer) write(ctx context.Context, d *draft) error {
	began := w.c.Now()
	storing, cancel := context.WithTimeout(ctx, writeBound+time.Duration(d.bytes/writeRate)*time.Second)
	defer cancel()
	segment, chain, err := w.archive.WriteBlock(storing, w.timeline, w.epoch, w.at.Chain, d.block)
	if err != nil {
		return err
	}
	next := router.ArchiveProgress{Block: d.block.Number, Revision: d.block.Last, Chain: chain, To: d.block.To, Journal: d.journal}
	if err := w.c.Keyspace.AdvanceArchive(ctx, w.token, next, next.Revision); err != nil {
		return err
	}
	w.at = next
	w.chores.wrote(segment, d.bytes)
	w.c.Metrics.wrote(d.bytes, w.c.Now().Sub(began))
	w.c.Metrics.show(w.at.Revision, d.page.Revision, w.at.To, d.page.Now)
	return nil
}

// draft is a block, and what it takes from the journal.
type draft struct {
	block   backup.Block
	journal int64
	// page is what it was made from.
	page router.JournalPage
	// bytes are those of keys and values; all says that nothing was left when the page was read.
	bytes int64
	all   bool
}

// draft makes the next block.
func (w *writer) draft(ctx context.Context, page router.JournalPage) (draft, error) {
	d := draft{journal: w.at.Journal, page: page}
	versions, through, last := []router.Version(nil), w.at.Revision, page.Revision
	complete := len(page.Entries) == 0 || page.Lost || page.Entries[len(page.Entries)-1].Number == page.Last
	if !complete {
		// What the journal has of later revisions was not read: the block ends where the page does.
		last = page.Entries[len(page.Entries)-1].Revision
	}
	for through < last && d.bytes < int64(w.s.SegmentBytes) {
		more, reached, err := w.c.Keyspace.ArchivedEvents(ctx, through+1, last, min(eventsBytes, w.s.SegmentBytes))
		if err != nil {
			return d, err
		}
		if reached <= through {
			return d, fmt.Errorf("the revisions from %d on cannot be read", through+1)
		}
		for i := range more {
			d.bytes += int64(len(more[i].KV.Key) + len(more[i].KV.Value))
		}
		versions, through = append(versions, more...), reached
	}
	d.all = through == page.Revision
	d.block = backup.Block{Number: w.at.Block + 1, First: w.at.Revision + 1, Last: through, From: w.at.To}
	entries, to := page.Entries, page.Now
	if page.Lost {
		entries = nil
	}
	for i, e := range entries {
		if e.Revision > through {
			// The keyspace had left this revision then, if not before.
			entries, to = entries[:i], e.Time
			break
		}
	}
	d.all = d.all && complete
	if len(entries) > 0 {
		d.journal = entries[len(entries)-1].Number
	}
	d.block.Items = weave(versions, entries, w.at.To)
	for i := range d.block.Items {
		to = later(to, d.block.Items[i].Time)
	}
	d.block.To = later(to, w.at.To)
	if page.Lost && d.all {
		return w.forget(ctx, d, page)
	}
	return d, nil
}

// forget says what leases there are, and how far the keyspace is compacted, where the journal does not.
func (w *writer) forget(ctx context.Context, d draft, page router.JournalPage) (draft, error) {
	d.journal = page.Last
	beside, err := w.besideAt(ctx, d.journal)
	if err != nil {
		return d, err
	}
	w.c.Logger.Warn("more happened to leases or auth data than the journal keeps: times and compactions in between are not in the archive", slog.Int64("revision", int64(page.Revision)))
	d.block.Items = append(d.block.Items, backup.Item{Kind: backup.KindForget, Revision: page.Revision})
	d.block.Items = append(d.block.Items, beside.items(page.Revision)...)
	d.block.Items = append(d.block.Items, backup.Item{Kind: backup.KindCompact, Revision: page.Revision, Compacted: page.Compacted})
	return d, nil
}

// weave puts changes and entries in order: what happened at a revision comes after its changes. Times
// never fall.
func weave(versions []router.Version, entries []router.JournalEntry, from time.Time) []backup.Item {
	items := make([]backup.Item, 0, len(versions)+len(entries))
	last := from
	for _, v := range versions {
		for len(entries) > 0 && entries[0].Revision < v.Main {
			items, last = append(items, item(entries[0], last)), later(last, entries[0].Time)
			entries = entries[1:]
		}
		items = append(items, backup.Item{Kind: backup.KindChange, Revision: v.Main, Version: v})
	}
	for _, e := range entries {
		items, last = append(items, item(e, last)), later(last, e.Time)
	}
	return items
}

func item(e router.JournalEntry, notBefore time.Time) backup.Item {
	switch e.Kind {
	case router.JournalGrant:
		return backup.Item{Kind: backup.KindGrant, Revision: e.Revision, Lease: e.Lease, TTLSeconds: e.TTLSeconds}
	case router.JournalEnd:
		return backup.Item{Kind: backup.KindEnd, Revision: e.Revision, Lease: e.Lease, TTLSeconds: e.TTLSeconds}
	case router.JournalCompact:
		return backup.Item{Kind: backup.KindCompact, Revision: e.Revision, Compacted: e.Compacted}
	case router.JournalAuth:
		return backup.Item{Kind: backup.KindAuth, Revision: e.Revision, Auth: e.Auth}
	default:
		return backup.Item{Kind: backup.KindMark, Revision: e.Revision, Time: later(e.Time, notBefore)}
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
