package router

import (
	"time"
)

// Archivist is what a keyspace offers to whoever writes its archive. One at a time does, the
// holder of the role; others are refused with ErrFenced.
type Archivist interface {
}

// ArchiveRole is what the sequencer keeps of the archive: how far it has come.
type ArchiveRole struct {
	// Token names its holder.
	Token string
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
	// Block is the number of the last block, 0 before the first; Revision is its Last, 0 while there is
	// no archive; Chain is the checksum after it.
	Block    int64
	Revision Revision
	Chain    [32]byte
	// To is the block's, in whole milliseconds.
	To time.Time
	// Journal is the number of the last entry of the journal that the archive has.
	Journal int64
}

// JournalKind says what a JournalEntry is.
type JournalKind byte

// The kinds of entries.
const (
	JournalGrant   JournalKind = 'g'
	JournalEnd     JournalKind = 'e'
	JournalCompact JournalKind = 'c'
	JournalMark    JournalKind = 'm'
)

// JournalEntry is something that happened to a keyspace without taking a revision.
type JournalEntry struct {
	// Number counts the entries: 1, 2, 3, ...
	Number int64
	Kind   JournalKind
	// Revision is the keyspace's then: what was done to leases by a transaction has that one's.
	Revision Revision
	Time     time.Time
	// Lease and TTLSeconds are those of a grant and an end, Compacted that of a compaction.
	Lease, TTLSeconds int64
	Compacted         Revision
}

// JournalPage is what the keyspace says to the holder of the role.
type JournalPage struct {
	// Revision and Compacted are the current ones, Now is the time there.
	Revision, Compacted Revision
	Now                 time.Time
	// Entries are those after the one asked for, in order, at most journalPageMax. Lost says that entries
	// between are gone: more happened than the journal keeps.
	Entries []JournalEntry
	Lost    bool
}
