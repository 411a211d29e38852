package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tierd/tierd/tiers/hot"
)

// Waiting for others.
const (
	// lockPollMin and lockPollMax bound the pause between two looks at what is locked.
	lockPollMin, lockPollMax = time.Millisecond, 10 * time.Millisecond
	// lockPatience is how long a token may hold what others want before it is asked what
	// became of it.
	lockPatience = 700 * time.Millisecond
)

// appended is a batch that has positions and waits for its revisions.
type appended struct {
	incarnation string
	tail        hot.Position
	// size is that of the whole batch, of which items are those that wrote; places says
	// where in it.
	size   int
	items  []*commitItem
	places []int
	// positions and results are the items', results nil where the reply was lost.
	positions []hot.Position
	results   []*hot.TransactionResult
}

// append makes a call on a shard that does not know its revisions: it appends, and has
// the sequencer order what was appended.
func (l *commitLane) append(ctx context.Context, epoch hot.Epoch, batch []*commitItem, transactions []*hot.Transaction) ([]*commitItem, error) {
	l.s.mu.Lock()
	stamp := l.s.ahead
	l.s.mu.Unlock()
	full := l.full
	reply, err := l.s.client.Append(ctx, l.lane, epoch, l.room(), stamp, transactions)
	if err != nil {
		return nil, err
	}
	l.s.note(reply.Stamped, stamp.Horizon)
	var rest []*commitItem
	a := appended{incarnation: reply.Incarnation, size: len(batch)}
	for i, it := range batch {
		r := &reply.Results[i]
		if full && r.Outcome == hot.OutcomeNoSpace { // only this shard's Redis has no memory: no alarm
			it.finish(committed{}, ErrNoSpace)
			continue
		}
		switch r.Outcome {
		case hot.OutcomeThen, hot.OutcomeElse:
			a.add(i, it, hot.Position(r.Revision), r)
		case hot.OutcomeAgain:
			rest = append(rest, it)
		default:
			it.finish(committed{TransactionResult: *r}, nil)
		}
	}
	if len(rest) > 0 {
		a.tail = reply.Tail // what they wait for may be someone else's
	}
	back, err := l.order(ctx, a)
	if err != nil {
		failAll(rest, err) // they wait for what cannot be ordered
		return nil, nil
	}
	return append(back, rest...), nil
}

func (a *appended) add(place int, it *commitItem, p hot.Position, r *hot.TransactionResult) {
	a.places = append(a.places, place)
	a.items, a.positions, a.results = append(a.items, it), append(a.positions, p), append(a.results, r)
	a.tail = max(a.tail, p)
}

// resolvedAppend orders what a lost call had appended, and gives back what it had not.
func (l *commitLane) resolvedAppend(ctx context.Context, batch []*commitItem, resolved []hot.Resolved) []*commitItem {
	var rest []*commitItem
	a := appended{size: len(batch)}
	for i, it := range batch {
		if !resolved[i].Done {
			rest = append(rest, it)
			continue
		}
		a.incarnation = resolved[i].Incarnation
		a.add(i, it, hot.Position(resolved[i].Revision), nil)
	}
	back, err := l.order(ctx, a)
	if err != nil {
		failAll(rest, err)
		return nil
	}
	return append(rest, back...)
}

// order has the sequencer give revisions to what was appended, and answers it. This is
// the commit point. It gives back what has to be appended again. With an error it has
// told everyone whose outcome it leaves open; it is for those that have none.
func (l *commitLane) order(ctx context.Context, a appended) ([]*commitItem, error) {
	if a.tail == 0 {
		return nil, nil
	}
	for {
		answer, err := l.k.ask(ctx, hot.Ask{Shard: l.s.id, Incarnation: a.incarnation, Tail: a.tail, After: l.s.after()})
		if err != nil && errors.Is(err, ErrOutcomeUnknown) && ctx.Err() == nil {
			continue // ordering twice is as good as once
		}
		if errors.Is(err, ErrCorrupt) { // nothing is ordered, nor told to anyone, until that is over
			l.lane = nil
			failAll(a.items, err)
			return nil, err
		}
		if err != nil {
			l.lane = nil
			failAll(a.items, fmt.Errorf("%w: order shard %d: %w", ErrOutcomeUnknown, l.s.id, err))
			return nil, fmt.Errorf("%w: order shard %d: %w", ErrUnavailable, l.s.id, err)
		}
		if answer.Superseded {
			return l.superseded(ctx, a)
		}
		l.s.learn(answer)
		return l.answer(ctx, a, answer), nil
	}
}

