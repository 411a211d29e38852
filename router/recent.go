package router

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/tierd/tierd/tiers/hot"
)

// recentBytesMax bounds what a frontend remembers of its last writes to one shard.
const recentBytesMax = 4 << 20

// recentWrites are the last writes of this frontend to a shard, by position. Where the
// Redis of a shard comes back without some that have revisions, because a replica was
// behind, the frontends bring back what they remember.
type recentWrites struct {
	bytes  int
	order  []hot.Position
	writes map[hot.Position]recentWrite
}

type recentWrite struct {
	revision Revision
	effects  []byte
}

// remember keeps a write.
func (s *shard) remember(p hot.Position, revision Revision, effects []byte) {
	if s.home() || p == 0 || len(effects) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.recent
	if r.writes == nil {
		r.writes = make(map[hot.Position]recentWrite)
	}
	if _, twice := r.writes[p]; twice {
		return
	}
	r.writes[p] = recentWrite{revision, effects}
	r.order = append(r.order, p)
	r.bytes += len(effects)
	for r.bytes > recentBytesMax {
		r.bytes -= len(r.writes[r.order[0]].effects)
		delete(r.writes, r.order[0])
		r.order = r.order[1:]
	}
}

// recall gives a remembered write.
func (s *shard) recall(p hot.Position) (recentWrite, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.recent.writes[p]
	return w, ok
}

// refill implements hot.Refill: it brings back the positions after tail that this
// frontend remembers, up to the first one that it does not.
func (k *Keyspace) refill(ctx context.Context, id hot.Shard, tail, ordered hot.Position,
	apply func(context.Context, Revision, hot.Part, hot.Stamp) error) bool {
	s, err := k.shard(id)
	if err != nil {
		return false
	}
	k.recallPlans(ctx, s)
	if _, ok := s.recall(tail + 1); !ok {
		return false
	}
	brought := 0
	for p := tail + 1; p <= ordered; p++ {
		w, ok := s.recall(p)
		if !ok {
			break
		}
		if err := k.bringBack(ctx, id, p, w, apply); err != nil {
			k.logger.Warn("a write that a shard has lost could not be brought back", "shard", int(id), "position", int64(p), "cause", err)
			break
		}
		brought++
	}
	if brought > 0 {
		s.back(0)
		k.logger.Warn("a shard had lost writes, and has them back", "shard", int(id), "first", int64(tail+1), "writes", brought)
	}
	return brought > 0
}

// recallPlans remembers the parts of plans that have been decided and not carried out yet:
// their positions are ordered before they are there.
func (k *Keyspace) recallPlans(ctx context.Context, s *shard) {
	tokens, err := k.hot.OpenTickets(ctx, 0)
	if err != nil {
		return // what is missing will be looked for again
	}
	for _, t := range tokens {
		settled, err := k.hot.SettleTicket(ctx, t, lockPatience)
		if err != nil || settled.Fate != hot.FatePlanned {
			continue
		}
		var parts []planPart
		if json.Unmarshal(settled.Parts, &parts) != nil {
			continue
		}
		for _, p := range parts {
			if p.Shard == s.id {
				s.remember(p.Position, settled.Revision, p.Effects)
			}
		}
	}
}

// bringBack applies one write, after what the shard has not stamped yet.
func (k *Keyspace) bringBack(ctx context.Context, id hot.Shard, p hot.Position, w recentWrite,
	apply func(context.Context, Revision, hot.Part, hot.Stamp) error) error {
	var stamp hot.Stamp
	for {
		err := apply(ctx, w.revision, hot.Part{Position: p, Effects: w.effects}, stamp)
		var failure *hot.UnstampedError
		if !errors.As(err, &failure) || failure.Status == hot.StampPlan || failure.Status == hot.StampLost {
			return err
		}
		answer, err := k.hot.Sequence(ctx, []hot.Ask{{Shard: id, After: failure.Stamped}})
		if err != nil {
			return err
		}
		stamp = hot.Stamp{Compacted: answer.Compacted}
		for _, c := range answer.Shards[0].Cuts {
			if c.From < p {
				c.To, c.Planned = min(c.To, p-1), false
				stamp.Cuts = append(stamp.Cuts, c)
			}
		}
		if len(stamp.Cuts) == 0 {
			return failure
		}
	}
}

// effectsOf are the events of a transaction as its shard would apply them; nil where
// its result does not tell them all.
func effectsOf(t *hot.Transaction, r *hot.TransactionResult) []byte {
	effects, known := t.Effects(r)
	if !known {
		return nil
	}
	return hot.PackEffects(effects)
}
