package router

import (
	"context"
	"errors"
	"fmt"

	"github.com/tierd/tierd/tiers/hot"
)

// Limits of a commit batch.
const (
	// commitLanes is how many commit calls are under way at once. More of them make
	// smaller batches: with two, a put was measured to cost a sixth more.
	commitLanes = 1
	// commitTransactionsMax and commitBytesMax bound one call, so that no call
	// keeps Redis busy for more than milliseconds.
	commitTransactionsMax = 512
	commitBytesMax        = 4 << 20
)

// committed is what became of a transaction.
type committed struct {
	hot.TransactionResult
	// unread says that the transaction took Revision, but its reply was lost:
	// what it read has to be evaluated again at the revision before.
	unread bool
}

// commitRequest is a transaction on its way to the shard that a version of the map says
// has all its keys.
type commitRequest struct {
	*hot.Transaction
	epoch hot.Epoch
}

type commitItem = item[commitRequest, committed]

func weighTransaction(t *commitRequest) weight {
	return weight{requests: 1, bytes: t.Bytes(), strings: t.Strings()}
}

// commitLane runs batches in one lane of a shard, at most one at a time.
type commitLane struct {
	k    *Keyspace
	s    *shard
	lane *hot.Lane
	// full says that Redis had no memory for the last call: the next one puts nothing, so
	// that what makes room is done.
	full bool
}

// serve commits a batch, finds out what became of it if the reply is lost, and
// sends again what was not done, until the request timeout has passed.
func (l *commitLane) serve(batch []*commitItem) {
	ctx, cancel := context.WithTimeout(l.k.working, l.k.settings.RequestTimeout)
	defer cancel()
	for len(batch) > 0 {
		if err := l.ready(); err != nil {
			failAll(batch, err)
			return
		}
		epoch := batch[0].request.epoch
		transactions := make([]*hot.Transaction, len(batch))
		for i, it := range batch {
			transactions[i], epoch = it.request.Transaction, min(epoch, it.request.epoch)
		}
		rest, err := l.call(ctx, epoch, batch, transactions)
		if err != nil {
			rest = l.failed(ctx, batch, err)
		}
		batch = rest
	}
}

// call makes one call and answers what it decided; it gives back what is to be sent
// again.
func (l *commitLane) call(ctx context.Context, epoch hot.Epoch, batch []*commitItem, transactions []*hot.Transaction) ([]*commitItem, error) {
	if !l.s.home() {
		return l.append(ctx, epoch, batch, transactions)
	}
	results, err := l.s.client.Commit(ctx, l.lane, epoch, l.room(), transactions)
	if err != nil {
		return nil, err
	}
	var rest []*commitItem
	for i, it := range batch {
		if results[i].Outcome == hot.OutcomeAgain { // those before it have deleted many keys
			rest = append(rest, it)
			continue
		}
		it.finish(committed{TransactionResult: results[i]}, nil)
	}
	return rest, nil
}

// nothing is the quota of a call that may put nothing, below what any shard holds.
const nothing = -1 << 50

// room is the quota for the next call.
func (l *commitLane) room() int64 {
	if l.full {
		l.full = false
		return nothing
	}
	return max(l.k.quota(l.s), 0)
}

func (l *commitLane) ready() error {
	if l.lane != nil {
		return nil
	}
	lane, err := l.s.client.NewLane()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	l.lane = lane
	return nil
}

// failed handles a commit call without a result and gives back what is to be
// sent again.
func (l *commitLane) failed(ctx context.Context, batch []*commitItem, err error) []*commitItem {
	var locked *hot.LockedError
	var unstamped *hot.UnstampedError
	switch {
	case errors.Is(err, hot.ErrRefused):
		l.lane = nil // closed; nothing ran
		return batch
	case errors.As(err, &locked):
		return l.goOn(ctx, batch, l.k.awaitUnlocked(ctx, locked.Token), err)
	case errors.As(err, &unstamped):
		return l.goOn(ctx, batch, l.s.unstamped(ctx, err), err)
	case errors.Is(err, hot.ErrOutOfMemory) && ctx.Err() == nil:
		l.full = true
		return batch
	case errors.Is(err, hot.ErrScript):
		l.k.logger.Error("a commit failed inside its script", "shard", int(l.s.id), "transactions", len(batch), "cause", err)
		l.lane = nil
		failAll(batch, translate(err))
		return nil
	case !errors.Is(err, hot.ErrUnknown):
		failAll(batch, translate(err))
		return nil
	}
	return l.resolve(ctx, batch, err)
}

// goOn gives the batch back if what was in its way is so no more.
func (l *commitLane) goOn(ctx context.Context, batch []*commitItem, err, cause error) []*commitItem {
	if err != nil {
		failAll(batch, err)
		return nil
	}
	return l.again(ctx, batch, cause)
}

