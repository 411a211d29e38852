package router

import (
	"context"
	"errors"
	"fmt"

	"github.com/tierd/tierd/tiers/hot"
)

// What a restore can be refused for, and what refuses others meanwhile.
var (
	// ErrKeyspaceExists: there is a keyspace already, with something in it or in service.
	ErrKeyspaceExists = errors.New("there is a keyspace already")
	// ErrOtherRestore: a restore of something else was interrupted there.
	ErrOtherRestore = errors.New("another restore has not come to its end there")
	// ErrRestoring: the keyspace cannot be opened before its restore has come to its end.
	ErrRestoring = errors.New("the restore of the keyspace has not come to its end")
)

// OtherRestore is the ErrOtherRestore of Restore: its ID is the one that is being restored there.
type OtherRestore = hot.OtherRestore

// Limits of a restoration.
const (
	// restoreItems and restoreBytes bound a batch, which is one call of a script; restoreBatches
	// bounds those of a round trip, and those that wait for it.
	restoreItems, restoreBytes = 512, 256 << 10
	restoreBatches             = 8
)

// RestoreStart says what is going to be restored.
type RestoreStart struct {
	// ID says exactly what is restored, from where. A restore that was interrupted is gone
	// on with by another one of the same ID, which brings the same versions in the same order.
	ID string
	// Floor is the first revision of which all changes are brought; -1 or 0 if all ever made
	// are. Versions below it are those that were alive then.
	Floor Revision
	// Sealing is the Sealer that the fleet was made with; nil for none. Seal, if set, gives the
	// setting by which values are sealed: they are before they reach Redis.
	Sealing Sealing
	Seal    func(ctx context.Context, text string) (string, error)
	// Scratch says that the keyspace is made to be looked at, and can be discarded after its end.
	Scratch bool
}

// RestoreEnd is what a restored keyspace has besides its versions.
type RestoreEnd struct {
	// Revision is the current one, Compacted the compacted one (-1: never), both at least
	// what the versions brought say.
	Revision, Compacted Revision
	// Leases have their full time to live again from now on.
	Leases []Lease
	// Auth are the fields of the auth data.
	Auth map[string][]byte
}

// Restoration fills a place that holds no keyspace with one that was elsewhere, as it
// was: revisions, versions, leases. Nobody can open the keyspace before End. One goroutine uses it.
type Restoration struct {
	hot   *hot.Client
	start RestoreStart
	// resumed are the items, loaded the batches that were there when it began.
	resumed, loaded int64
	// passed are the items of the batches that were there.
	passed int64

	// revision collects the changes of one revision: how many there are is stored with the first.
	revision []hot.RestoreItem
	batch    hot.RestoreBatch
	bytes    int
	added    Revision

	batches chan hot.RestoreBatch
	// done is closed when the sender has ended; failure is set before.
	done    chan struct{}
	failure error
	cancel  context.CancelFunc
}

// Restore begins a restoration, or goes on with one. ErrKeyspaceExists if there is
// a keyspace already; *OtherRestore if another ID is being restored there. An empty
// keyspace that nobody serves counts as none.
func Restore(ctx context.Context, fleet *hot.Fleet, start RestoreStart) (*Restoration, error) {
	r := &Restoration{hot: fleet.Home(), start: start}
	r.start.Floor = max(start.Floor, 1)
	var err error
	if r.resumed, r.loaded, err = r.hot.BeginRestore(ctx, start.ID, r.start.Floor); err != nil {
		return nil, fmt.Errorf("begin to restore: %w", translate(err))
	}
	if err := r.seal(ctx); err != nil {
		return nil, fmt.Errorf("begin to restore: %w", err)
	}
	if start.Scratch {
		if _, err := r.hot.RestoreText(ctx, start.ID, hot.ScratchText, "1"); err != nil {
			return nil, fmt.Errorf("begin to restore: %w", translate(err))
		}
	}
	r.batch.Number = 1
	r.batches = make(chan hot.RestoreBatch, restoreBatches)
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	r.done = make(chan struct{})
	go r.send(sending, r.batches)
	return r, nil
}

// seal settles whether values are sealed: a restoration that is gone on with has what it began with.
func (r *Restoration) seal(ctx context.Context) error {
	text, err := r.hot.RestoreText(ctx, r.start.ID, sealingText, "")
	if err != nil {
		return translate(err)
	}
	if text == "" && r.start.Seal != nil {
		if text, err = r.start.Seal(ctx, ""); err != nil {
			return err
		}
		if text, err = r.hot.RestoreText(ctx, r.start.ID, sealingText, text); err != nil {
			return translate(err)
		}
	}
	if r.start.Sealing == nil {
		if text != "" {
			return fmt.Errorf("values of what is restored are sealed: %w", hot.ErrSealKey)
		}
		return nil
	}
	return translate(r.start.Sealing.Configure(ctx, text))
}

// Resumed is how many versions a restoration before this one of the same ID has brought. All are added
// again all the same; these are passed over.
func (r *Restoration) Resumed() int64 { return r.resumed }

