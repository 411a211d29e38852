package router

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/tiers/hot"
)

// evaluation is one attempt at a transaction on the state at revision at. As in
// etcd, all comparisons, nested ones too, see the state before the transaction;
// then everything is checked; then the operations run in order, each seeing the
// changes before it.
type evaluation struct {
	k             *Keyspace
	ctx           context.Context
	at, compacted Revision
	// committed says that the transaction took revision at+1 already: what it was
	// allowed to do need not be checked again.
	committed bool

	path []bool
	// deleted counts the keys that ranges have deleted.
	deleted int
	// changed holds what the transaction has made of keys so far; nil is deleted.
	changed map[string]*mvccpb.KeyValue
	// fresh are the key-values in the response that carry the transaction's own
	// revision, which is not known before the commit.
	fresh []fresh

	// What it does, in the form that one shard decides, and in that of a plan.
	conditions []hot.Condition
	operations []hot.Operation
	effects    []hot.Effect
	headers    []pending
}

// pending is a header that waits for the transaction's revision; own says that
// the transaction had changed something by then.
type pending struct {
	header *pb.ResponseHeader
	own    bool
}

// fresh is a key-value of the transaction's own making; created says that it
// created the key too.
type fresh struct {
	kv      *mvccpb.KeyValue
	created bool
}

func (f fresh) carry(revision int64) {
	f.kv.ModRevision = revision
	if f.created {
		f.kv.CreateRevision = revision
	}
}

// ownRevision stands for the revision that the transaction will take.
const ownRevision = -1

// errOvertaken: compaction has passed the revision that is evaluated on.
var errOvertaken = errors.New("compaction has overtaken the evaluation")

// evaluateAndCommit evaluates a transaction and commits what it does, again and
// again until nothing that it read was changed in between.
func (k *Keyspace) evaluateAndCommit(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, k.settings.RequestTimeout)
	defer cancel()
	puts := mayPut(r)
	if _, one := k.shardMap().now().only(spansOf(r)); !one {
		return k.across(ctx, r)
	}
	for range evaluationsMax {
		e := &evaluation{k: k, ctx: ctx, changed: make(map[string]*mvccpb.KeyValue)}
		resp, err := e.run(r)
		if errors.Is(err, errOvertaken) {
			continue
		}
		if puts && (err != nil || len(e.operations) == 0) {
			// As etcd, which refuses for want of space before it looks at anything else.
			if _, full := k.commit(ctx, &hot.Transaction{Puts: true}); errors.Is(full, ErrNoSpace) {
				return nil, full
			}
		}
		if err != nil {
			return nil, err
		}
		if len(e.operations) == 0 {
			e.settle(resp, e.at, false)
			return resp, nil
		}
		result, err := k.commit(ctx, &hot.Transaction{Puts: puts, Conditions: e.conditions, Then: e.operations})
		if errors.Is(err, errAcross) {
			return k.across(ctx, r)
		}
		if errors.Is(err, errRead) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if result.Outcome != hot.OutcomeChanged {
			e.settle(resp, result.Revision, len(e.changed) > 0)
			return resp, nil
		}
	}
	return nil, fmt.Errorf("%w: the transaction's keys changed under each of %d attempts", ErrTooManyRequests, evaluationsMax)
}

// mayPut says whether any branch of a transaction puts a key.
func mayPut(r *pb.TxnRequest) bool {
	puts := func(op *pb.RequestOp) bool {
		return op.GetRequestPut() != nil || op.GetRequestTxn() != nil && mayPut(op.GetRequestTxn())
	}
	return slices.ContainsFunc(r.Success, puts) || slices.ContainsFunc(r.Failure, puts)
}

