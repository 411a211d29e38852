package model

import (
	"bytes"
	"cmp"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Result is what a transaction makes of a state.
type Result struct {
	// State is the state itself if nothing was changed.
	State *State
	// Response has the revision in its header; the operations in it have none.
	Response *pb.TxnResponse
	Events   []*mvccpb.Event
}

// Txn runs a transaction. The error is ErrLeaseNotFound or ErrKeyNotFound, and
// nothing was done then.
func (s *State) Txn(r *pb.TxnRequest) (Result, error) {
	path, err := s.choose(r, nil)
	if err != nil {
		return Result{}, err
	}
	w := s.write()
	response := w.execute(r, &path)
	next := w.finish()
	response.Header = &pb.ResponseHeader{Revision: next.Revision}
	return Result{State: next, Response: response, Events: w.events}, nil
}

// Put, DeleteRange and Range are transactions of one operation.

// Put runs a put.
func (s *State) Put(r *pb.PutRequest) (Result, error) {
	return s.Txn(&pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: r}}}})
}

// DeleteRange runs a deletion.
func (s *State) DeleteRange(r *pb.DeleteRangeRequest) Result {
	w := s.write()
	response := &pb.ResponseOp{Response: &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: w.deleteRange(r)}}
	next := w.finish()
	return Result{
		State: next, Events: w.events,
		Response: &pb.TxnResponse{Header: &pb.ResponseHeader{Revision: next.Revision}, Succeeded: true, Responses: []*pb.ResponseOp{response}},
	}
}

// Range reads; the request's revision says when. The header is the current one.
func (s *State) Range(r *pb.RangeRequest) (*pb.RangeResponse, error) {
	past := s
	if r.Revision > 0 {
		var err error
		if past, err = s.At(r.Revision); err != nil {
			return nil, err
		}
	}
	response := past.list(r)
	response.Header = &pb.ResponseHeader{Revision: s.Revision}
	return response, nil
}

func (s *State) list(r *pb.RangeRequest) *pb.RangeResponse {
	kvs := s.Keys(r.Key, r.RangeEnd)
	response := &pb.RangeResponse{Count: int64(len(kvs))}
	if r.CountOnly {
		return response
	}
	if r.Limit > 0 && int64(len(kvs)) > r.Limit {
		kvs, response.More = kvs[:r.Limit], true
	}
	for _, kv := range kvs {
		if r.KeysOnly {
			kv = &mvccpb.KeyValue{Key: kv.Key, CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision, Version: kv.Version}
		}
		response.Kvs = append(response.Kvs, kv)
	}
	return response
}

// choose decides every comparison, nested ones too, on the state before the
// transaction, and checks what the chosen branches want to do.
func (s *State) choose(r *pb.TxnRequest, path []bool) ([]bool, error) {
	ok := s.holdAll(r.Compare)
	path = append(path, ok)
	for _, op := range branch(r, ok) {
		if err := s.check(op.GetRequestPut()); err != nil {
			return nil, err
		}
		if nested := op.GetRequestTxn(); nested != nil {
			var err error
			if path, err = s.choose(nested, path); err != nil {
				return nil, err
			}
		}
	}
	return path, nil
}

func branch(r *pb.TxnRequest, ok bool) []*pb.RequestOp {
	if ok {
		return r.Success
	}
	return r.Failure
}

// check says why a put (or none) cannot be done.
func (s *State) check(put *pb.PutRequest) error {
	switch {
	case put == nil:
		return nil
	case put.Lease != 0 && !s.HasLease(put.Lease):
		return ErrLeaseNotFound
	case (put.IgnoreValue || put.IgnoreLease) && s.Key(put.Key) == nil:
		return ErrKeyNotFound
	}
	return nil
}

func (s *State) holdAll(compares []*pb.Compare) bool {
	for _, c := range compares {
		if !s.holds(c) {
			return false
		}
	}
	return true
}

// holds decides a comparison: it must be true of every key of its range. Where
// there is none, it is made with zeros, and never true of a value.
func (s *State) holds(c *pb.Compare) bool {
	kvs := s.Keys(c.Key, c.RangeEnd)
	if len(kvs) == 0 {
		return c.Target != pb.Compare_VALUE && satisfied(c, &mvccpb.KeyValue{})
	}
	for _, kv := range kvs {
		if !satisfied(c, kv) {
			return false
		}
	}
	return true
}

func satisfied(c *pb.Compare, kv *mvccpb.KeyValue) bool {
	sign := 0
	switch c.Target {
	case pb.Compare_VERSION:
		sign = cmp.Compare(kv.Version, c.GetVersion())
	case pb.Compare_CREATE:
		sign = cmp.Compare(kv.CreateRevision, c.GetCreateRevision())
	case pb.Compare_MOD:
		sign = cmp.Compare(kv.ModRevision, c.GetModRevision())
	case pb.Compare_VALUE:
		sign = bytes.Compare(kv.Value, c.GetValue())
	case pb.Compare_LEASE:
		sign = cmp.Compare(kv.Lease, c.GetLease())
	default:
		panic(fmt.Sprintf("no such target: %v", c.Target))
	}
	switch c.Result {
	case pb.Compare_EQUAL:
		return sign == 0
	case pb.Compare_NOT_EQUAL:
		return sign != 0
	case pb.Compare_GREATER:
		return sign > 0
	default:
		return sign < 0
	}
}
