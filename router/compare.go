package router

import (
	"context"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/tiers/hot"
)

// prepared is a transaction as one call.
type prepared struct {
	*hot.Transaction
	// failing says that its Then is the branch for when the comparisons do not hold: one of
	// values is known not to.
	failing bool
}

// prepare makes one call of a transaction, if it can be. Where values are sealed, Redis cannot
// compare them: they are read and compared here, and the call goes by that as long as the keys
// have not been written since (hot.OutcomeChanged).
func (k *Keyspace) prepare(ctx context.Context, r *pb.TxnRequest, sealed bool) (prepared, bool, error) {
	ofValues := func(c *pb.Compare) bool { return c.Target == pb.Compare_VALUE && len(c.RangeEnd) == 0 }
	if !sealed || !slices.ContainsFunc(r.Compare, ofValues) {
		t, ok := compile(r)
		return prepared{Transaction: t}, ok, nil
	}
	rest := &pb.TxnRequest{Success: r.Success, Failure: r.Failure}
	for _, c := range r.Compare {
		if !ofValues(c) {
			rest.Compare = append(rest.Compare, c)
		}
	}
	t, ok := compile(rest)
	if !ok {
		return prepared{}, false, nil
	}
	var kept []hot.Condition
	for _, c := range r.Compare {
		if !ofValues(c) {
			continue
		}
		l, err := k.list(ctx, listQuery{span: hot.KeySpan(c.Key)})
		if err != nil {
			return prepared{}, false, err
		}
		mod := Revision(0)
		if len(l.kvs) > 0 {
			mod = Revision(l.kvs[0].ModRevision)
		}
		if !holds(c, l.kvs) {
			return prepared{Transaction: &hot.Transaction{
				Puts: t.Puts, Conditions: []hot.Condition{hot.Kept(c.Key, mod)}, Then: t.Else,
			}, failing: true}, true, nil
		}
		kept = append(kept, hot.Kept(c.Key, mod))
	}
	t.Conditions = append(kept, t.Conditions...)
	return prepared{Transaction: t}, true, nil
}
