package router

import (
	"context"
	"fmt"

	"github.com/tierd/tierd/tiers/hot"
)

// sequencesMax bounds the shards asked for in one call.
const sequencesMax = 512

// sequenced is the sequencer's answer about one shard.
type sequenced struct {
	hot.Sequenced
	revision, compacted Revision
	epoch               hot.Epoch
	space               hot.Space
}

// complete says that the cuts reach up to the last ordered position.
func (a *sequenced) complete() bool {
	return len(a.Cuts) == 0 || a.Cuts[len(a.Cuts)-1].To >= a.Ordered
}

type sequenceItem = item[hot.Ask, sequenced]

func weighAsk(*hot.Ask) weight { return weight{requests: 1} }

// serveSequence asks the sequencer once for all who wait.
func (k *Keyspace) serveSequence(batch []*sequenceItem) {
	ctx, cancel := context.WithTimeout(k.working, k.settings.RequestTimeout)
	defer cancel()
	asks := make([]hot.Ask, len(batch))
	for i, it := range batch {
		asks[i] = it.request
	}
	answer, err := k.hot.Sequence(ctx, asks)
	if err != nil {
		failAll(batch, translate(err))
		return
	}
	for i, it := range batch {
		it.finish(sequenced{Sequenced: answer.Shards[i], revision: answer.Revision, compacted: answer.Compacted,
			epoch: answer.Epoch, space: answer.Space}, nil)
	}
}

// ask asks the sequencer about a shard, and orders what it says is to be ordered. What
// is newer than the shard map this frontend knows is read on the way.
func (k *Keyspace) ask(ctx context.Context, a hot.Ask) (sequenced, error) {
	answer, err := k.sequences.do(ctx, a)
	if err == nil && answer.epoch > k.shardMap().now().epoch {
		err = k.reloadMap(ctx)
	}
	return answer, err
}

// latest is the linearizable current revision.
func (k *Keyspace) latest(ctx context.Context) (sequenced, error) {
	return k.ask(ctx, hot.Ask{})
}

// shardMap is the map as this frontend knows it.
func (k *Keyspace) shardMap() *shardMap { return k.maps.Load() }

// reloadMap reads the shard map, and makes the shards that it names reachable.
func (k *Keyspace) reloadMap(ctx context.Context) error {
	k.mapMu.Lock()
	defer k.mapMu.Unlock()
	versions, texts, auth, err := k.hot.Map(ctx)
	if err != nil {
		return translate(err)
	}
	if err := k.configureSealing(ctx, texts[sealingText]); err != nil {
		return err
	}
	next, err := readMap(versions, texts)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInternal, err)
	}
	next.auth = auth
	if known := k.maps.Load(); known != nil && known.now().epoch > next.now().epoch {
		return nil
	}
	for id, endpoint := range next.places() {
		if _, err := k.openShard(id, endpoint, next); err != nil {
			return err
		}
	}
	k.maps.Store(next)
	k.closeShards(next)
	return nil
}

// openShard makes a shard reachable; one that is stays as it is.
func (k *Keyspace) openShard(id hot.Shard, endpoint int, m *shardMap) (*shard, error) {
	k.shardsMu.Lock()
	defer k.shardsMu.Unlock()
	if s, ok := k.shards[id]; ok {
		return s, nil
	}
	card, ok := m.endpoints[endpoint]
	if !ok {
		return nil, fmt.Errorf("%w: shard %d is on endpoint %d, which is not known", ErrInternal, id, endpoint)
	}
	client, err := k.fleet.Shard(id, card.URL, k.refill)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s := k.newShard(id, endpoint, client)
	k.shards[id] = s
	return s, nil
}

// shard is a shard that the map names. The error is ErrStopped, or errStaleMap: a newer
// map does not name it any more.
func (k *Keyspace) shard(id hot.Shard) (*shard, error) {
	k.shardsMu.Lock()
	defer k.shardsMu.Unlock()
	if s, ok := k.shards[id]; ok {
		return s, nil
	}
	select {
	case <-k.stopped:
		return nil, ErrStopped
	default:
		return nil, fmt.Errorf("%w: there is no shard %d", errStaleMap, id)
	}
}

// others are all shards but the home shard.
func (k *Keyspace) others() []*shard {
	k.shardsMu.Lock()
	defer k.shardsMu.Unlock()
	var out []*shard
	for _, s := range k.shards {
		if !s.home() {
			out = append(out, s)
		}
	}
	return out
}

// closeShards lets go of shards that no version of the map names any more.
func (k *Keyspace) closeShards(m *shardMap) {
	named := m.places()
	k.shardsMu.Lock()
	defer k.shardsMu.Unlock()
	for id, s := range k.shards {
		if _, ok := named[id]; !ok && !s.home() && id != k.filling {
			delete(k.shards, id)
			k.metrics.hide(id)
			close(s.stopped)
			k.loops.Go(s.wait)
		}
	}
}
