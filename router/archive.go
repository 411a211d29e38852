package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tierd/tierd/tiers/hot"
)

// ErrFenced: the archive has another writer; nothing was done.
var ErrFenced = errors.New("the archive has another writer")

const (
	// ArchiveGood is how long a sign of life keeps the role of writing the archive.
	ArchiveGood = hot.ArchiveGood
	// journalPageMax bounds the entries that one Journal call reads.
	journalPageMax = 5000
	// retainedShare is the part, in percent, of the quota, or of the memory that a Redis may use, that may be filled
	// before what compaction has made unreachable is dropped although the archive has not got it.
	retainedShare = 75
)

// Archivist is what a keyspace offers to whoever writes its archive. One at a time does,
// the holder of the role; all others are refused with ErrFenced.
type Archivist interface {
	// ClaimArchive takes the role under a token, which is 16 hex digits and of this one holding alone: it is not
	// to be claimed again once it may have been taken away. ErrFenced while someone else has it.
	ClaimArchive(ctx context.Context, token string) (ArchiveRole, error)
	// KeepArchive shows a sign of life of the role's holder. ErrFenced once someone else has, or has had, it.
	KeepArchive(ctx context.Context, token string) error
	// Journal reads what happened without taking a revision after an entry; it is a sign of life, too.
	Journal(ctx context.Context, token string, after int64) (JournalPage, error)
	// ArchivedEvents reads all changes of the revisions from..to, or of those that fit in about
	// maxBytes, at least one; it gives the last one read. ErrCompacted if they have been dropped, for want of
	// space, before they were archived.
	ArchivedEvents(ctx context.Context, from, to Revision, maxBytes int) ([]Version, Revision, error)
	// AdvanceArchive notes how far the archive has come, durably; what it has may be dropped then, but no change after
	// kept.
	AdvanceArchive(ctx context.Context, token string, p ArchiveProgress, kept Revision) error
	// ReleaseArchive gives the role up.
	ReleaseArchive(ctx context.Context, token string) error
	// LookArchive tells how far the archive has come, and the current revision.
	LookArchive(ctx context.Context) (ArchiveProgress, Revision, error)
	// History, Leases and AuthData are API's.
	History(ctx context.Context, at Revision, yield func(Version) error) (HistoryInfo, error)
	Leases(ctx context.Context) ([]Lease, Revision, error)
	AuthData(ctx context.Context) (AuthData, error)
}

var _ Archivist = (*Keyspace)(nil)

// ArchiveRole is what the sequencer keeps of the archive.
type ArchiveRole struct {
	// Epoch counts the holders: each that takes the role over from another has the next one.
	Epoch int64
	// Cluster is the keyspace's cluster id, Began when the role was first taken.
	Cluster uint64
	Began   time.Time
	// Progress is what the holder before has left.
	Progress ArchiveProgress
}

// ArchiveProgress is how far the archive has come.
type ArchiveProgress struct {
	// Block is the number of the last block, 0 before the first; Revision is its Last, 0
	// if the archive has to begin (again) with a snapshot; Chain is the checksum after it.
	Block    int64
	Revision Revision
	Chain    [32]byte
	// To is the block's, in whole milliseconds.
	To time.Time
	// Journal is the number of the last entry of the journal that the archive has.
	Journal int64
}

// JournalEntry is something that happened to a keyspace without taking a revision.
type JournalEntry struct {
	// Number counts the entries: 1, 2, 3, ...
	Number int64
	// Kind says what: JournalGrant, JournalEnd, JournalCompact, JournalMark or JournalAuth.
	Kind byte
	// Revision is the keyspace's then: what a transaction did to leases has that one's.
	Revision Revision
	Time     time.Time
	// Lease and TTLSeconds are those of a grant and an end, Compacted that of a compaction.
	Lease, TTLSeconds int64
	Compacted         Revision
	// Auth is a change of the auth data.
	Auth []AuthField
}

// The kinds of entries: a lease was granted, or has ended; the keyspace was compacted; it had this revision
// at that time; its auth data were changed.
const (
	JournalGrant   = hot.JournalGrant
	JournalEnd     = hot.JournalEnd
	JournalCompact = hot.JournalCompact
	JournalMark    = hot.JournalMark
	JournalAuth    = hot.JournalAuth
)

// JournalPage is what the keyspace says to the holder of the role.
type JournalPage struct {
	// Revision and Compacted are the current ones, Now is the time there.
	Revision, Compacted Revision
	Now                 time.Time
	// Last is the number of the last entry there is, 0 for none.
	Last int64
	// Entries are those after the one asked for, in order, a bounded number. Lost says that
	// entries between are gone: more happened than the journal keeps.
	Entries []JournalEntry
	Lost    bool
}

