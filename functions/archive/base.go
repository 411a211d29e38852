package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/router"
)

// errMoved: the state that a base was to hold is not readable any more.
var errMoved = errors.New("the keyspace was compacted meanwhile")

// begin writes the base that a log begins with: the first one, or the one after a gap.
func (w *writer) begin(ctx context.Context) error {
	page, err := w.lastPage(ctx)
	if err != nil {
		return err
	}
	head := backup.BaseHead{Block: w.at.Block, Revision: page.Revision, Compacted: page.Compacted, Time: later(page.Now, w.at.To), Begins: true}
	if w.at.To.UnixMilli() != 0 {
		head.Block++ // there is an archive: the base takes a number that no block has
	}
	if err := w.c.Keyspace.AdvanceArchive(ctx, w.token, w.at, page.Revision); err != nil {
		return err
	}
	leases, err := w.leasesAt(ctx, page.Last)
	if err != nil {
		return err
	}
	base, err := w.writeBase(ctx, head, leases)
	if err != nil {
		return err
	}
	next := router.ArchiveProgress{Block: head.Block, Revision: head.Revision, Chain: backup.Beginning(w.timeline, head.Block, head.Revision),
		To: head.Time, Journal: page.Last}
	if err := w.c.Keyspace.AdvanceArchive(ctx, w.token, next, next.Revision); err != nil {
		return err
	}
	w.at, w.compacted, w.whole = next, page.Compacted, true
	w.chores.based(base)
	return nil
}

// lastPage reads the journal to its end.
func (w *writer) lastPage(ctx context.Context) (router.JournalPage, error) {
	for after := w.at.Journal; ; {
		page, err := w.c.Keyspace.Journal(ctx, w.token, after)
		if err != nil || page.Lost || len(page.Entries) == 0 || page.Entries[len(page.Entries)-1].Number == page.Last {
			return page, err
		}
		after = page.Last
	}
}

// leasesAt lists the leases as they were at the end of the journal's entry of that number: those there are now
// without those that were granted since, and with those that have ended since.
func (w *writer) leasesAt(ctx context.Context, entry int64) ([]router.Lease, error) {
	listed, _, err := w.c.Keyspace.Leases(ctx)
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	var since []router.JournalEntry
	for after := entry; ; {
		page, err := w.c.Keyspace.Journal(ctx, w.token, after)
		if err != nil {
			return nil, err
		}
		if page.Lost {
			return nil, errors.New("more happened to leases than the journal keeps, while they were listed")
		}
		if since = append(since, page.Entries...); len(page.Entries) == 0 {
			break
		}
		after = page.Entries[len(page.Entries)-1].Number
	}
	leases := make(map[int64]router.Lease, len(listed))
	for _, l := range listed {
		leases[l.ID] = l
	}
	for _, e := range slices.Backward(since) {
		switch e.Kind {
		case router.JournalGrant:
			delete(leases, e.Lease)
		case router.JournalEnd:
			leases[e.Lease] = router.Lease{ID: e.Lease, GrantedTTL: e.TTLSeconds}
		}
	}
	out := make([]router.Lease, 0, len(leases))
	for _, id := range slices.Sorted(maps.Keys(leases)) {
		out = append(out, leases[id])
	}
	return out, nil
}

// writeBase stores a snapshot of the state that head names. The Size that it gives is that of keys and values, as
// the log's is.
func (w *writer) writeBase(ctx context.Context, head backup.BaseHead, leases []router.Lease) (backup.Base, error) {
	began := w.c.Now()
	var versions, bytes int64
	base, err := w.archive.WriteBase(ctx, w.timeline, w.epoch, head, func(add func(backup.Item) error) error {
		info, err := w.c.Keyspace.History(ctx, head.Revision, func(v router.Version) error {
			versions, bytes = versions+1, bytes+int64(len(v.KV.Key)+len(v.KV.Value))
			return add(backup.Item{Kind: backup.KindChange, Revision: v.Main, Version: v})
		})
		if err != nil && !errors.Is(err, router.ErrCompacted) {
			return err
		}
		if err != nil || info.Compacted != head.Compacted {
			return errMoved
		}
		for _, l := range leases {
			if err := add(backup.Item{Kind: backup.KindGrant, Revision: head.Revision, Lease: l.ID, TTLSeconds: l.GrantedTTL}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return base, fmt.Errorf("write a base at revision %d: %w", head.Revision, err)
	}
	w.c.Logger.Info("a base was archived", slog.Int64("revision", int64(head.Revision)), slog.Int64("versions", versions),
		slog.Int("leases", len(leases)), slog.Duration("took", w.c.Now().Sub(began)))
	base.Size = bytes
	return base, nil
}
