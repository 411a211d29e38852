// Package backup is the archive of a keyspace: what it consists of, how it is written to
// the object tier and read back.
//
// An archive is a log of everything that happened to a keyspace, in blocks, and snapshots
// of its state now and then, from which reading can begin. Blocks are numbered without a
// gap, chained by a checksum, and stored in segments: one block each at first, many once
// they were merged. What a segment says is a fact that no later one changes.
package backup

import (
	"time"

	"github.com/tierd/tierd/router"
)

// Kind says what an Item is.
type Kind byte

// The kinds. The numbers are part of the format.
const (
	// KindChange: a key got a version, or was deleted.
	KindChange Kind = 1
	// KindGrant: a lease was granted.
	KindGrant Kind = 2
	// KindEnd: a lease was revoked, or expired.
	KindEnd Kind = 3
	// KindCompact: revisions below Compacted became unreadable.
	KindCompact Kind = 4
	// KindMark: the keyspace had this revision at Time.
	KindMark Kind = 5
	// KindForget: what leases there are, and how far the keyspace is compacted, was lost track
	// of; all of it follows, and so it is with auth data. Leases that are not granted after it do not
	// exist, nor do fields that are not set.
	KindForget Kind = 6
	// KindAuth: auth data were changed.
	KindAuth Kind = 7
)

// Item is one entry of the log.
type Item struct {
	Kind Kind
	// Revision is a change's own; else the keyspace's when it happened. It never falls
	// along a log.
	Revision router.Revision
	// Version is that of a KindChange; its Main is Revision.
	Version router.Version
	// Lease and TTLSeconds are those of a KindGrant; a KindEnd has both, too.
	Lease, TTLSeconds int64
	// Compacted is that of a KindCompact; -1 for never.
	Compacted router.Revision
	// Time is that of a KindMark, in whole milliseconds, by the clock of the keyspace.
	Time time.Time
	// Auth is that of a KindAuth: fields that were set or removed.
	Auth []router.AuthField
}

// Block is a stretch of the log as it is written at once.
type Block struct {
	// Number counts the blocks of a timeline: 1, 2, 3, ...
	Number int64
	// First and Last are the revisions of the changes in it: all of them. Last is First-1 if
	// there is none.
	First, Last router.Revision
	// From and To bound, by the clock of the keyspace in whole milliseconds, when that happened:
	// after From, which is the block's before, and up to To.
	From, To time.Time
	Items    []Item
}

// Chain is the checksum of a log from its beginning up to and with some block: SHA-256 over
// the chain before it and the block as it is stored.
type Chain [32]byte

// Timeline is the history of one keyspace from its creation, or its restore, on. A
// keyspace that was restored begins another one, so that nothing of what it
// left behind can be taken for its own.
type Timeline struct {
	Keyspace string
	// Began is when its archive began, in whole milliseconds.
	Began time.Time
	// Cluster is the keyspace's cluster id.
	Cluster uint64
}