// resolve finds out what became of a call whose reply was lost.
func (l *commitLane) resolve(ctx context.Context, batch []*commitItem, err error) []*commitItem {
	l.k.logger.Warn("reply to a commit was lost; asking what became of it", "shard", int(l.s.id), "transactions", len(batch), "cause", err)
	lane := l.lane
	resolving, cancel := context.WithTimeout(l.k.working, l.k.settings.RequestTimeout)
	defer cancel()
	resolved, done, resolveErr := l.s.client.Resolve(resolving, lane, len(batch))
	if resolveErr != nil {
		l.lane = nil
		failAll(batch, fmt.Errorf("%w: %w", ErrOutcomeUnknown, errors.Join(err, resolveErr)))
		return nil
	}
	if !done {
		l.lane = nil
		return l.again(ctx, batch, err)
	}
	if !l.s.home() {
		return l.again(ctx, l.resolvedAppend(resolving, batch, resolved), err)
	}
	var rest []*commitItem
	for i, it := range batch {
		if !resolved[i].Done {
			rest = append(rest, it)
			continue
		}
		it.finish(committed{TransactionResult: hot.TransactionResult{Revision: resolved[i].Revision}, unread: true}, nil)
	}
	return l.again(ctx, rest, err)
}

// again gives the batch back if there is time left to send it.
func (l *commitLane) again(ctx context.Context, batch []*commitItem, err error) []*commitItem {
	if ctx.Err() == nil {
		return batch
	}
	failAll(batch, fmt.Errorf("%w: %w", ErrUnavailable, err))
	return nil
}

// errAcross says that a transaction concerns several shards; errRead that it would
// change nothing, and is to be answered by a read; errSealed that it compares what only a
// frontend can.
var (
	errAcross = errors.New("the transaction concerns several shards")
	errRead   = errors.New("the transaction changes nothing")
	errSealed = errors.New("the transaction compares a sealed value")
)

// commit decides one transaction, on the shard that has all its keys; errAcross if there
// is none, errRead if it would change nothing there.
func (k *Keyspace) commit(ctx context.Context, t *hot.Transaction) (committed, error) {
	if t.DeletesMax == 0 {
		t.DeletesMax = k.settings.DeletesMax
	}
	for {
		route, err := k.route(ctx)
		if err != nil {
			return committed{}, err
		}
		m, s := route.now(), k.home
		if !m.alone() {
			id, ok := m.only(t.Spans())
			if !ok || id != hot.HomeShard && t.Odd() {
				return committed{}, errAcross
			}
			if s, err = k.shard(id); errors.Is(err, errStaleMap) {
				continue
			}
			if err != nil {
				return committed{}, err
			}
		}
		result, err := s.commits.do(ctx, commitRequest{t, m.epoch})
		if errors.Is(err, errStaleMap) {
			if err := k.reloadMap(ctx); err != nil {
				return committed{}, err
			}
			continue
		}
		if err != nil {
			return committed{}, err
		}
		if result.Err != nil {
			return result, fmt.Errorf("it was committed at revision %d, but what it read is not to be had: %w", result.Revision, translate(result.Err))
		}
		return result, k.refused(ctx, s, result.Outcome)
	}
}

// refused is the error of an outcome.
func (k *Keyspace) refused(ctx context.Context, s *shard, o hot.Outcome) error {
	switch o {
	case hot.OutcomeLeaseNotFound:
		if !s.home() { // it may only be new to the shard
			return errAcross
		}
		return ErrLeaseNotFound
	case hot.OutcomeElsewhere:
		return errAcross
	case hot.OutcomeRead:
		return errRead
	case hot.OutcomeSealed:
		return errSealed
	case hot.OutcomeTooMany:
		return ErrTooManyKeys
	case hot.OutcomeKeyNotFound:
		return ErrKeyNotFound
	case hot.OutcomeNoSpace:
		return k.noSpace(ctx)
	}
	return nil
}

// translate turns a failure of the hot tier into this package's errors.
func translate(err error) error {
	pairs := []struct{ from, to error }{
		{hot.ErrScript, ErrInternal},
		{hot.ErrUnknown, ErrOutcomeUnknown}, {hot.ErrUnavailable, ErrUnavailable}, {hot.ErrCorrupt, ErrCorrupt},
		{hot.ErrOutOfMemory, ErrNoSpace}, {hot.ErrCompacted, ErrCompacted}, {hot.ErrFuture, ErrFutureRevision},
		{hot.ErrLeaseNotFound, ErrLeaseNotFound}, {hot.ErrLeaseExists, ErrLeaseExists}, {hot.ErrNoSpace, ErrNoSpace},
		{hot.ErrMissing, ErrCorrupt}, {hot.ErrStaleMap, errStaleMap}, {hot.ErrGone, errStaleMap}, {hot.ErrLocked, ErrUnavailable}, {hot.ErrTicket, ErrUnavailable},
		{hot.ErrKeyspaceExists, ErrKeyspaceExists}, {hot.ErrOtherRestore, ErrOtherRestore}, {hot.ErrRestoring, ErrRestoring}, {hot.ErrFenced, ErrFenced},
		{hot.ErrSealKey, ErrUnavailable},
	}
	if errors.Is(err, hot.ErrSealAltered) && !errors.Is(err, hot.ErrUnknown) {
		return &alteredError{err}
	}
	for _, p := range pairs {
		if errors.Is(err, p.from) {
			return fmt.Errorf("%w: %w", p.to, err)
		}
	}
	return err
}
