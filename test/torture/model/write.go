package model

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// write is a transaction under way: what it has changed so far is seen by what
// comes after in it.
type write struct {
	before *State
	now    *State // of the next revision; before itself while nothing was changed
	events []*mvccpb.Event
}

func (s *State) write() *write { return &write{before: s, now: s} }

// finish is the state after the transaction.
func (w *write) finish() *State { return w.now }

// touch makes a state of the next revision, once.
func (w *write) touch() {
	if w.now == w.before {
		w.now = w.before.next()
	}
}

func (w *write) put(r *pb.PutRequest) *mvccpb.KeyValue {
	old := w.now.Key(r.Key)
	w.touch()
	kv := &mvccpb.KeyValue{Key: r.Key, Value: r.Value, Lease: r.Lease, CreateRevision: w.now.Revision, ModRevision: w.now.Revision, Version: 1}
	if old != nil {
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
		if r.IgnoreValue {
			kv.Value = old.Value
		}
		if r.IgnoreLease {
			kv.Lease = old.Lease
		}
	}
	w.now.keys[string(r.Key)] = kv
	w.events = append(w.events, &mvccpb.Event{Type: mvccpb.Event_PUT, Kv: kv, PrevKv: w.before.Key(r.Key)})
	return old
}

func (w *write) delete(key []byte) *mvccpb.KeyValue {
	old := w.now.Key(key)
	if old == nil {
		return nil
	}
	w.touch()
	delete(w.now.keys, string(key))
	w.events = append(w.events, &mvccpb.Event{
		Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{Key: key, ModRevision: w.now.Revision}, PrevKv: w.before.Key(key),
	})
	return old
}

func (w *write) deleteRange(r *pb.DeleteRangeRequest) *pb.DeleteRangeResponse {
	response := &pb.DeleteRangeResponse{}
	for _, kv := range w.now.Keys(r.Key, r.RangeEnd) {
		old := w.delete(kv.Key)
		response.Deleted++
		if r.PrevKv {
			response.PrevKvs = append(response.PrevKvs, old)
		}
	}
	return response
}

// execute runs the branch that was chosen, and takes its choices off the path.
func (w *write) execute(r *pb.TxnRequest, path *[]bool) *pb.TxnResponse {
	response := &pb.TxnResponse{Succeeded: (*path)[0]}
	*path = (*path)[1:]
	for _, op := range branch(r, response.Succeeded) {
		response.Responses = append(response.Responses, w.operation(op, path))
	}
	return response
}

func (w *write) operation(op *pb.RequestOp, path *[]bool) *pb.ResponseOp {
	switch o := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: w.now.list(o.RequestRange)}}
	case *pb.RequestOp_RequestPut:
		response := &pb.PutResponse{}
		if old := w.put(o.RequestPut); o.RequestPut.PrevKv {
			response.PrevKv = old
		}
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: response}}
	case *pb.RequestOp_RequestDeleteRange:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: w.deleteRange(o.RequestDeleteRange)}}
	case *pb.RequestOp_RequestTxn:
		return &pb.ResponseOp{Response: &pb.ResponseOp_ResponseTxn{ResponseTxn: w.execute(o.RequestTxn, path)}}
	}
	panic(fmt.Sprintf("no such operation: %T", op.Request))
}
