package router

import (
	"context"
	"errors"
	"fmt"

	"github.com/tierd/tierd/tiers/hot"
)

// Compact implements API. What it made unreachable is dropped stretch by stretch:
// by this call if physical, else by the keyspace's sweeper.
func (k *Keyspace) Compact(ctx context.Context, rev Revision, physical bool) (Revision, error) {
	reply, err := k.compactOnce(ctx, rev)
	if err != nil {
		return 0, err
	}
	k.wakeSweeper()
	for physical {
		done, err := k.sweepAll(ctx)
		if err != nil {
			return 0, err
		}
		if done {
			break
		}
	}
	return reply.Revision, nil
}

// compactOnce makes a compaction. One whose reply was lost is made again under its
// id, which tells it from everyone else's; if it is refused then, either the first
// call was, or another compaction has followed it: its outcome stays unknown.
func (k *Keyspace) compactOnce(ctx context.Context, rev Revision) (hot.CompactReply, error) {
	id, err := k.random()
	if err != nil {
		return hot.CompactReply{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, k.settings.RequestTimeout)
	defer cancel()
	var lost error
	for {
		m, err := k.route(ctx)
		if err != nil && lost != nil {
			err = fmt.Errorf("compact at revision %d: %w: %w", rev, ErrOutcomeUnknown, lost)
		}
		if err != nil {
			return hot.CompactReply{}, err
		}
		reply, err := k.hot.Compact(ctx, m.now().epoch, rev, id)
		switch {
		case errors.Is(err, hot.ErrStaleMap):
			if err := k.reloadMap(ctx); err != nil {
				return reply, err
			}
		case err == nil:
			return reply, nil
		case errors.Is(err, hot.ErrUnknown) && !errors.Is(err, hot.ErrScript) && ctx.Err() == nil:
			lost = err
		case lost != nil:
			return reply, fmt.Errorf("compact at revision %d: %w: %w", rev, ErrOutcomeUnknown, errors.Join(lost, err))
		default:
			return reply, translate(err)
		}
	}
}

// sweepAll drops one stretch on each shard, and says whether nothing is left to drop.
func (k *Keyspace) sweepAll(ctx context.Context) (bool, error) {
	done, err := k.sweepShards(ctx)
	if errors.Is(err, errStaleMap) { // another frontend has dropped a shard
		return false, k.reloadMap(ctx)
	}
	return done, err
}

func (k *Keyspace) sweepShards(ctx context.Context) (bool, error) {
	home, err := k.sweep(ctx, k.home, 0)
	if err != nil {
		return false, err
	}
	done := home.Swept
	for _, s := range k.others() {
		if !k.named(s) {
			continue
		}
		var reply hot.CompactReply
		err := s.stampTo(ctx, home.Revision)
		if err == nil {
			reply, err = k.sweep(ctx, s, home.Limit)
		}
		if errors.Is(err, errStaleMap) {
			continue // it is gone; whoever removed it has not come to the map, which is done below
		}
		if err != nil {
			return false, err
		}
		done = done && reply.Swept
	}
	if !done {
		return false, nil
	}
	k.keptBack.Store(home.Limit < home.Compacted)
	return k.dropHistory(ctx, home.Limit)
}

// named says whether the map knows a shard; one that is being filled it does not.
func (k *Keyspace) named(s *shard) bool {
	_, ok := k.shardMap().places()[s.id]
	return ok
}

// sweep drops one stretch. A lost reply is made good by the next call.
func (k *Keyspace) sweep(ctx context.Context, s *shard, limit Revision) (hot.CompactReply, error) {
	for {
		reply, err := s.client.Sweep(ctx, limit, k.crowded())
		if !errors.Is(err, hot.ErrUnknown) || errors.Is(err, hot.ErrScript) || ctx.Err() != nil {
			return reply, translate(err)
		}
	}
}

func (k *Keyspace) wakeSweeper() {
	select {
	case k.sweepNow <- struct{}{}:
	default:
	}
}

// sweepLoop drops what compactions leave behind, a stretch at a time, so that
// Redis serves others in between.
func (k *Keyspace) sweepLoop() {
	for {
		select {
		case <-k.stopped:
			return
		case <-k.sweepNow:
		}
		for {
			done, err := k.sweepAll(k.working)
			if err != nil {
				if k.working.Err() == nil {
					k.logger.Warn("dropping compacted revisions was interrupted; it goes on at the next compaction", "cause", err)
				}
				break
			}
			if done {
				break
			}
		}
	}
}
