package auth

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
)

// checker checks the parts of one request, in etcd's order, because the first refusal
// is the one that the client sees.
type checker struct {
	ctx    context.Context
	leases router.API
	st     *state
	who    identity
	// attached are the keys of the leases that were looked up; a transaction may name
	// one many times.
	attached map[int64][][]byte
}

func (g *guarded) checker(ctx context.Context, st *state, who identity) *checker {
	return &checker{ctx: ctx, leases: g.API, st: st, who: who}
}

func (c *checker) may(key, end []byte, what right) error {
	return refuse(c.st.permit(c.who, key, end, what))
}

func (c *checker) put(r *pb.PutRequest) error {
	if err := c.may(r.Key, nil, write); err != nil {
		return err
	}
	// Who attaches a key to a lease has to be one who may revoke the lease.
	if err := c.lease(r.Lease, write); err != nil {
		return err
	}
	if !r.PrevKv {
		return nil
	}
	return c.may(r.Key, nil, read)
}

func (c *checker) deletion(r *pb.DeleteRangeRequest) error {
	if err := c.may(r.Key, r.RangeEnd, write); err != nil || !r.PrevKv {
		return err
	}
	return c.may(r.Key, r.RangeEnd, read)
}

// txn checks the compares and both branches, whichever will be taken.
func (c *checker) txn(r *pb.TxnRequest) error {
	for _, compare := range r.Compare {
		if err := c.may(compare.Key, compare.RangeEnd, read); err != nil {
			return err
		}
	}
	for _, branch := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range branch {
			if err := c.op(op); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) op(op *pb.RequestOp) error {
	switch o := op.Request.(type) {
	case *pb.RequestOp_RequestRange:
		return c.may(o.RequestRange.GetKey(), o.RequestRange.GetRangeEnd(), read)
	case *pb.RequestOp_RequestPut:
		return c.put(o.RequestPut)
	case *pb.RequestOp_RequestDeleteRange:
		r := o.RequestDeleteRange
		// In a transaction etcd asks for the right to read first.
		if r.PrevKv {
			if err := c.may(r.Key, r.RangeEnd, read); err != nil {
				return err
			}
		}
		return c.may(r.Key, r.RangeEnd, write)
	case *pb.RequestOp_RequestTxn:
		return c.txn(o.RequestTxn)
	}
	return nil
}

// lease checks the right to all keys of a lease; root has it without a look. A lease
// that does not exist, such as 0, has none.
func (c *checker) lease(id int64, what right) error {
	if id == 0 || c.st.admin(c.who) == nil {
		return nil
	}
	keys, known := c.attached[id]
	if !known {
		lease, _, err := c.leases.LeaseTimeToLive(c.ctx, id, true)
		if err != nil && !errors.Is(err, router.ErrLeaseNotFound) {
			return err
		}
		keys = lease.Keys
		if c.attached == nil {
			c.attached = make(map[int64][][]byte)
		}
		c.attached[id] = keys
	}
	return c.all(keys, what)
}

// all checks the right to each of some keys.
func (c *checker) all(keys [][]byte, what right) error {
	for _, key := range keys {
		if err := c.may(key, nil, what); err != nil {
			return err
		}
	}
	return nil
}

// readsOnly says whether a transaction is one that etcd answers without writing it to
// its log: all its operations are ranges. A nested transaction is written, whatever is in it.
func readsOnly(r *pb.TxnRequest) bool {
	for _, branch := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range branch {
			if op.GetRequestRange() == nil {
				return false
			}
		}
	}
	return true
}
