package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tierd/tierd/tiers/hot"
)

const (
	// careInterval is how often each frontend looks after what others may have left.
	careInterval = time.Second
	// moveSilence is how long a move may be silent before it is given up for its mover.
	moveSilence = 3 * time.Second
)

// careLoop looks after the shards: what a frontend that died has left half done, what it
// has appended and not ordered, and how large everything is.
func (k *Keyspace) careLoop() {
	ticker := time.NewTicker(careInterval)
	defer ticker.Stop()
	silent := false
	var watched watchedMove
	for {
		select {
		case <-k.stopped:
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(k.working, hot.MemberGood)
		err := errors.Join(k.care(ctx), k.careForMove(ctx, &watched))
		cancel()
		if err != nil && k.working.Err() == nil && !silent {
			k.logger.Warn("the shards cannot be looked after", "cause", err)
		}
		silent = err != nil
	}
}

func (k *Keyspace) care(ctx context.Context) error {
	all := &sizes{bytes: make(map[hot.Shard]int64), keys: make(map[hot.Shard]int64)}
	shards := slices.DeleteFunc(k.others(), func(s *shard) bool { return !k.named(s) })
	summaries, failures := make([]hot.ShardSummary, len(shards)), make([]error, len(shards))
	var caring sync.WaitGroup
	var unsettled error
	caring.Go(func() { unsettled = k.settleOpen(ctx, lockPatience) })
	for i, s := range shards { // one that is out of reach must not keep the others waiting
		caring.Go(func() { summaries[i], failures[i] = k.careFor(ctx, s) })
	}
	caring.Wait()
	for i, s := range shards {
		if errors.Is(failures[i], errStaleMap) {
			failures[i] = nil // gone since the map was read
			continue
		}
		failures[i] = s.noteService(failures[i])
		all.bytes[s.id], all.keys[s.id] = summaries[i].Bytes, summaries[i].Keys
	}
	if home := k.summary.Load(); home != nil {
		all.bytes[hot.HomeShard], all.keys[hot.HomeShard] = home.Bytes, home.Keys
		k.metrics.show(hot.HomeShard, home.Bytes, home.Keys, 0)
	}
	k.sizes.Store(all)
	return errors.Join(append(failures, unsettled, k.careForHistory(ctx), k.careForSpace(ctx))...)
}

// noteService logs, once, that a shard has gone out of service or is back. Only what looks
// after the shards calls it.
func (s *shard) noteService(failure error) error {
	was := s.failing
	s.failing = failure != nil
	if failure == nil {
		if was {
			s.k.logger.Info("a shard is in service again", "shard", int(s.id), "endpoint", s.endpoint)
		}
		return nil
	}
	if !was && s.k.working.Err() == nil {
		s.k.logger.Error("a shard is out of service; the others are not", "shard", int(s.id), "endpoint", s.endpoint, "cause", failure)
	}
	return fmt.Errorf("shard %d: %w", s.id, failure)
}

// careFor orders and stamps what lies about on a shard.
func (k *Keyspace) careFor(ctx context.Context, s *shard) (hot.ShardSummary, error) {
	summary, err := s.client.ShardSummary(ctx)
	if err != nil {
		return summary, translate(err)
	}
	s.back(summary.Stamped)
	a, err := k.ask(ctx, hot.Ask{Shard: s.id, Incarnation: summary.Incarnation, Tail: summary.Tail, After: s.after()})
	if err != nil {
		return summary, err
	}
	if a.Superseded {
		s.client.Outlived(summary.Incarnation)
	}
	k.metrics.show(s.id, summary.Bytes, summary.Keys, int64(a.Ordered-summary.Stamped))
	if a.revision < summary.Horizon {
		return summary, k.behind(ctx, s, summary.Horizon, a.revision)
	}
	if err := s.stampTo(ctx, a.revision); err != nil {
		return summary, err
	}
	if !s.wasTold(a.space) {
		if err := s.tellSpace(ctx); err != nil {
			return summary, err
		}
	}
	return summary, s.lanes.forget(ctx, s.client, k.summary.Load(), time.Now())
}

// behind says that the sequencer has lost revisions that a shard knows of.
func (k *Keyspace) behind(ctx context.Context, s *shard, knows, has Revision) error {
	again, err := k.latest(ctx)
	if err != nil || again.revision >= knows {
		return err
	}
	k.logger.Error("the sequencer has lost revisions that a shard knows of", "shard", int(s.id), "knows", int64(knows), "has", int64(has))
	reason := fmt.Sprintf("shard %d knows of revision %d, Redis came back with revision %d", s.id, knows, has)
	return translate(k.hot.MarkLost(ctx, hot.HomeShard, reason))
}

// witnessWait bounds the question to a shard that may be out of reach.
const witnessWait = 500 * time.Millisecond

// witnessed gives the highest revision that any shard but the home shard knows of: the
// sequencer, when it comes back, must not have less. A shard out of reach is no witness.
func (k *Keyspace) witnessed(ctx context.Context) Revision {
	ctx, cancel := context.WithTimeout(ctx, witnessWait)
	defer cancel()
	versions, texts, err := k.hot.RawMap(ctx)
	if err != nil {
		return 0
	}
	m, err := readMap(versions, texts)
	if err != nil {
		k.logger.Error("the shards cannot be asked what the sequencer had", "cause", err)
		return 0
	}
	var mu sync.Mutex
	var asking sync.WaitGroup
	var highest Revision
	for id, endpoint := range m.places() {
		if id == hot.HomeShard {
			continue
		}
		asking.Go(func() {
			client, err := k.fleet.Shard(id, m.endpoints[endpoint].URL, nil)
			if err != nil {
				return
			}
			known, err := client.RawHorizon(ctx)
			if err != nil {
				k.logger.Warn("a shard cannot be asked what the sequencer had", "shard", int(id), "cause", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			highest = max(highest, known)
		})
	}
	if k.archived != nil {
		asking.Go(func() {
			known, err := k.archivedRevision(ctx)
			if err != nil {
				k.logger.Warn("the archive cannot be asked what the sequencer had", "cause", err)
			}
			mu.Lock()
			defer mu.Unlock()
			highest = max(highest, known)
		})
	}
	asking.Wait()
	return highest
}

// archivedRevision is the last revision that the archive has of this keyspace.
func (k *Keyspace) archivedRevision(ctx context.Context) (Revision, error) {
	cluster, err := k.hot.RawCluster(ctx)
	if err != nil {
		return 0, translate(err)
	}
	return k.archived(context.WithoutCancel(ctx), cluster)
}

// total is the size of the keyspace: of the home shard now, of the others at the last
// look.
func (k *Keyspace) total(home *hot.Summary) (keys, bytes int64) {
	keys, bytes = home.Keys, home.Bytes
	if all := k.sizes.Load(); all != nil {
		for id := range all.bytes {
			if id != hot.HomeShard {
				keys, bytes = keys+all.keys[id], bytes+all.bytes[id]
			}
		}
	}
	return keys, bytes
}