// evaluateOnly evaluates a transaction without committing it: a read-only one
// (at 0), or one that has been committed at revision at+1.
func (k *Keyspace) evaluateOnly(ctx context.Context, r *pb.TxnRequest, at Revision) (*pb.TxnResponse, error) {
	for range evaluationsMax {
		e := &evaluation{k: k, ctx: ctx, at: at, committed: at != 0, changed: make(map[string]*mvccpb.KeyValue)}
		resp, err := e.run(r)
		if at == 0 && errors.Is(err, errOvertaken) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(e.changed) > 0 {
			e.settle(resp, e.at+1, true)
		} else {
			e.settle(resp, e.at, false)
		}
		return resp, nil
	}
	return nil, fmt.Errorf("%w: compaction overtook each of %d attempts", ErrTooManyRequests, evaluationsMax)
}

func (e *evaluation) run(r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if err := e.pin(); err != nil {
		return nil, err
	}
	if err := e.choose(r); err != nil {
		return nil, err
	}
	path := e.path
	if !e.committed {
		if err := e.check(r); err != nil {
			return nil, err
		}
	}
	e.path = path
	return e.execute(r)
}

// pin fixes the revision that is evaluated on.
func (e *evaluation) pin() error {
	current, compacted, err := e.k.CurrentRevision(e.ctx)
	if err != nil {
		return err
	}
	e.compacted = compacted
	if e.at == 0 {
		e.at = current
	}
	return nil
}

// settle fills in the revisions that depend on the commit.
func (e *evaluation) settle(resp *pb.TxnResponse, revision Revision, wrote bool) {
	before := int64(revision)
	if wrote {
		before--
	}
	for _, p := range e.headers {
		p.header.Revision = before
		if p.own {
			p.header.Revision = int64(revision)
		}
	}
	for _, f := range e.fresh {
		f.carry(int64(revision))
	}
	resp.Header.Revision = int64(revision)
}

func (e *evaluation) header() *pb.ResponseHeader {
	h := &pb.ResponseHeader{}
	e.headers = append(e.headers, pending{header: h, own: len(e.changed) > 0})
	return h
}

// read lists a span as it was before the transaction, and makes the commit
// depend on it.
func (e *evaluation) read(s hot.Span) (listing, error) {
	e.conditions = append(e.conditions, hot.Unchanged(s, e.at))
	l, err := e.k.list(e.ctx, listQuery{span: s, at: e.at})
	if errors.Is(err, ErrCompacted) {
		return l, fmt.Errorf("%w: %w", errOvertaken, err)
	}
	return l, err
}

// choose finds the branch of each transaction, outermost first.
func (e *evaluation) choose(r *pb.TxnRequest) error {
	ok, err := e.holdAll(r.Compare)
	if err != nil {
		return err
	}
	e.path = append(e.path, ok)
	for _, op := range branch(r, ok) {
		if nested := op.GetRequestTxn(); nested != nil {
			if err := e.choose(nested); err != nil {
				return err
			}
		}
	}
	return nil
}

func branch(r *pb.TxnRequest, ok bool) []*pb.RequestOp {
	if ok {
		return r.Success
	}
	return r.Failure
}

// next takes the next branch from the path.
func (e *evaluation) next(r *pb.TxnRequest) (bool, []*pb.RequestOp) {
	ok := e.path[0]
	e.path = e.path[1:]
	return ok, branch(r, ok)
}

func (e *evaluation) holdAll(compares []*pb.Compare) (bool, error) {
	for _, c := range compares {
		l, err := e.read(span(c.Key, c.RangeEnd))
		if err != nil {
			return false, err
		}
		if !holds(c, l.kvs) {
			return false, nil
		}
	}
	return true, nil
}

// holds says whether a comparison is true of all keys of its range; one without
// keys is compared as if it held a single zero, but never equal to any value.
func holds(c *pb.Compare, kvs []*mvccpb.KeyValue) bool {
	if len(kvs) == 0 {
		return c.Target != pb.Compare_VALUE && holdsFor(c, &mvccpb.KeyValue{})
	}
	return !slices.ContainsFunc(kvs, func(kv *mvccpb.KeyValue) bool { return !holdsFor(c, kv) })
}

