package router

import (
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/tiers/hot"
)

// evaluationsMax bounds how often a transaction that has to be evaluated here is
// tried again because others changed what it read; the request's time ends it
// sooner as a rule.
const evaluationsMax = 1000

// onePut is the transaction of a put alone, in one piece of memory.
type onePut struct {
	hot.Transaction
	operation [1]hot.Operation
}

// Put implements API: it is Txn for one operation, without the wrapping.
func (k *Keyspace) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	p := &onePut{operation: [1]hot.Operation{compilePut(r)}}
	p.Puts, p.Then = true, p.operation[:]
	result, err := k.commit(ctx, &p.Transaction)
	if result.unread || errors.Is(err, errAcross) {
		txn := single(&pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}})
		var resp *pb.TxnResponse
		if err == nil {
			resp, err = k.reconstruct(ctx, txn, result.Revision)
		} else {
			resp, err = k.across(ctx, txn)
		}
		if err != nil {
			return nil, err
		}
		return resp.Responses[0].GetResponsePut(), nil
	}
	if err != nil {
		return nil, err
	}
	resp := &pb.PutResponse{Header: &pb.ResponseHeader{Revision: int64(result.Revision)}}
	if previous := result.Operations[0].Item; previous != nil {
		resp.PrevKv = keyValue(previous)
	}
	return resp, nil
}

// DeleteRange implements API.
func (k *Keyspace) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	resp, err := k.Txn(ctx, single(&pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}))
	if err != nil {
		return nil, err
	}
	return resp.Responses[0].GetResponseDeleteRange(), nil
}

func single(op *pb.RequestOp) *pb.TxnRequest {
	return &pb.TxnRequest{Success: []*pb.RequestOp{op}}
}

// Txn implements API. A transaction whose conditions and operations name single
// keys is one call; any other is evaluated here on the state at one revision and
// committed on the condition that what it read has not changed since.
func (k *Keyspace) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	resp, err := k.txn(ctx, r)
	if errors.Is(err, ErrTooManyKeys) {
		k.metrics.tooMany.Inc()
	}
	return resp, err
}

