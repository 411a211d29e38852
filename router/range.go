package router

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"sort"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/tiers/hot"
)

// pinnedRetriesMax bounds how often a read at the current revision starts again
// because compaction overtook it between two pages.
const pinnedRetriesMax = 5

// listing is what a range holds at one revision.
type listing struct {
	kvs []*mvccpb.KeyValue
	// count is the whole range's, whatever the limit.
	count int64
	// header is the keyspace's current revision when reading began, at the
	// revision that was read.
	header, at Revision
}

// listQuery asks for a listing. Limit 0 means all.
type listQuery struct {
	span      hot.Span
	at        Revision
	limit     int64
	keysOnly  bool
	countOnly bool
	// uncounted leaves listing.count 0 where the limit cut the range short.
	uncounted bool
}

// Range implements API.
func (k *Keyspace) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	return k.rangeAt(ctx, r, Revision(max(r.Revision, 0)))
}

func (k *Keyspace) rangeAt(ctx context.Context, r *pb.RangeRequest, at Revision) (*pb.RangeResponse, error) {
	q := listQuery{span: span(r.Key, r.RangeEnd), at: at, countOnly: r.CountOnly,
		keysOnly: r.KeysOnly && r.SortTarget != pb.RangeRequest_VALUE}
	if r.Limit > 0 && r.Limit < math.MaxInt64 && isPlain(r) {
		q.limit = r.Limit + 1 // as etcd, which sorts these before it cuts
	}
	l, err := k.list(ctx, q)
	if err != nil {
		return nil, err
	}
	return rangeResponse(r, l), nil
}

// isPlain says that a limit is applied while reading, in order of the keys. As in
// etcd that holds without an order even where a target to sort by is named.
func isPlain(r *pb.RangeRequest) bool {
	ordered := r.SortOrder == pb.RangeRequest_NONE || (r.SortTarget == pb.RangeRequest_KEY && r.SortOrder == pb.RangeRequest_ASCEND)
	return ordered && !filtered(r)
}

func filtered(r *pb.RangeRequest) bool {
	return r.MinModRevision != 0 || r.MaxModRevision != 0 || r.MinCreateRevision != 0 || r.MaxCreateRevision != 0
}

// rangeResponse applies the request's filters, order and limit to a listing.
func rangeResponse(r *pb.RangeRequest, l listing) *pb.RangeResponse {
	kvs := filterRange(r, l.kvs)
	sortRange(r, kvs)
	resp := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: int64(l.header)}, Count: l.count}
	if r.CountOnly {
		return resp
	}
	if r.Limit > 0 && int64(len(kvs)) > r.Limit {
		kvs, resp.More = kvs[:r.Limit], true
	}
	if r.KeysOnly {
		for _, kv := range kvs {
			kv.Value = nil
			if r.SortTarget != pb.RangeRequest_VALUE {
				kv.Lease = 0 // as etcd, whose index answers this without the lease
			}
		}
	}
	resp.Kvs = kvs
	return resp
}

