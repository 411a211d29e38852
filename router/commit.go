package router

import (
	"context"
	"errors"
	"fmt"
	"time"

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

type commitItem = item[*hot.Transaction, committed]

func weighTransaction(t **hot.Transaction) weight {
	return weight{requests: 1, bytes: (*t).Bytes(), strings: (*t).Strings()}
}

// commitLane runs batches in one lane of the hot tier, at most one at a time.
type commitLane struct {
	k    *Keyspace
	lane *hot.Lane
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
		transactions := make([]*hot.Transaction, len(batch))
		for i, it := range batch {
			transactions[i] = it.request
		}
		results, err := l.k.hot.Commit(ctx, l.lane, l.k.settings.QuotaBytes, transactions)
		if err == nil {
			for i, it := range batch {
				it.finish(committed{TransactionResult: results[i]}, nil)
			}
			return
		}
		batch = l.failed(ctx, batch, err)
	}
}

func (l *commitLane) ready() error {
	if l.lane != nil {
		return nil
	}
	lane, err := l.k.hot.NewLane()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	l.lane = lane
	return nil
}

// failed handles a commit call without a result and gives back what is to be
// sent again.
func (l *commitLane) failed(ctx context.Context, batch []*commitItem, err error) []*commitItem {
	if errors.Is(err, hot.ErrRefused) {
		l.lane = nil // closed; nothing ran
		return batch
	}
	if errors.Is(err, hot.ErrScript) {
		l.k.logger.Error("a commit failed inside its script", "transactions", len(batch), "cause", err)
		l.lane = nil
	}
	if !errors.Is(err, hot.ErrUnknown) || errors.Is(err, hot.ErrScript) {
		failAll(batch, translate(err))
		return nil
	}
	l.k.logger.Warn("reply to a commit was lost; asking what became of it", "transactions", len(batch), "cause", err)
	lane := l.lane
	resolving, cancel := context.WithTimeout(l.k.working, l.k.settings.RequestTimeout)
	defer cancel()
	resolved, done, resolveErr := l.k.hot.Resolve(resolving, lane, len(batch))
	if resolveErr != nil {
		l.lane = nil
		failAll(batch, fmt.Errorf("%w: %w", ErrOutcomeUnknown, errors.Join(err, resolveErr)))
		return nil
	}
	if !done {
		l.lane = nil
		return l.again(ctx, batch, err)
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

// commit decides one transaction.
func (k *Keyspace) commit(ctx context.Context, t *hot.Transaction) (committed, error) {
	result, err := k.commits.do(ctx, t)
	if err != nil {
		return committed{}, err
	}
	switch result.Outcome {
	case hot.OutcomeLeaseNotFound:
		return committed{}, ErrLeaseNotFound
	case hot.OutcomeKeyNotFound:
		return committed{}, ErrKeyNotFound
	case hot.OutcomeNoSpace:
		return committed{}, k.noSpace(ctx)
	}
	return result, nil
}

// noSpace raises the alarm that goes with a refused write, unless it is up.
func (k *Keyspace) noSpace(ctx context.Context) error {
	raising, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := k.raise(raising, Alarm{MemberID: k.settings.MemberID, Type: alarmNoSpace}, k.hot.RaiseFirstAlarm); err != nil {
		return errors.Join(ErrNoSpace, err)
	}
	return ErrNoSpace
}

// translate turns a failure of the hot tier into this package's errors.
func translate(err error) error {
	pairs := []struct{ from, to error }{
		{hot.ErrScript, ErrInternal},
		{hot.ErrUnknown, ErrOutcomeUnknown}, {hot.ErrUnavailable, ErrUnavailable}, {hot.ErrCorrupt, ErrCorrupt},
		{hot.ErrOutOfMemory, ErrNoSpace}, {hot.ErrCompacted, ErrCompacted}, {hot.ErrFuture, ErrFutureRevision},
		{hot.ErrLeaseNotFound, ErrLeaseNotFound}, {hot.ErrLeaseExists, ErrLeaseExists}, {hot.ErrNoSpace, ErrNoSpace},
		{hot.ErrMissing, ErrCorrupt},
	}
	for _, p := range pairs {
		if errors.Is(err, p.from) {
			return fmt.Errorf("%w: %w", p.to, err)
		}
	}
	return err
}