// superseded handles a batch whose shard has begun another incarnation before it was
// ordered: it is there still, and can be ordered, or it is gone, and nobody knows of it.
func (l *commitLane) superseded(ctx context.Context, a appended) ([]*commitItem, error) {
	if len(a.items) == 0 {
		return nil, nil
	}
	l.s.client.Outlived(a.incarnation)
	l.lane.Reopen()
	resolved, done, err := l.s.client.Resolve(ctx, l.lane, a.size)
	if err != nil {
		l.lane = nil
		failAll(a.items, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err))
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if !done {
		l.lane = nil
		return a.items, nil
	}
	a.incarnation = resolved[a.places[0]].Incarnation
	return l.order(ctx, a)
}

// answer tells each caller its revision.
func (l *commitLane) answer(ctx context.Context, a appended, answer sequenced) []*commitItem {
	for i, it := range a.items {
		revision, ok := hot.RevisionOf(answer.Cuts, a.positions[i])
		if !ok {
			var err error
			if revision, err = l.s.revisionOf(ctx, a.positions[i]); err != nil {
				it.finish(committed{}, fmt.Errorf("%w: find the revision of position %d of shard %d: %w", ErrOutcomeUnknown, a.positions[i], l.s.id, err))
				continue
			}
		}
		if a.results[i] == nil {
			it.finish(committed{TransactionResult: hot.TransactionResult{Outcome: hot.OutcomeThen, Revision: revision}, unread: true}, nil)
			continue
		}
		a.results[i].Settle(revision)
		l.s.remember(a.positions[i], revision, effectsOf(it.request.Transaction, a.results[i]))
		it.finish(committed{TransactionResult: *a.results[i]}, nil)
	}
	return nil
}

// learn keeps what the next call tells the shard. That one may meet a later incarnation:
// what it appends is only ordered in the one that it was appended in.
func (s *shard) learn(a sequenced) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = stampOf(a)
	s.ahead.Incarnation = ""
}

// revisionOf finds the revision of a position whose cut the sequencer did not name: it
// lies before what this frontend asks for.
func (s *shard) revisionOf(ctx context.Context, p hot.Position) (Revision, error) {
	a, err := s.k.ask(ctx, hot.Ask{Shard: s.id, After: p - 1})
	if err != nil {
		return 0, err
	}
	if r, ok := hot.RevisionOf(a.Cuts, p); ok {
		return r, nil
	}
	return 0, fmt.Errorf("%w: the sequencer has no cut of it any more", ErrInternal)
}

// awaitUnlocked waits a moment for a token to let go, and sees after it when it has
// taken too long.
func (k *Keyspace) awaitUnlocked(ctx context.Context, t hot.Token) error {
	since, pause := k.lockSeen(t)
	if time.Since(since) >= lockPatience {
		return k.settle(ctx, t, lockPatience)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// seenLock is when a token was first found in the way, and how long to wait next.
type seenLock struct {
	since time.Time
	pause time.Duration
}

// locksSeenMax bounds the tokens remembered.
const locksSeenMax = 64

func (k *Keyspace) lockSeen(t hot.Token) (time.Time, time.Duration) {
	k.locksMu.Lock()
	defer k.locksMu.Unlock()
	seen, ok := k.locks[t]
	if !ok {
		if len(k.locks) >= locksSeenMax {
			clear(k.locks)
		}
		seen = seenLock{since: time.Now(), pause: lockPollMin}
	}
	pause := seen.pause
	seen.pause = min(2*seen.pause, lockPollMax)
	k.locks[t] = seen
	return seen.since, pause
}

// quota is what of the keyspace's quota is left to a shard: all but what the others had
// at the last heartbeat.
func (k *Keyspace) quota(s *shard) int64 {
	left := k.settings.QuotaBytes
	sizes := k.sizes.Load()
	if sizes == nil {
		return left
	}
	for id, bytes := range sizes.bytes {
		if id != s.id {
			left -= bytes
		}
	}
	return left
}

// sizes are the bytes of each shard at the last heartbeat.
type sizes struct {
	bytes, keys map[hot.Shard]int64
}