func holdsFor(c *pb.Compare, kv *mvccpb.KeyValue) bool {
	var result int
	switch c.Target {
	case pb.Compare_VALUE:
		result = bytes.Compare(kv.Value, c.GetValue())
	case pb.Compare_CREATE:
		result = cmp.Compare(kv.CreateRevision, c.GetCreateRevision())
	case pb.Compare_MOD:
		result = cmp.Compare(kv.ModRevision, c.GetModRevision())
	case pb.Compare_VERSION:
		result = cmp.Compare(kv.Version, c.GetVersion())
	case pb.Compare_LEASE:
		result = cmp.Compare(kv.Lease, c.GetLease())
	}
	switch c.Result {
	case pb.Compare_EQUAL:
		return result == 0
	case pb.Compare_NOT_EQUAL:
		return result != 0
	case pb.Compare_GREATER:
		return result > 0
	case pb.Compare_LESS:
		return result < 0
	}
	return true
}

// check refuses what cannot be done, before anything is.
func (e *evaluation) check(r *pb.TxnRequest) error {
	_, ops := e.next(r)
	for _, op := range ops {
		var err error
		switch o := op.Request.(type) {
		case *pb.RequestOp_RequestRange:
			err = e.checkRange(Revision(o.RequestRange.Revision))
		case *pb.RequestOp_RequestPut:
			err = e.checkPut(o.RequestPut)
		case *pb.RequestOp_RequestTxn:
			err = e.check(o.RequestTxn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *evaluation) checkRange(at Revision) error {
	switch {
	case at == 0:
		return nil
	case at > e.at:
		return ErrFutureRevision
	case at < e.compacted:
		return ErrCompacted
	}
	return nil
}

func (e *evaluation) checkPut(r *pb.PutRequest) error {
	if r.Lease != 0 {
		if _, _, err := e.k.oneLease(e.ctx, hot.DescribeLease(r.Lease, false)); err != nil {
			return err
		}
	}
	if !r.IgnoreValue && !r.IgnoreLease {
		return nil
	}
	l, err := e.read(hot.KeySpan(r.Key))
	if err == nil && len(l.kvs) == 0 {
		err = ErrKeyNotFound
	}
	return err
}

// execute runs the operations of the chosen branch.
func (e *evaluation) execute(r *pb.TxnRequest) (*pb.TxnResponse, error) {
	ok, ops := e.next(r)
	resp := &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: ok, Responses: make([]*pb.ResponseOp, len(ops))}
	for i, op := range ops {
		var err error
		if resp.Responses[i], err = e.operation(op); err != nil {
			return nil, err
		}
	}
	return resp, nil
}

func (e *evaluation) operation(op *pb.RequestOp) (*pb.ResponseOp, error) {
	switch o := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		resp, err := e.rangeKeys(o.RequestRange)
		return rangeOp(resp), err
	case *pb.RequestOp_RequestPut:
		resp, err := e.put(o.RequestPut)
		return putOp(resp), err
	case *pb.RequestOp_RequestDeleteRange:
		resp, err := e.deleteRange(o.RequestDeleteRange)
		return deleteOp(resp), err
	case *pb.RequestOp_RequestTxn:
		// As etcd: a nested response has an empty header.
		resp, err := e.execute(o.RequestTxn)
		return txnOp(resp), err
	}
	return &pb.ResponseOp{}, nil
}

// now lists a span as the transaction has made it so far.
func (e *evaluation) now(s hot.Span, key, end []byte) ([]*mvccpb.KeyValue, error) {
	l, err := e.read(s)
	if err != nil {
		return nil, err
	}
	kvs := slices.DeleteFunc(l.kvs, func(kv *mvccpb.KeyValue) bool {
		_, replaced := e.changed[string(kv.Key)]
		return replaced
	})
	for name, kv := range e.changed {
		if kv != nil && within([]byte(name), key, end) {
			shown := &mvccpb.KeyValue{Key: kv.Key, Value: kv.Value, CreateRevision: kv.CreateRevision,
				ModRevision: kv.ModRevision, Version: kv.Version, Lease: kv.Lease}
			e.fresh = append(e.fresh, fresh{shown, kv.CreateRevision == ownRevision})
			kvs = append(kvs, shown)
		}
	}
	sort.Slice(kvs, func(i, j int) bool { return bytes.Compare(kvs[i].Key, kvs[j].Key) < 0 })
	return kvs, nil
}

func within(name, key, end []byte) bool {
	switch {
	case len(end) == 0:
		return bytes.Equal(name, key)
	case len(end) == 1 && end[0] == 0:
		return bytes.Compare(name, key) >= 0
	}
	return bytes.Compare(name, key) >= 0 && bytes.Compare(name, end) < 0
}

func (e *evaluation) rangeKeys(r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if r.Revision > 0 {
		resp, err := e.k.rangeAt(e.ctx, r, Revision(r.Revision))
		if err == nil {
			resp.Header = e.header()
		}
		return resp, err
	}
	kvs, err := e.now(span(r.Key, r.RangeEnd), r.Key, r.RangeEnd)
	if err != nil {
		return nil, err
	}
	l := listing{count: int64(len(kvs))}
	if !r.CountOnly {
		l.kvs = kvs
	}
	if r.Limit > 0 && r.Limit < math.MaxInt64 && isPlain(r) && int64(len(l.kvs)) > r.Limit+1 {
		l.kvs = l.kvs[:r.Limit+1]
	}
	// Order and filters go by the transaction's own revision: as the highest one,
	// or, where its number matters, as the very next one.
	if filtered(r) && len(e.changed) > 0 {
		e.conditions = append(e.conditions, hot.Unchanged(hot.FromSpan([]byte{0}), e.at))
	}
	for _, f := range e.fresh {
		f.carry(int64(e.at) + 1)
	}
	resp := rangeResponse(r, l)
	resp.Header = e.header()
	return resp, nil
}

func (e *evaluation) put(r *pb.PutRequest) (*pb.PutResponse, error) {
	resp := &pb.PutResponse{}
	old, err := e.replaced(r)
	if err != nil {
		return nil, err
	}
	kv := &mvccpb.KeyValue{Key: r.Key, Value: r.Value, Lease: r.Lease, CreateRevision: ownRevision, ModRevision: ownRevision, Version: 1}
	if old != nil {
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
		if r.IgnoreValue {
			kv.Value = old.Value
		}
		if r.IgnoreLease {
			kv.Lease = old.Lease
		}
		if r.PrevKv {
			resp.PrevKv = old
		}
	}
	e.changed[string(r.Key)] = kv
	e.operations = append(e.operations, hot.Put(r.Key, kv.Value, kv.Lease, 0))
	e.effects = append(e.effects, hot.Effect{Lease: kv.Lease, Key: r.Key, Value: kv.Value})
	resp.Header = e.header()
	return resp, nil
}

// replaced reads the key that a put replaces. Later reads of the transaction show
// its version, so it is read whether or not the put itself wants it.
func (e *evaluation) replaced(r *pb.PutRequest) (*mvccpb.KeyValue, error) {
	kvs, err := e.now(hot.KeySpan(r.Key), r.Key, nil)
	if err != nil || len(kvs) == 0 {
		return nil, err
	}
	return kvs[0], nil
}

func (e *evaluation) deleteRange(r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	s := span(r.Key, r.RangeEnd)
	kvs, err := e.now(s, r.Key, r.RangeEnd)
	if err != nil {
		return nil, err
	}
	most := e.k.settings.DeletesMax
	if !s.Single() {
		e.deleted += len(kvs)
	}
	if most > 0 && e.deleted > most && !e.committed {
		return nil, ErrTooManyKeys
	}
	for _, kv := range kvs {
		e.changed[string(kv.Key)] = nil
		e.effects = append(e.effects, hot.Effect{Deleted: true, Key: kv.Key})
	}
	if len(kvs) > 0 {
		e.operations = append(e.operations, hot.Delete(s, 0))
	}
	resp := &pb.DeleteRangeResponse{Deleted: int64(len(kvs)), Header: e.header()}
	if r.PrevKv {
		resp.PrevKvs = kvs
	}
	return resp, nil
}
