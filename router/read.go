package router

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/tiers/hot"
)

// Limits of reading.
const (
	// getLanes and pageLanes are how many calls are under way at once; see
	// commitLanes. A page is a call of its own, so there two do help.
	getLanes, pageLanes = 1, 2
	getsMax             = 512
	// pageBytes ends a page, so that no call keeps Redis busy for more than
	// milliseconds nor takes more than this in a frontend.
	pageBytes = 2 << 20
)

// keyRead is a get on its way to the shard that a version of the map says has the key.
type keyRead struct {
	hot.KeyRead
	epoch hot.Epoch
}

// pageRead is a page on its way. On a shard other than the home shard its revision is
// never 0.
type pageRead struct {
	read hot.Read
	at   Revision
}

type (
	getItem  = item[keyRead, hot.ReadResult]
	readItem = item[pageRead, hot.ReadResult]
)

func weighGet(*keyRead) weight { return weight{requests: 1} }

func weighRead(*pageRead) weight { return weight{requests: 1} }

func (s *shard) serveGets(batch []*getItem) {
	ctx, cancel := context.WithTimeout(s.k.working, s.k.settings.RequestTimeout)
	defer cancel()
	for len(batch) > 0 {
		gets := make([]hot.KeyRead, len(batch))
		epoch := batch[0].request.epoch
		for i, it := range batch {
			gets[i], epoch = it.request.KeyRead, min(epoch, it.request.epoch)
		}
		results, err := s.readKeys(ctx, epoch, gets)
		if err != nil {
			failAll(batch, translate(err))
			return
		}
		var rest []*getItem
		for i, it := range batch {
			if errors.Is(results[i].Err, hot.ErrAgain) {
				rest = append(rest, it)
				continue
			}
			it.finish(results[i], translate(results[i].Err))
		}
		batch = rest
	}
}

// readKeys reads keys at the current revision. A shard that does not know that is told.
func (s *shard) readKeys(ctx context.Context, epoch hot.Epoch, gets []hot.KeyRead) ([]hot.ReadResult, error) {
	if s.home() {
		return s.client.Gets(ctx, epoch, pageBytes, gets)
	}
	for {
		a, err := s.k.ask(ctx, hot.Ask{Shard: s.id, After: s.after()})
		if err != nil {
			return nil, err
		}
		if a.epoch > epoch {
			return nil, errStaleMap // the shard itself learns later than the sequencer that it has given keys away
		}
		stamp := stampOf(a)
		if a.complete() {
			results, err := s.client.GetsAt(ctx, epoch, stamp, a.Ordered, pageBytes, gets)
			if err == nil {
				s.note(a.Ordered, stamp.Horizon)
				return results, nil
			}
			if err := s.unstamped(ctx, err); err != nil {
				return nil, err
			}
			continue
		}
		if err := s.stampTo(ctx, a.revision); err != nil {
			return nil, err
		}
	}
}

func (s *shard) serveReads(batch []*readItem) {
	ctx, cancel := context.WithTimeout(s.k.working, s.k.settings.RequestTimeout)
	defer cancel()
	for _, it := range batch {
		var result hot.ReadResult
		err := s.stampTo(ctx, it.request.at)
		if err == nil {
			result, err = s.client.Read(ctx, pageBytes, it.request.read)
		}
		if err == nil {
			err = result.Err
		}
		if err != nil {
			err = translate(err)
		}
		it.finish(result, err)
	}
}

// CurrentRevision implements API.
func (k *Keyspace) CurrentRevision(ctx context.Context) (current, compacted Revision, err error) {
	for {
		answer, err := k.home.gets.do(ctx, keyRead{epoch: hot.EpochAny})
		if !errors.Is(err, errStaleMap) { // others of the same batch may go by an old map
			return answer.Revision, answer.Compacted, err
		}
	}
}

func keyValue(i *hot.Item) *mvccpb.KeyValue {
	kv := new(mvccpb.KeyValue)
	setKeyValue(kv, i)
	return kv
}

func setKeyValue(kv *mvccpb.KeyValue, i *hot.Item) {
	kv.Key, kv.Value, kv.Lease = i.Key, i.Value, i.Lease
	kv.CreateRevision, kv.ModRevision, kv.Version = i.Create, int64(i.Mod), i.Version
}

// span is etcd's (key, range_end) pair: no end is the key alone, "\0" is all keys
// from it on.
func span(key, end []byte) hot.Span {
	switch {
	case len(end) == 0:
		return hot.KeySpan(key)
	case len(end) == 1 && end[0] == 0:
		return hot.FromSpan(key)
	default:
		return hot.RangeSpan(key, end)
	}
}
