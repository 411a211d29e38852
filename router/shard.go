package router

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tierd/tierd/tiers/hot"
)

// shard is one shard as this frontend calls it: its queues, and what it is known to
// have stamped.
type shard struct {
	k        *Keyspace
	id       hot.Shard
	endpoint int
	client   *hot.Client

	commits *queue[commitRequest, committed]
	gets    *queue[keyRead, hot.ReadResult]
	pages   *queue[pageRead, hot.ReadResult]
	stopped chan struct{}

	mu sync.Mutex
	// stamped is the last position that the shard is known to have stamped, horizon the
	// revision up to which it has all that is its own. (The home shard has neither: it
	// knows its revisions at once.)
	stamped hot.Position
	horizon Revision
	recent  recentWrites
	// told is the newest that this frontend has told it of space.
	told hot.Space
	// lanes and failing belong to the goroutine that looks after the shards.
	lanes   oldLanes
	failing bool
	// ahead is what the next append tells the shard of the order.
	ahead hot.Stamp
}

// home says that this is the home shard.
func (s *shard) home() bool { return s.id == hot.HomeShard }

// newShard starts the lanes of a shard.
func (k *Keyspace) newShard(id hot.Shard, endpoint int, client *hot.Client) *shard {
	s := &shard{k: k, id: id, endpoint: endpoint, client: client, stopped: make(chan struct{})}
	s.commits = newQueue[commitRequest, committed](k, s.stopped, "commit", weighTransaction,
		weight{requests: commitTransactionsMax, bytes: commitBytesMax, strings: hot.BatchStringsMax})
	for range commitLanes {
		lane := &commitLane{k: k, s: s}
		s.commits.start(lane.serve)
	}
	s.gets = newQueue[keyRead, hot.ReadResult](k, s.stopped, "get", weighGet, weight{requests: getsMax})
	for range getLanes {
		s.gets.start(s.serveGets)
	}
	s.pages = newQueue[pageRead, hot.ReadResult](k, s.stopped, "page", weighRead, weight{requests: 1})
	for range pageLanes {
		s.pages.start(s.serveReads)
	}
	return s
}

// wait returns when the lanes have ended, after stopped was closed.
func (s *shard) wait() {
	s.commits.wait()
	s.gets.wait()
	s.pages.wait()
}

// after is the position after which this frontend wants cuts.
func (s *shard) after() hot.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stamped
}

// note keeps how far the shard is. A position can only be too low: more cuts are asked
// for then than are needed.
func (s *shard) note(stamped hot.Position, horizon Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stamped, s.horizon = max(s.stamped, stamped), max(s.horizon, horizon)
}

// back notes that the shard is not as far as was thought: its Redis has lost something
// that can be stamped again.
func (s *shard) back(stamped hot.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = hot.Stamp{Compacted: -1} // it begins behind where the shard was
	if stamped < s.stamped {
		s.stamped, s.horizon = stamped, 0
	}
}

// has says that the shard has all of its own up to a revision.
func (s *shard) has(r Revision) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.horizon >= r
}

// stampOf is what to tell the shard of an answer of the sequencer; the horizon is left
// out where the answer did not hold all cuts.
func stampOf(a sequenced) hot.Stamp {
	s := hot.Stamp{Cuts: a.Cuts, Compacted: a.compacted, Incarnation: a.Incarnation, Space: a.space}
	if a.complete() {
		s.Horizon, s.Through = a.revision, a.Ordered
	}
	return s
}

// stampTo sees to it that the shard has everything up to a revision.
func (s *shard) stampTo(ctx context.Context, r Revision) error {
	if s.home() {
		return nil
	}
	for !s.has(r) {
		a, _, err := s.stampOnce(ctx)
		if err != nil {
			return err
		}
		if a.revision < r {
			return fmt.Errorf("stamp shard %d up to revision %d: %w", s.id, r, ErrFutureRevision)
		}
	}
	return nil
}

// stampOnce asks the sequencer and tells the shard, and whether that took it all.
func (s *shard) stampOnce(ctx context.Context) (a sequenced, all bool, err error) {
	if a, err = s.k.ask(ctx, hot.Ask{Shard: s.id, After: s.after()}); err != nil {
		return a, false, err
	}
	stamp := stampOf(a)
	done, err := s.client.Stamp(ctx, hot.EpochAny, stamp)
	if err != nil {
		return a, false, s.unstamped(ctx, err)
	}
	s.note(done.Stamped, stamp.Horizon)
	return a, true, nil
}

// tellSpace tells the shard whether the NOSPACE alarm is up.
func (s *shard) tellSpace(ctx context.Context) error {
	for {
		a, all, err := s.stampOnce(ctx)
		if err != nil {
			return err
		}
		if all {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.told = max(s.told, a.space)
			return nil
		}
	}
}

// wasTold says that the shard knows of the alarm as it is.
func (s *shard) wasTold(space hot.Space) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told >= space
}

// unstamped does what has to be done before stamping can go on; another error than
// that it did not get on is given back. The caller asks the sequencer anew.
func (s *shard) unstamped(ctx context.Context, err error) error {
	if errors.Is(err, hot.ErrSuperseded) && ctx.Err() == nil {
		return nil
	}
	var failure *hot.UnstampedError
	if !errors.As(err, &failure) || ctx.Err() != nil {
		return translate(err)
	}
	switch failure.Status {
	case hot.StampMore:
		s.note(failure.Stamped, 0)
		return nil
	case hot.StampGap:
		s.back(failure.Stamped)
		return s.reachable(ctx, failure.Stamped)
	case hot.StampPlan:
		s.note(failure.Stamped, 0)
		return s.k.settleOpen(ctx, 0)
	}
	return translate(err)
}

// reachable says whether the sequencer still has the cuts behind a position. It drops
// those that shards have stamped long ago; a Redis that comes back from before that has
// lost what its positions mean.
func (s *shard) reachable(ctx context.Context, stamped hot.Position) error {
	a, err := s.k.ask(ctx, hot.Ask{Shard: s.id, After: stamped})
	if err != nil || len(a.Cuts) == 0 || a.Cuts[0].From <= stamped+1 {
		return err
	}
	reason := fmt.Sprintf("shard %d came back as it was at position %d, and the sequencer knows the revisions from position %d on only", s.id, stamped, a.Cuts[0].From)
	if err := s.k.hot.MarkLost(ctx, s.id, reason); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, reason, err)
	}
	return fmt.Errorf("%w: %s", ErrCorrupt, reason)
}