// ClaimArchive implements Archivist.
func (k *Keyspace) ClaimArchive(ctx context.Context, token string) (ArchiveRole, error) {
	p, taken, err := k.hot.ClaimArchive(ctx, token)
	if err != nil {
		return ArchiveRole{}, fmt.Errorf("claim the archive: %w", translate(err))
	}
	if !taken {
		return ArchiveRole{}, ErrFenced
	}
	return ArchiveRole{Epoch: p.Epoch, Cluster: k.hot.ClusterID(), Began: time.UnixMilli(p.Began), Progress: progressOf(p)}, nil
}

// KeepArchive implements Archivist.
func (k *Keyspace) KeepArchive(ctx context.Context, token string) error {
	return translate(k.hot.KeepArchive(ctx, token))
}

func progressOf(p hot.ArchiveProgress) ArchiveProgress {
	out := ArchiveProgress{Block: p.Block, Revision: p.Revision, To: time.UnixMilli(p.To), Journal: p.Journal}
	copy(out.Chain[:], p.Chain)
	return out
}

// LookArchive implements Archivist.
func (k *Keyspace) LookArchive(ctx context.Context) (ArchiveProgress, Revision, error) {
	p, current, none, err := k.hot.LookArchive(ctx)
	if err != nil || none {
		return ArchiveProgress{}, current, translate(err)
	}
	return progressOf(p), current, nil
}

// Journal implements Archivist.
func (k *Keyspace) Journal(ctx context.Context, token string, after int64) (JournalPage, error) {
	page, err := k.hot.ReadJournal(ctx, token, after, journalPageMax)
	if err != nil {
		return JournalPage{}, fmt.Errorf("read the journal: %w", translate(err))
	}
	out := JournalPage{Revision: page.Revision, Compacted: page.Compacted, Now: time.UnixMilli(page.Now), Last: page.Last, Lost: page.Lost,
		Entries: make([]JournalEntry, len(page.Entries))}
	for i, e := range page.Entries {
		out.Entries[i] = JournalEntry{Number: e.Number, Kind: e.Kind, Revision: e.Revision, Time: time.UnixMilli(e.Millis),
			Lease: e.Lease, TTLSeconds: e.TTLSeconds, Auth: e.Auth, Compacted: e.Compacted}
	}
	return out, nil
}

// ArchivedEvents implements Archivist. The archive's hold keeps them, whatever is compacted.
func (k *Keyspace) ArchivedEvents(ctx context.Context, from, to Revision, maxBytes int) ([]Version, Revision, error) {
	floor := from - 1
	page, err := k.events(ctx, hot.EventsQuery{From: from, To: to, BytesMax: maxBytes, Held: &floor})
	if err != nil {
		return nil, 0, fmt.Errorf("read the revisions from %d on: %w", from, err)
	}
	versions := make([]Version, len(page.Events))
	for i := range page.Events {
		versions[i] = version(&page.Events[i].Item, page.Events[i].Sub)
	}
	return versions, page.Through, nil
}

// AdvanceArchive implements Archivist.
func (k *Keyspace) AdvanceArchive(ctx context.Context, token string, p ArchiveProgress, kept Revision) error {
	err := k.hot.AdvanceArchive(ctx, token, hot.ArchiveProgress{Block: p.Block, Revision: p.Revision, To: p.To.UnixMilli(), Journal: p.Journal, Chain: p.Chain[:]}, kept)
	if err != nil {
		return fmt.Errorf("note how far the archive has come: %w", translate(err))
	}
	if k.keptBack.CompareAndSwap(true, false) {
		k.wakeSweeper()
	}
	return nil
}

// ReleaseArchive implements Archivist.
func (k *Keyspace) ReleaseArchive(ctx context.Context, token string) error {
	return translate(k.hot.ReleaseArchive(ctx, token))
}

// crowded says that what the archive has not must not be kept any longer: the keyspace is
// at its share of the quota, or a Redis at its share of the memory, and writes go before history.
func (k *Keyspace) crowded() bool {
	home := k.summary.Load()
	if home == nil {
		return false
	}
	_, bytes := k.total(home)
	return k.short.Load() || bytes > k.settings.QuotaBytes/100*retainedShare
}

// careForHistory lets go of what is kept for the archive when space runs short. Redis is asked only while
// something is kept.
func (k *Keyspace) careForHistory(ctx context.Context) error {
	if !k.keptBack.Load() {
		return nil
	}
	short := false
	for id, endpoint := range k.shardMap().endpoints {
		used, most, err := k.fleet.Memory(ctx, endpoint.URL)
		if err != nil {
			return fmt.Errorf("ask for the memory of endpoint %d: %w", id, translate(err))
		}
		short = short || most > 0 && used > most/100*retainedShare
	}
	k.short.Store(short)
	if k.crowded() && k.keptBack.CompareAndSwap(true, false) {
		k.logger.Warn("space runs short: history that is compacted is dropped although the archive has not got it; the archive will have a gap")
		k.wakeSweeper()
	}
	return nil
}
