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

type (
	getItem  = item[hot.KeyRead, hot.ReadResult]
	readItem = item[hot.Read, hot.ReadResult]
)

func weighGet(*hot.KeyRead) weight { return weight{requests: 1} }

func weighRead(*hot.Read) weight { return weight{requests: 1} }

func (k *Keyspace) serveGets(batch []*getItem) {
	ctx, cancel := context.WithTimeout(k.working, k.settings.RequestTimeout)
	defer cancel()
	for len(batch) > 0 {
		gets := make([]hot.KeyRead, len(batch))
		for i, it := range batch {
			gets[i] = it.request
		}
		results, err := k.hot.Gets(ctx, pageBytes, gets)
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
			it.finish(results[i], nil)
		}
		batch = rest
	}
}

func (k *Keyspace) serveReads(batch []*readItem) {
	ctx, cancel := context.WithTimeout(k.working, k.settings.RequestTimeout)
	defer cancel()
	for _, it := range batch {
		result, err := k.hot.Read(ctx, pageBytes, it.request)
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
	answer, err := k.gets.do(ctx, hot.KeyRead{})
	return answer.Revision, answer.Compacted, err
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
