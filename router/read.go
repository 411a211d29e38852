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
	pageBytes = 1 << 20
)

// readAnswer is one read with the revisions at which its batch was made.
type readAnswer struct {
	hot.ReadResult
	revision, compacted Revision
}

type readItem = item[hot.Read, readAnswer]

func weighRead(*hot.Read) weight { return weight{requests: 1, strings: 3} }

func (k *Keyspace) serveReads(batch []*readItem) {
	ctx, cancel := context.WithTimeout(k.working, k.settings.RequestTimeout)
	defer cancel()
	for len(batch) > 0 {
		reads := make([]hot.Read, len(batch))
		for i, it := range batch {
			reads[i] = it.request
		}
		reply, err := k.hot.Reads(ctx, pageBytes, reads)
		if err != nil {
			failAll(batch, translate(err))
			return
		}
		var rest []*readItem
		for i, it := range batch {
			if errors.Is(reply.Results[i].Err, hot.ErrFull) {
				rest = append(rest, it)
				continue
			}
			it.finish(readAnswer{ReadResult: reply.Results[i], revision: reply.Revision, compacted: reply.Compacted}, nil)
		}
		batch = rest
	}
}

// read makes one read through a queue and gives its own error, if it has one.
func read(ctx context.Context, q *queue[hot.Read, readAnswer], r hot.Read) (readAnswer, error) {
	answer, err := q.do(ctx, r)
	if err != nil {
		return readAnswer{}, err
	}
	if answer.Err != nil {
		return answer, translate(answer.Err)
	}
	return answer, nil
}

// CurrentRevision implements API.
func (k *Keyspace) CurrentRevision(ctx context.Context) (current, compacted Revision, err error) {
	answer, err := read(ctx, k.gets, hot.GetRead([]byte{0}, true))
	return answer.revision, answer.compacted, err
}

func keyValue(i *hot.Item) *mvccpb.KeyValue {
	return &mvccpb.KeyValue{
		Key: i.Key, Value: i.Value, CreateRevision: i.Create, ModRevision: int64(i.Mod), Version: i.Version, Lease: i.Lease,
	}
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
