package load

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

func putOp(p *pb.PutRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: p}}
}

func rangeOp(q *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: q}}
}

func deleteOp(d *pb.DeleteRangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: d}}
}

// compare compares a key with what was last seen there, as it is done for
// optimistic locking.
func (r *requests) compare(key []byte) *pb.Compare {
	known := r.view.key(key)
	c := &pb.Compare{Key: key, Result: pb.Compare_EQUAL}
	switch r.IntN(8) {
	case 0, 1, 2:
		c.Target, c.TargetUnion = pb.Compare_MOD, &pb.Compare_ModRevision{ModRevision: known.ModRevision}
	case 3:
		c.Target, c.TargetUnion = pb.Compare_VERSION, &pb.Compare_Version{Version: known.Version}
	case 4:
		c.Target, c.TargetUnion = pb.Compare_VALUE, &pb.Compare_Value{Value: known.Value}
	case 5:
		c.Target, c.TargetUnion = pb.Compare_CREATE, &pb.Compare_CreateRevision{} // it must not exist
	case 6:
		c.Target, c.TargetUnion = pb.Compare_MOD, &pb.Compare_ModRevision{ModRevision: known.ModRevision}
		c.Result = pb.Compare_CompareResult(r.IntN(4))
	case 7:
		c.Target, c.TargetUnion = pb.Compare_LEASE, &pb.Compare_Lease{Lease: known.Lease}
		c.Result = pb.Compare_NOT_EQUAL
	}
	return c
}

// compareAndSwap changes or deletes a key if it is as it was last seen, and reads
// it otherwise.
func (r *requests) compareAndSwap() proto.Message {
	key := r.key()
	p := r.put()
	p.Key, p.IgnoreLease = key, false
	t := &pb.TxnRequest{Compare: []*pb.Compare{r.compare(key)}, Success: []*pb.RequestOp{putOp(p)}}
	if r.chance(20) {
		t.Success = []*pb.RequestOp{deleteOp(&pb.DeleteRangeRequest{Key: key, PrevKv: r.chance(50)})}
	}
	if r.chance(80) {
		t.Failure = []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: key})}
	}
	return t
}

// txn is a transaction over several keys, each of which is written once at most.
func (r *requests) txn(nests bool) *pb.TxnRequest {
	t := &pb.TxnRequest{}
	for range r.IntN(3) {
		c := r.compare(r.key())
		if c.Target != pb.Compare_VALUE && r.chance(15) { // true of all keys of a range
			c.RangeEnd = []byte{0}
			c.Result = pb.Compare_CompareResult(1 + r.IntN(3))
		}
		t.Compare = append(t.Compare, c)
	}
	free := keys()
	r.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
	t.Success = r.operations(1+r.IntN(4), &free)
	t.Failure = r.operations(r.IntN(3), &free)
	if nests && r.chance(10) {
		key := []byte(free[0])
		nested := &pb.TxnRequest{
			Compare: []*pb.Compare{r.compare(key)}, Success: []*pb.RequestOp{putOp(&pb.PutRequest{Key: key, Value: r.value()})},
			Failure: []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: key})},
		}
		t.Success = append(t.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: nested}})
	}
	return t
}

// operations writes only keys that it takes off the free ones, but reads any.
func (r *requests) operations(n int, free *[]string) []*pb.RequestOp {
	var ops []*pb.RequestOp
	for range n {
		if r.chance(45) {
			ops = append(ops, rangeOp(r.read().(*pb.RangeRequest)))
			continue
		}
		if len(*free) < 2 {
			break
		}
		key := []byte((*free)[0])
		*free = (*free)[1:]
		if r.chance(30) {
			ops = append(ops, deleteOp(&pb.DeleteRangeRequest{Key: key, PrevKv: r.chance(50)}))
			continue
		}
		p := r.put()
		p.Key = key
		ops = append(ops, putOp(p))
		if len(*free) > 2 && r.chance(5) { // beside one whose value is its own
			key := []byte((*free)[0])
			*free = (*free)[1:]
			ops = append(ops, putOp(&pb.PutRequest{Key: key, IgnoreValue: true}))
		}
	}
	return ops
}
