package kv

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/pkg/v3/adt"
)

// writes are the keys that a list of operations puts and the ranges it deletes;
// nil where there are none.
type writes struct {
	puts    map[string]struct{}
	deletes adt.IntervalTree
}

// everything is the interval of all keys.
func everything() adt.Interval { return adt.NewStringAffineInterval("\x00", "") }

// checkWrites refuses a key that is put twice, or put and deleted, on one path
// through the operations: which of the two came last could not be told by its
// revision. Branches of one nested transaction exclude each other.
func checkWrites(ops []*pb.RequestOp) (writes, error) {
	var w writes
	for _, op := range ops {
		if r := op.GetRequestDeleteRange(); r != nil {
			if w.deletes == nil {
				w.deletes = adt.NewIntervalTree()
			}
			w.deletes.Insert(interval(r.Key, r.RangeEnd), struct{}{})
		}
	}
	for _, op := range ops {
		if r := op.GetRequestTxn(); r != nil {
			if err := w.addNested(r); err != nil {
				return w, err
			}
		}
	}
	for _, op := range ops {
		if r := op.GetRequestPut(); r != nil {
			if err := w.addPut(string(r.Key)); err != nil {
				return w, err
			}
		}
	}
	return w, nil
}

func (w *writes) addPut(key string) error {
	if _, twice := w.puts[key]; twice || (w.deletes != nil && w.deletes.Intersects(adt.NewStringAffinePoint(key))) {
		return rpctypes.ErrGRPCDuplicateKey
	}
	if w.puts == nil {
		w.puts = make(map[string]struct{})
	}
	w.puts[key] = struct{}{}
	return nil
}

func (w *writes) addNested(r *pb.TxnRequest) error {
	thens, err := checkWrites(r.Success)
	if err != nil {
		return err
	}
	elses, err := checkWrites(r.Failure)
	if err != nil {
		return err
	}
	for key := range thens.puts {
		if err := w.addPut(key); err != nil {
			return err
		}
	}
	for key := range elses.puts {
		if _, either := thens.puts[key]; either {
			continue
		}
		if err := w.addPut(key); err != nil {
			return err
		}
	}
	for _, deletes := range []adt.IntervalTree{thens.deletes, elses.deletes} {
		switch {
		case deletes == nil:
		case w.deletes == nil:
			w.deletes = deletes
		default:
			w.deletes.Union(deletes, everything())
		}
	}
	return nil
}

func interval(key, end []byte) adt.Interval {
	if len(end) != 0 {
		return adt.NewStringAffineInterval(string(key), string(end))
	}
	return adt.NewStringAffinePoint(string(key))
}
