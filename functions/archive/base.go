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
var errMoved = errors.New("the keyspace was compacted, or its auth data were changed, meanwhile")

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
	beside, err := w.besideAt(ctx, page.Last)
	if err != nil {
		return err
	}
	base, err := w.writeBase(ctx, head, beside)
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

// beside is what a keyspace has besides its keys.
type beside struct {
	leases []router.Lease
	auth   []router.AuthField
}

// items are what a base, or a block that forgets, says of it at a revision.
func (b *beside) items(at router.Revision) []backup.Item {
	items := make([]backup.Item, 0, len(b.leases)+1)
	for _, l := range b.leases {
		items = append(items, backup.Item{Kind: backup.KindGrant, Revision: at, Lease: l.ID, TTLSeconds: l.GrantedTTL})
	}
	if len(b.auth) > 0 {
		items = append(items, backup.Item{Kind: backup.KindAuth, Revision: at, Auth: b.auth})
	}
	return items
}

// besideAt tells what there was beside the keys at the end of the journal's entry of that number: the leases there are now
// without those that were granted since, and with those that have ended since; and the auth data. Where these have
// changed since, it is errMoved: what they were is not known any more.
func (w *writer) besideAt(ctx context.Context, entry int64) (*beside, error) {
	auth, err := w.c.Keyspace.AuthData(ctx)
	if err != nil {
		return nil, fmt.Errorf("read auth data: %w", err)
	}
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
		case router.JournalAuth:
			return nil, errMoved
		}
	}
	out := &beside{leases: make([]router.Lease, 0, len(leases))}
	for _, id := range slices.Sorted(maps.Keys(leases)) {
		out.leases = append(out.leases, leases[id])
	}
	for _, name := range slices.Sorted(maps.Keys(auth.Fields)) {
		out.auth = append(out.auth, router.AuthField{Name: name, Value: auth.Fields[name]})
	}
	return out, nil
}

// writeBase stores a snapshot of the state that head names. The Size that it gives is that of keys and values, as
// the log's is.
func (w *writer) writeBase(ctx context.Context, head backup.BaseHead, beside *beside) (backup.Base, error) {
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
		for _, it := range beside.items(head.Revision) {
			if err := add(it); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return base, fmt.Errorf("write a base at revision %d: %w", head.Revision, err)
	}
	w.c.Logger.Info("a base was archived", slog.Int64("revision", int64(head.Revision)), slog.Int64("versions", versions),
		slog.Int("leases", len(beside.leases)), slog.Duration("took", w.c.Now().Sub(began)))
	base.Size = bytes
	return base, nil
}
