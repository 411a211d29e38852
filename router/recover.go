package router

import (
	"context"
	"fmt"
	"slices"

	"github.com/tierd/tierd/tiers/hot"
)

// Loss is what a keyspace has lost of what was acknowledged.
type Loss struct {
	// Reason is why the whole keyspace is refused; empty if it is not.
	Reason string
	// Revision is what Redis has, Witnessed the highest revision that a live frontend
	// told of; 0 for none.
	Revision, Witnessed Revision
	Shards              []ShardLoss
}

// ShardLoss is what one shard has lost.
type ShardLoss struct {
	Shard  int
	Reason string
	// Missing are the revisions that lie on it and are gone, as far as the sequencer
	// still knows; they are in order, and other shards have the revisions between them.
	Missing []Revision
	// MissingCount counts them all.
	MissingCount int64
}

// lossListed bounds the revisions that a ShardLoss lists.
const lossListed = 1000

// Loss tells what is lost; nothing is changed.
func (k *Keyspace) Loss(ctx context.Context) (Loss, error) {
	found, err := k.hot.Loss(ctx)
	if err != nil {
		return Loss{}, translate(err)
	}
	l := Loss{Reason: found.Reason, Revision: found.Revision, Witnessed: found.Witnessed}
	for _, s := range found.Shards {
		loss := ShardLoss{Shard: int(s.Shard), Reason: s.Reason}
		if found.Reason == "" {
			if err := k.missing(ctx, s, &loss); err != nil {
				return l, err
			}
		}
		l.Shards = append(l.Shards, loss)
	}
	slices.SortFunc(l.Shards, func(a, b ShardLoss) int { return a.Shard - b.Shard })
	return l, nil
}

// missing finds the revisions of positions that a shard does not have.
func (k *Keyspace) missing(ctx context.Context, s hot.ShardLoss, loss *ShardLoss) error {
	at, err := k.shard(s.Shard)
	if err != nil {
		return err
	}
	tail, err := at.client.RawTail(ctx)
	if err != nil {
		return translate(err)
	}
	loss.MissingCount = int64(s.Ordered - tail)
	answer, err := k.hot.Sequence(ctx, []hot.Ask{{Shard: s.Shard, After: tail}})
	if err != nil {
		return translate(err)
	}
	for _, c := range answer.Shards[0].Cuts {
		for p := max(c.From, tail+1); p <= c.To && len(loss.Missing) < lossListed; p++ {
			loss.Missing = append(loss.Missing, c.Revision+Revision(p-c.From))
		}
	}
	return nil
}

// AcceptLoss takes a keyspace that has lost something back into service: it goes on at
// least bump revisions above anything that is known, compacted there, so that no client
// goes on from what is lost. It gives that revision, and the keys that had to be dropped
// because their last versions are gone.
func (k *Keyspace) AcceptLoss(ctx context.Context, bump Revision) (Revision, []string, error) {
	found, err := k.hot.Loss(ctx)
	if err != nil {
		return 0, nil, translate(err)
	}
	if found.Reason == "" && len(found.Shards) == 0 {
		return 0, nil, fmt.Errorf("%w: nothing is lost", ErrMap)
	}
	from := max(found.Revision, found.Witnessed)
	stamped := make(map[hot.Shard]hot.Position)
	for _, s := range k.others() {
		if stamped[s.id], err = s.client.RawStamped(ctx); err != nil {
			return 0, nil, translate(err)
		}
		known, err := s.client.RawHorizon(ctx)
		if err != nil {
			return 0, nil, translate(err)
		}
		from = max(from, known)
	}
	from += bump
	dropped, err := k.hot.Repair(ctx)
	if err != nil {
		return 0, nil, translate(err)
	}
	// From here on what is lost lies behind the compacted revision; shards that have lost
	// something are refused until they have given it up, so that this can be repeated.
	if err := k.hot.AcceptLoss(ctx, from, stamped); err != nil {
		return 0, nil, translate(err)
	}
	for _, s := range found.Shards {
		keys, err := k.giveUp(ctx, s)
		if err != nil {
			return 0, nil, fmt.Errorf("give up what shard %d has lost: %w", s.Shard, err)
		}
		dropped = append(dropped, keys...)
	}
	k.orderLeft(ctx)
	return from, dropped, nil
}

// orderLeft orders what shards hold that has no revision, or none any more: the frontends
// would do so a little later.
func (k *Keyspace) orderLeft(ctx context.Context) {
	for _, s := range k.others() {
		if _, err := k.careFor(ctx, s); err != nil {
			k.logger.Warn("what a shard holds without a revision is left for the frontends to order", "shard", int(s.id), "cause", err)
		}
	}
}

// giveUp lets a shard go on without what it has lost, and gives the keys that are gone
// with it.
func (k *Keyspace) giveUp(ctx context.Context, s hot.ShardLoss) ([]string, error) {
	at, err := k.shard(s.Shard)
	if err != nil {
		return nil, err
	}
	cuts, err := k.cutsOf(ctx, at)
	if err != nil {
		return nil, err
	}
	if err := at.client.GiveUp(ctx, s.Ordered, cuts); err != nil {
		return nil, translate(err)
	}
	keys, err := at.client.Repair(ctx)
	if err != nil {
		return nil, translate(err)
	}
	return keys, translate(k.hot.MarkFound(ctx, s.Shard))
}

// cutsOf lists the cuts after what a shard has stamped, as far as the sequencer knows.
func (k *Keyspace) cutsOf(ctx context.Context, s *shard) ([]hot.Cut, error) {
	stamped, err := s.client.RawStamped(ctx)
	if err != nil {
		return nil, translate(err)
	}
	answer, err := k.hot.Sequence(ctx, []hot.Ask{{Shard: s.id, After: stamped}})
	if err != nil {
		return nil, translate(err)
	}
	return answer.Shards[0].Cuts, nil
}
