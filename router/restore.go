package router

import (
	"context"
	"errors"

	"github.com/tierd/tierd/tiers/hot"
)

// RestoreStart says what is going to be restored.
type RestoreStart struct {
	// ID says exactly what is restored, from where. A restore that was interrupted is gone
	// on with by another one of the same ID, which brings the same versions in the same order.
	ID string
	// Floor is the first revision of which all changes are brought; -1 or 0 if all ever made
	// are. Versions below it are those that were alive then.
	Floor Revision
}

// RestoreEnd is what a restored keyspace has besides its versions.
type RestoreEnd struct {
	// Revision is the current one, Compacted the compacted one (-1: never), both at least
	// what the versions brought say.
	Revision, Compacted Revision
	// Leases have their full time to live again from now on.
	Leases []Lease
}

// Restoration fills a place that holds no keyspace with one that was elsewhere, as it was: revisions,
// versions, leases. Nobody can open the keyspace before End.
type Restoration struct{}

// Restore begins a restoration, or goes on with one. ErrKeyspaceExists if there is
// a keyspace already; ErrOtherRestore if another ID is being restored there.
func Restore(ctx context.Context, fleet *hot.Fleet, start RestoreStart) (*Restoration, error) {
	return nil, errors.ErrUnsupported
}

// Resumed is how many versions a restoration before this one of the same ID has brought: as
// many are skipped.
func (r *Restoration) Resumed() int64 { return 0 }

// Add brings the next version, in order of revision and number. It returns before the
// version is stored, and waits while much is under way. A failure of an earlier version may be told by a
// later call.
func (r *Restoration) Add(ctx context.Context, v Version) error { return errors.ErrUnsupported }

// Flush returns when all that was added is stored.
func (r *Restoration) Flush(ctx context.Context) error { return errors.ErrUnsupported }

// End makes the keyspace available, at the end of what was added.
func (r *Restoration) End(ctx context.Context, end RestoreEnd) error { return errors.ErrUnsupported }

// Close gives the restoration up for now: it can be gone on with. After End it does nothing.
func (r *Restoration) Close() {}

// DiscardRestore removes what an interrupted restore has brought. ErrKeyspaceExists if it has come to its
// end since, or there never was one.
func DiscardRestore(ctx context.Context, fleet *hot.Fleet) error { return errors.ErrUnsupported }