func filterRange(r *pb.RangeRequest, kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue {
	if !filtered(r) {
		return kvs
	}
	kept := kvs[:0]
	for _, kv := range kvs {
		if (r.MaxModRevision != 0 && kv.ModRevision > r.MaxModRevision) ||
			(r.MinModRevision != 0 && kv.ModRevision < r.MinModRevision) ||
			(r.MaxCreateRevision != 0 && kv.CreateRevision > r.MaxCreateRevision) ||
			(r.MinCreateRevision != 0 && kv.CreateRevision < r.MinCreateRevision) {
			continue
		}
		kept = append(kept, kv)
	}
	return kept
}

// byTarget sorts with the same algorithm as etcd, so that equal elements come in
// the same order.
type byTarget struct {
	kvs  []*mvccpb.KeyValue
	less func(a, b *mvccpb.KeyValue) bool
}

func (s byTarget) Len() int           { return len(s.kvs) }
func (s byTarget) Swap(i, j int)      { s.kvs[i], s.kvs[j] = s.kvs[j], s.kvs[i] }
func (s byTarget) Less(i, j int) bool { return s.less(s.kvs[i], s.kvs[j]) }

func sortRange(r *pb.RangeRequest, kvs []*mvccpb.KeyValue) {
	order := r.SortOrder
	if r.SortTarget != pb.RangeRequest_KEY && order == pb.RangeRequest_NONE {
		order = pb.RangeRequest_ASCEND
	}
	if order == pb.RangeRequest_NONE || (r.SortTarget == pb.RangeRequest_KEY && order == pb.RangeRequest_ASCEND) {
		return
	}
	s := byTarget{kvs: kvs}
	switch r.SortTarget {
	case pb.RangeRequest_KEY:
		s.less = func(a, b *mvccpb.KeyValue) bool { return bytes.Compare(a.Key, b.Key) < 0 }
	case pb.RangeRequest_VERSION:
		s.less = func(a, b *mvccpb.KeyValue) bool { return a.Version < b.Version }
	case pb.RangeRequest_CREATE:
		s.less = func(a, b *mvccpb.KeyValue) bool { return a.CreateRevision < b.CreateRevision }
	case pb.RangeRequest_MOD:
		s.less = func(a, b *mvccpb.KeyValue) bool { return a.ModRevision < b.ModRevision }
	default:
		s.less = func(a, b *mvccpb.KeyValue) bool { return bytes.Compare(a.Value, b.Value) < 0 }
	}
	if order == pb.RangeRequest_DESCEND {
		sort.Sort(sort.Reverse(s))
		return
	}
	sort.Sort(s)
}

// list reads a range at one revision.
func (k *Keyspace) list(ctx context.Context, q listQuery) (listing, error) {
	for try := 0; ; try++ {
		l, err := k.listOnce(ctx, q)
		if q.at != 0 || try == pinnedRetriesMax || !errors.Is(err, ErrCompacted) {
			return l, err
		}
	}
}

func (k *Keyspace) listOnce(ctx context.Context, q listQuery) (listing, error) {
	for {
		m, err := k.route(ctx)
		if err != nil {
			return listing{}, err
		}
		var l listing
		var pieces []piece
		if !q.span.Empty() {
			pieces = m.at(q.at).split(q.span)
		}
		if len(pieces) == 0 { // revisions, and rights, are checked all the same
			l, err = k.countHome(ctx, hot.KeySpan([]byte{0}), q.at, m.now().epoch)
			l.count = 0
		} else if len(pieces) == 1 && pieces[0].shard == hot.HomeShard {
			l, err = k.listHome(ctx, q, m.now().epoch)
		} else {
			l, err = k.listAcross(ctx, q)
		}
		if !errors.Is(err, errStaleMap) {
			return l, err
		}
		if err := k.reloadMap(ctx); err != nil {
			return listing{}, err
		}
	}
}

// listHome lists a span that the home shard has, which knows its revision.
func (k *Keyspace) listHome(ctx context.Context, q listQuery, epoch hot.Epoch) (listing, error) {
	switch {
	case q.countOnly:
		return k.countHome(ctx, q.span, q.at, epoch)
	case q.span.Single() && q.at == 0:
		return k.getKey(ctx, k.home, q, epoch)
	}
	return k.listPages(ctx, k.home, q, epoch)
}

// listAcross lists a span that other shards have, or have parts of, at one revision.
func (k *Keyspace) listAcross(ctx context.Context, q listQuery) (listing, error) {
	m, err := k.route(ctx)
	if err != nil {
		return listing{}, err
	}
	if q.span.Single() && q.at == 0 && !q.countOnly {
		s, err := k.shard(m.now().owner(q.span.First()))
		if err != nil {
			return listing{}, err
		}
		return k.getKey(ctx, s, q, m.now().epoch)
	}
	now, err := k.latest(ctx)
	if err != nil {
		return listing{}, err
	}
	at := q.at
	switch {
	case at == 0:
		at = now.revision
	case at > now.revision:
		return listing{}, ErrFutureRevision
	case at < now.compacted:
		return listing{}, ErrCompacted
	}
	if m, err = k.route(ctx); err != nil { // as new as the revision is
		return listing{}, err
	}
	out := listing{header: now.revision, at: at}
	for _, p := range m.at(at).split(q.span) {
		s, err := k.shard(p.shard)
		if err != nil {
			return listing{}, err
		}
		part := q
		part.span, part.at = p.span, at
		full := q.limit > 0 && int64(len(out.kvs)) >= q.limit
		if full && q.uncounted {
			return out, nil
		}
		var l listing
		if full || q.countOnly {
			l, err = k.countAll(ctx, s, p.span, at, m.now().epoch)
		} else {
			if q.limit > 0 {
				part.limit = q.limit - int64(len(out.kvs))
			}
			l, err = k.listPages(ctx, s, part, m.now().epoch)
		}
		if err != nil {
			return listing{}, err
		}
		out.kvs, out.count = append(out.kvs, l.kvs...), out.count+l.count
	}
	return out, nil
}

// getKey reads one key at the current revision.
func (k *Keyspace) getKey(ctx context.Context, s *shard, q listQuery, epoch hot.Epoch) (listing, error) {
	answer, err := s.gets.do(ctx, keyRead{hot.KeyRead{Key: q.span.First(), KeysOnly: q.keysOnly}, epoch})
	if err != nil {
		return listing{}, err
	}
	l := listing{kvs: keyValues(nil, answer.Items), count: answer.Count, header: answer.Revision, at: answer.Revision}
	return l, spend(ctx, l.kvs)
}

// listPages lists a span of one shard. Only the home shard knows what revision 0 is.
func (k *Keyspace) listPages(ctx context.Context, s *shard, q listQuery, epoch hot.Epoch) (listing, error) {
	var l listing
	o := hot.PageOptions{Revision: q.at, Epoch: epoch, Limit: q.limit, KeysOnly: q.keysOnly, Count: q.limit > 0 && !q.uncounted}
	for {
		answer, err := s.pages.do(ctx, pageRead{hot.PageRead(q.span, o), o.Revision})
		if err != nil {
			return listing{}, err
		}
		if l.header == 0 {
			l.header, l.at = answer.Revision, q.at
			if l.at == 0 {
				l.at = answer.Revision
			}
			if o.Count && l.at == answer.Revision {
				l.count = answer.Count
			}
		}
		known := len(l.kvs)
		l.kvs = keyValues(l.kvs, answer.Items)
		if err := spend(ctx, l.kvs[known:]); err != nil {
			return listing{}, err
		}
		o = hot.PageOptions{Revision: l.at, Epoch: epoch, KeysOnly: q.keysOnly, From: answer.Next}
		if q.limit > 0 {
			o.Limit = q.limit - int64(len(l.kvs))
		}
		full := q.limit > 0 && o.Limit <= 0
		if answer.Next.Done() {
			l.count = int64(len(l.kvs))
			return l, nil
		}
		if full && (l.count > 0 || q.uncounted) {
			return l, nil
		}
		if full {
			counted, err := k.countFrom(ctx, s, q.span, l.at, epoch, answer.Next)
			l.count = int64(len(l.kvs)) + counted
			return l, err
		}
	}
}

// countHome counts a span of the home shard at a revision, 0 being the current one.
func (k *Keyspace) countHome(ctx context.Context, s hot.Span, at Revision, epoch hot.Epoch) (listing, error) {
	return k.countAll(ctx, k.home, s, at, epoch)
}

// countAll counts a span of one shard at a revision.
func (k *Keyspace) countAll(ctx context.Context, s *shard, span hot.Span, at Revision, epoch hot.Epoch) (listing, error) {
	answer, err := s.pages.do(ctx, pageRead{hot.CountRead(span, at, epoch, hot.Cursor{}), at})
	if err != nil {
		return listing{}, err
	}
	l := listing{header: answer.Revision, at: at, count: answer.Count}
	if at == 0 {
		l.at = answer.Revision
	}
	if answer.Next.Done() {
		return l, nil
	}
	rest, err := k.countFrom(ctx, s, span, l.at, epoch, answer.Next)
	l.count += rest
	return l, err
}

func (k *Keyspace) countFrom(ctx context.Context, s *shard, span hot.Span, at Revision, epoch hot.Epoch, from hot.Cursor) (int64, error) {
	var n int64
	for !from.Done() {
		answer, err := s.pages.do(ctx, pageRead{hot.CountRead(span, at, epoch, from), at})
		if err != nil {
			return 0, err
		}
		n += answer.Count
		from = answer.Next
	}
	return n, nil
}

func keyValues(to []*mvccpb.KeyValue, items []hot.Item) []*mvccpb.KeyValue {
	to = slices.Grow(to, len(items))
	kvs := make([]mvccpb.KeyValue, len(items)) // one allocation for all
	for i := range items {
		setKeyValue(&kvs[i], &items[i])
		to = append(to, &kvs[i])
	}
	return to
}

// firstPageKeys is the number of keys in the first message of a stream, as etcd.
const firstPageKeys = 10

// RangePages implements API.
func (k *Keyspace) RangePages(ctx context.Context, r *pb.RangeRequest, pageBytes int, send func(*pb.RangeResponse) error) error {
	if r.CountOnly {
		resp, err := k.Range(ctx, r)
		if err != nil {
			return err
		}
		return send(&pb.RangeResponse{Header: resp.Header, Count: resp.Count})
	}
	q := listQuery{span: span(r.Key, r.RangeEnd), at: Revision(max(r.Revision, 0)), keysOnly: r.KeysOnly, uncounted: true}
	limit, left := int64(firstPageKeys), r.Limit
	var sent int64
	var header Revision
	for {
		if q.limit = limit; r.Limit > 0 {
			q.limit = min(limit, left)
		}
		l, more, err := k.page(ctx, q)
		if err != nil {
			return err
		}
		if header == 0 {
			header, q.at = l.header, l.at
			ctx = withoutAuth(ctx) // it has taken effect
		}
		sent, left = sent+int64(len(l.kvs)), left-int64(len(l.kvs))
		out := &pb.RangeResponse{Kvs: l.kvs}
		if r.KeysOnly {
			for _, kv := range out.Kvs {
				kv.Lease = 0
			}
		}
		if !more || (r.Limit > 0 && left <= 0) {
			out.Header, out.More, out.Count = &pb.ResponseHeader{Revision: int64(header)}, more, sent
			if more {
				rest, err := k.list(ctx, listQuery{span: q.span.After(afterLast(l.kvs)), at: q.at, countOnly: true})
				if err != nil {
					return err
				}
				out.Count += rest.count
			}
			return send(out)
		}
		if err := send(out); err != nil {
			return err
		}
		q.span = q.span.After(afterLast(l.kvs))
		limit = nextPageKeys(limit, dataBytes(out.Kvs), pageBytes)
	}
}

// page lists up to the limit and says whether there is more.
func (k *Keyspace) page(ctx context.Context, q listQuery) (listing, bool, error) {
	q.limit++
	l, err := k.list(ctx, q)
	if err != nil || int64(len(l.kvs)) < q.limit {
		return l, false, err
	}
	l.kvs = l.kvs[:q.limit-1]
	return l, true, nil
}

func afterLast(kvs []*mvccpb.KeyValue) []byte {
	return append(bytes.Clone(kvs[len(kvs)-1].Key), 0)
}

// dataBytes is about how large keys and values are on the wire.
func dataBytes(kvs []*mvccpb.KeyValue) int {
	n := 0
	for _, kv := range kvs {
		n += len(kv.Key) + len(kv.Value) + keyValueOverhead
	}
	return n
}

// keyValueOverhead is about what the other fields of a key take on the wire.
const keyValueOverhead = 24

// nextPageKeys doubles or halves the page until it is near the wanted size.
func nextPageKeys(keys int64, size, wanted int) int64 {
	switch {
	case size < wanted/2:
		return keys * 2
	case size > 2*wanted:
		return max(keys/2, 1)
	}
	return keys
}