// Add brings the next version, in order of revision and number. It returns before the
// version is stored, and waits while much is under way. A failure of an earlier version may be
// told by a later call.
func (r *Restoration) Add(ctx context.Context, v Version) error {
	if v.Main < r.added {
		return fmt.Errorf("%w: revision %d was brought after %d", ErrInternal, v.Main, r.added)
	}
	r.added = v.Main
	item := hot.RestoreItem{Item: hot.Item{Mod: v.Main, Sub: v.Sub, Record: hot.Record{
		Deleted: v.Tombstone, Create: v.KV.CreateRevision, Version: v.KV.Version, Lease: v.KV.Lease, Key: v.KV.Key, Value: v.KV.Value}}}
	if v.Main < r.start.Floor {
		return r.push(ctx, item)
	}
	if len(r.revision) > 0 && r.revision[0].Item.Mod != v.Main {
		if err := r.pushRevision(ctx); err != nil {
			return err
		}
	}
	item.Recent, item.First, item.Item.Sub = true, len(r.revision) == 0, int64(len(r.revision))
	r.revision = append(r.revision, item)
	return nil
}

// pushRevision ends a revision.
func (r *Restoration) pushRevision(ctx context.Context) error {
	if len(r.revision) == 0 {
		return nil
	}
	r.revision[0].Item.Events = len(r.revision)
	for i := range r.revision {
		if err := r.push(ctx, r.revision[i]); err != nil {
			return err
		}
	}
	r.revision = r.revision[:0]
	return nil
}

// push adds to the batch. Where a batch ends depends on nothing but what was added, so
// that a restore that is gone on with has the same ones.
func (r *Restoration) push(ctx context.Context, item hot.RestoreItem) error {
	r.batch.Items = append(r.batch.Items, item)
	r.bytes += len(item.Item.Key) + len(item.Item.Value)
	if len(r.batch.Items) < restoreItems && r.bytes < restoreBytes {
		return nil
	}
	return r.pushBatch(ctx)
}

func (r *Restoration) pushBatch(ctx context.Context) error {
	if len(r.batch.Items) == 0 {
		return nil
	}
	if r.batch.Number <= r.loaded {
		r.passed += int64(len(r.batch.Items))
	}
	if r.batch.Number == r.loaded && r.passed != r.resumed {
		return fmt.Errorf("%w: what is there was brought in other batches, by another release of tierd", ErrOtherRestore)
	}
	if r.batch.Number > r.loaded {
		select {
		case r.batches <- r.batch:
		case <-r.done:
			return r.failed()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.batch, r.bytes = hot.RestoreBatch{Number: r.batch.Number + 1}, 0
	return nil
}

// send brings the batches that wait, a round trip after the other.
func (r *Restoration) send(ctx context.Context, batches <-chan hot.RestoreBatch) {
	defer close(r.done)
	for next := range batches {
		waiting := append(make([]hot.RestoreBatch, 0, restoreBatches), next)
		for more := true; more && len(waiting) < restoreBatches; {
			select {
			case next, open := <-batches:
				if more = open; open {
					waiting = append(waiting, next)
				}
			default:
				more = false
			}
		}
		if r.failure = r.hot.LoadRestore(ctx, r.start.ID, waiting); r.failure != nil {
			return
		}
	}
}

func (r *Restoration) failed() error {
	if r.failure == nil {
		return nil
	}
	return fmt.Errorf("restore: %w", translate(r.failure))
}

// End makes the keyspace available, at the end of what was added.
func (r *Restoration) End(ctx context.Context, end RestoreEnd) error {
	err := r.pushRevision(ctx)
	if err == nil {
		err = r.pushBatch(ctx)
	}
	if err != nil {
		return err
	}
	if end.Revision < max(r.added, 1) || end.Compacted > end.Revision {
		return fmt.Errorf("%w: the keyspace cannot end at revision %d, compacted at %d, after %d", ErrInternal, end.Revision, end.Compacted, r.added)
	}
	close(r.batches)
	r.batches = nil
	select {
	case <-r.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.failure != nil {
		return r.failed()
	}
	leases := make([]hot.Lease, len(end.Leases))
	for i, l := range end.Leases {
		leases[i] = hot.Lease{ID: l.ID, TTLSeconds: l.GrantedTTL}
	}
	if err := r.hot.RestoreLeases(ctx, r.start.ID, leases); err != nil {
		return fmt.Errorf("restore leases: %w", translate(err))
	}
	if auth := (AuthChange{Set: end.Auth}).fields(); len(auth) > 0 {
		if err := r.hot.RestoreAuth(ctx, r.start.ID, auth); err != nil {
			return fmt.Errorf("restore auth data: %w", translate(err))
		}
	}
	if err := r.hot.EndRestore(ctx, r.start.ID, r.batch.Number-1, end.Revision, end.Compacted); err != nil {
		return fmt.Errorf("end the restore: %w", translate(err))
	}
	return nil
}

// Close gives the restoration up for now: what is under way is brought still, and it can be gone on with. After
// End it does nothing.
func (r *Restoration) Close() {
	if r.batches != nil {
		close(r.batches)
		r.batches = nil
	}
	<-r.done
	r.cancel()
}

// DiscardRestore removes what an interrupted restore has brought, or a scratch keyspace that nobody serves.
// ErrKeyspaceExists if the restore of another one has come to its end since, or there never was one.
func DiscardRestore(ctx context.Context, fleet *hot.Fleet) error {
	if err := fleet.Home().DiscardRestore(ctx); err != nil {
		return fmt.Errorf("discard a restore: %w", translate(err))
	}
	return nil
}