func (k *Keyspace) txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if readOnly(r) {
		return k.evaluateOnly(ctx, r, 0)
	}
	sealed := k.hot.Seals()
	for range evaluationsMax {
		t, ok, err := k.prepare(ctx, r, sealed)
		if err != nil {
			return nil, err
		}
		if !ok {
			return k.evaluateAndCommit(ctx, r)
		}
		result, err := k.commit(ctx, t.Transaction)
		if errors.Is(err, errAcross) {
			return k.across(ctx, r)
		}
		if errors.Is(err, errSealed) {
			sealed = true
			continue
		}
		if errors.Is(err, errRead) {
			resp, unchanged, err := k.evaluateRead(ctx, r)
			if err != nil || unchanged {
				return resp, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if result.unread {
			return k.reconstruct(ctx, r, result.Revision)
		}
		if result.Outcome == hot.OutcomeChanged {
			continue // a value that was compared has been replaced since
		}
		if t.failing {
			result.Outcome = hot.OutcomeElse
		}
		return compiledResponse(r, &result.TransactionResult), nil
	}
	return nil, fmt.Errorf("%w: the transaction's keys changed under each of %d attempts", ErrTooManyRequests, evaluationsMax)
}

// evaluateRead answers a transaction that its shard says would change nothing, from the
// state at one revision; false if there it would.
func (k *Keyspace) evaluateRead(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, bool, error) {
	e := &evaluation{k: k, ctx: ctx, changed: make(map[string]*mvccpb.KeyValue)}
	resp, err := e.run(r)
	if errors.Is(err, errOvertaken) || err == nil && len(e.operations) > 0 {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	e.settle(resp, e.at, false)
	return resp, true, nil
}

// reconstruct builds the response of a transaction that took a revision but whose
// reply was lost: what it read is the state at the revision before its own.
func (k *Keyspace) reconstruct(ctx context.Context, r *pb.TxnRequest, revision Revision) (*pb.TxnResponse, error) {
	resp, err := k.evaluateOnly(withoutAuth(ctx), r, revision-1)
	if err != nil {
		return nil, fmt.Errorf("%w: it was committed at revision %d, but its response could not be read: %w", ErrOutcomeUnknown, revision, err)
	}
	return resp, nil
}

func readOnly(r *pb.TxnRequest) bool {
	for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range ops {
			if op.GetRequestRange() == nil {
				return false
			}
		}
	}
	return true
}

// compile turns a transaction into one call, if it can be.
func compile(r *pb.TxnRequest) (*hot.Transaction, bool) {
	t := &hot.Transaction{Conditions: make([]hot.Condition, 0, len(r.Compare))}
	for _, c := range r.Compare {
		condition, ok := compileCompare(c)
		if !ok {
			return nil, false
		}
		t.Conditions = append(t.Conditions, condition)
	}
	var ok [2]bool
	t.Then, ok[0] = compileBranch(t, r.Success)
	t.Else, ok[1] = compileBranch(t, r.Failure)
	return t, ok[0] && ok[1]
}

func compileCompare(c *pb.Compare) (hot.Condition, bool) {
	var how hot.Comparison
	switch c.Result {
	case pb.Compare_EQUAL:
		how = hot.Equal
	case pb.Compare_GREATER:
		how = hot.Greater
	case pb.Compare_LESS:
		how = hot.Less
	case pb.Compare_NOT_EQUAL:
		how = hot.NotEqual
	default:
		return hot.Condition{}, false
	}
	if len(c.RangeEnd) != 0 {
		return hot.Condition{}, false
	}
	byOrder := how == hot.Greater || how == hot.Less
	switch c.Target {
	case pb.Compare_VERSION:
		return hot.CompareNumber(c.Key, hot.TargetVersion, how, c.GetVersion()), true
	case pb.Compare_CREATE:
		return hot.CompareNumber(c.Key, hot.TargetCreate, how, c.GetCreateRevision()), true
	case pb.Compare_MOD:
		return hot.CompareNumber(c.Key, hot.TargetMod, how, c.GetModRevision()), true
	case pb.Compare_VALUE:
		return hot.CompareValue(c.Key, how, c.GetValue()), !byOrder
	case pb.Compare_LEASE:
		return hot.CompareLease(c.Key, how, c.GetLease()), !byOrder
	}
	return hot.Condition{}, false
}

func compileBranch(t *hot.Transaction, ops []*pb.RequestOp) ([]hot.Operation, bool) {
	out := make([]hot.Operation, 0, len(ops))
	for _, op := range ops {
		switch o := op.Request.(type) {
		case *pb.RequestOp_RequestPut:
			t.Puts = true
			out = append(out, compilePut(o.RequestPut))
		case *pb.RequestOp_RequestDeleteRange:
			r := o.RequestDeleteRange
			s := span(r.Key, r.RangeEnd)
			if !s.Single() && r.PrevKv {
				return nil, false
			}
			var flags byte
			if r.PrevKv {
				flags = hot.WantPrevious
			}
			out = append(out, hot.Delete(s, flags))
		case *pb.RequestOp_RequestRange:
			r := o.RequestRange
			if len(r.RangeEnd) != 0 || r.Revision != 0 {
				return nil, false
			}
			out = append(out, hot.Get(r.Key))
		default:
			return nil, false
		}
	}
	return out, true
}

func compilePut(r *pb.PutRequest) hot.Operation {
	var flags byte
	if r.IgnoreValue {
		flags |= hot.IgnoreValue
	}
	if r.IgnoreLease {
		flags |= hot.IgnoreLease
	}
	if r.PrevKv {
		flags |= hot.WantPrevious
	}
	return hot.Put(r.Key, r.Value, r.Lease, flags)
}

// compiledResponse builds etcd's response from the result of a compiled
// transaction. An operation's header shows the revision as it stood then: the
// transaction's own from its first change on, the one before until then.
func compiledResponse(r *pb.TxnRequest, result *hot.TransactionResult) *pb.TxnResponse {
	ops := r.Success
	if result.Outcome == hot.OutcomeElse {
		ops = r.Failure
	}
	resp := &pb.TxnResponse{
		Header: &pb.ResponseHeader{Revision: int64(result.Revision)}, Succeeded: result.Outcome == hot.OutcomeThen,
		Responses: make([]*pb.ResponseOp, len(ops)),
	}
	h := newHeaders(changes(ops, result), int64(result.Revision))
	for i, op := range ops {
		resp.Responses[i] = compiledOperation(op, &result.Operations[i], h)
	}
	return resp
}

// changes says whether a transaction changed anything and so took a revision.
func changes(ops []*pb.RequestOp, result *hot.TransactionResult) bool {
	for i, op := range ops {
		if op.GetRequestPut() != nil || result.Operations[i].Deleted > 0 {
			return true
		}
	}
	return false
}

// headers gives the header revision of each operation in turn.
type headers struct{ now, own int64 }

func newHeaders(wrote bool, revision int64) *headers {
	if wrote {
		return &headers{now: revision - 1, own: revision}
	}
	return &headers{now: revision, own: revision}
}

// after notes whether an operation changed something, and gives its header.
func (h *headers) after(changed bool) *pb.ResponseHeader {
	if changed {
		h.now = h.own
	}
	return &pb.ResponseHeader{Revision: h.now}
}

func compiledOperation(op *pb.RequestOp, result *hot.OperationResult, h *headers) *pb.ResponseOp {
	var item *mvccpb.KeyValue
	if result.Item != nil {
		item = keyValue(result.Item)
	}
	switch o := op.Request.(type) {
	case *pb.RequestOp_RequestPut:
		return putOp(&pb.PutResponse{Header: h.after(true), PrevKv: item})
	case *pb.RequestOp_RequestDeleteRange:
		resp := &pb.DeleteRangeResponse{Header: h.after(result.Deleted > 0), Deleted: result.Deleted}
		if item != nil {
			resp.PrevKvs = []*mvccpb.KeyValue{item}
		}
		return deleteOp(resp)
	case *pb.RequestOp_RequestRange:
		l := listing{header: Revision(h.after(false).Revision)}
		if item != nil {
			l.kvs, l.count = []*mvccpb.KeyValue{item}, 1
		}
		return rangeOp(rangeResponse(o.RequestRange, l))
	}
	return nil
}

func putOp(r *pb.PutResponse) *pb.ResponseOp {
	return &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: r}}
}

func deleteOp(r *pb.DeleteRangeResponse) *pb.ResponseOp {
	return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: r}}
}

func rangeOp(r *pb.RangeResponse) *pb.ResponseOp {
	return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: r}}
}

func txnOp(r *pb.TxnResponse) *pb.ResponseOp {
	return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: r}}
}
