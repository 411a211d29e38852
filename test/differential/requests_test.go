package differential

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// generator makes random requests over few keys, so that they often meet. It
// knows roughly where the store stands, to ask for revisions near the edges.
type generator struct {
	*rand.Rand
	revision, compacted int64
	leases              []int64
	value               int
	// compactions are the revisions compacted at, which only grow.
	compactions []int64
	// future is the revision at which the latest watch begins.
	future int64
	// keys is how many ordinary keys there are, bulky the chance of a large value.
	keys  int
	bulky float64
}

// newGenerator chooses, with the rest, between few keys and many, and whether
// values are large enough for a range to take several pages and messages.
func newGenerator(random *rand.Rand) *generator {
	g := &generator{Rand: random, revision: 1, compacted: -1, keys: 12}
	switch random.IntN(4) {
	case 0:
		g.keys = 300
	case 1:
		g.bulky = 0.005
	}
	return g
}

func (g *generator) chance(p float64) bool { return g.Float64() < p }

func (g *generator) key() []byte {
	hostile := [][]byte{{0}, {0, 0}, {0, 1}, {0, 255}, {255}, {255, 255}, []byte("k\x00"), []byte("k\x00\x01"), []byte("k\x00\xff"), []byte("k")}
	if g.chance(0.25) {
		return hostile[g.IntN(len(hostile))]
	}
	return fmt.Appendf(nil, "k%d", g.IntN(g.keys))
}

// end gives a range end: none, everything from the key on, a prefix's, or any.
func (g *generator) end(key []byte) []byte {
	switch g.IntN(6) {
	case 0:
		return []byte{0}
	case 1:
		if last := len(key) - 1; last >= 0 && key[last] < 255 {
			end := bytes.Clone(key)
			end[last]++
			return end
		}
		return []byte{0}
	case 2:
		return g.key()
	case 3:
		return []byte("l")
	}
	return nil
}

// giant is a number at an edge.
func (g *generator) giant() int64 {
	return []int64{math.MinInt64, math.MinInt64 + 1, -1 << 53, -1, 0, 1<<53 - 1, 1 << 53, 1<<53 + 1, math.MaxInt64 - 1, math.MaxInt64}[g.IntN(10)]
}

// number is a revision that may exist, or rarely a giant.
func (g *generator) number() int64 {
	if g.chance(0.05) {
		return g.giant()
	}
	return g.Int64N(g.revision + 2)
}

func (g *generator) some() []byte {
	g.value++
	if g.chance(g.bulky) {
		return bytes.Repeat([]byte{byte(g.value)}, 100_000+g.IntN(300_000))
	}
	return fmt.Appendf(nil, "v%d", g.value%7)
}

// at gives a revision to read at: mostly the current one, sometimes an old, a
// compacted, a future or a negative one.
func (g *generator) at() int64 {
	switch g.IntN(10) {
	case 0, 1, 2:
		return g.compacted + g.Int64N(max(1, g.revision-g.compacted+1))
	case 3:
		return g.compacted + g.Int64N(5) - 2
	case 4:
		return g.revision + g.Int64N(3) - 1
	case 5:
		if g.chance(0.2) {
			return g.giant()
		}
	}
	return 0
}

func (g *generator) compactionRequest() *pb.CompactionRequest {
	r := &pb.CompactionRequest{Revision: g.compacted + g.Int64N(max(1, (g.revision-g.compacted)/3+2)), Physical: g.chance(0.5)}
	switch {
	case g.chance(0.1):
		r.Revision = g.compacted - g.Int64N(3)
	case g.chance(0.1):
		r.Revision = g.revision + 1 + g.Int64N(3)
	case g.chance(0.1):
		r.Revision = g.giant()
	}
	if r.Revision == 0 {
		r.Revision = 1 // after a compaction at 0 etcd takes HashKV of 0, the current one, for that
	}
	return r
}

func (g *generator) rangeRequest() *pb.RangeRequest {
	key := g.key()
	r := &pb.RangeRequest{Key: key, RangeEnd: g.end(key), Revision: g.at()}
	if g.chance(0.4) {
		r.Limit = g.Int64N(5)
	}
	if g.chance(0.03) {
		r.Limit = g.giant()
	}
	if g.chance(0.3) {
		r.SortOrder = pb.RangeRequest_SortOrder(g.IntN(3))
		r.SortTarget = pb.RangeRequest_SortTarget(g.IntN(5))
	}
	r.KeysOnly, r.CountOnly, r.Serializable = g.chance(0.15), g.chance(0.15), g.chance(0.2)
	if g.chance(0.15) {
		r.MinModRevision, r.MaxCreateRevision = g.number(), g.number()
	}
	if g.chance(0.1) {
		r.MaxModRevision, r.MinCreateRevision = g.number(), g.number()
	}
	if g.chance(0.02) {
		r.SortTarget = 17
	}
	if g.chance(0.02) {
		r.SortOrder = -1
	}
	if g.chance(0.02) {
		r.Key = nil
	}
	return r
}

func (g *generator) streamRequest() *pb.RangeRequest {
	r := g.rangeRequest()
	if r.SortOrder == pb.RangeRequest_NONE && r.SortTarget != 17 {
		// Without an order, etcd sorts each message of a stream by the target, and goes
		// on after what is then the last key: it can leave keys out. tierd does not.
		r.SortTarget = pb.RangeRequest_KEY
	}
	return r
}

func (g *generator) putRequest() *pb.PutRequest {
	r := &pb.PutRequest{Key: g.key(), Value: g.some(), PrevKv: g.chance(0.3), IgnoreLease: g.chance(0.1)}
	if g.chance(0.1) {
		r.IgnoreValue, r.Value = true, nil
	}
	if g.chance(0.2) && !r.IgnoreLease {
		r.Lease = g.lease()
	}
	if g.chance(0.02) {
		r.IgnoreValue, r.Value = true, []byte("x")
	}
	if g.chance(0.02) {
		r.IgnoreLease, r.Lease = true, 5
	}
	if g.chance(0.01) {
		r.Key = nil
	}
	return r
}

// lease is the id of a lease that may exist.
func (g *generator) lease() int64 {
	if g.chance(0.05) {
		return g.giant()
	}
	if len(g.leases) == 0 || g.chance(0.1) {
		return g.Int64N(20) + 1000
	}
	return g.leases[g.IntN(len(g.leases))]
}

func (g *generator) deleteRequest() *pb.DeleteRangeRequest {
	key := g.key()
	r := &pb.DeleteRangeRequest{Key: key, PrevKv: g.chance(0.4)}
	if g.chance(0.4) {
		r.RangeEnd = g.end(key)
	}
	if g.chance(0.01) {
		r.Key = nil
	}
	return r
}

// compare is a comparison of any kind, sometimes one that names what it does not
// compare, or nothing, or a target or result that does not exist.
func (g *generator) compare() *pb.Compare {
	c := &pb.Compare{Key: g.key(), Result: pb.Compare_CompareResult(g.IntN(4)), Target: pb.Compare_CompareTarget(g.IntN(5))}
	if g.chance(0.2) {
		c.RangeEnd = g.end(c.Key)
	}
	number := g.number()
	if g.chance(0.3) {
		number = g.Int64N(3) - 1
	}
	switch c.Target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: min(number, g.Int64N(4))}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: number}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: number}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: g.some()}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: g.lease()}
	}
	switch {
	case g.chance(0.05):
		c.TargetUnion = nil
	case g.chance(0.02):
		c.TargetUnion = &pb.Compare_Value{Value: g.some()}
	case g.chance(0.01):
		c.Target = 9
	case g.chance(0.01):
		c.Result = 9
	case g.chance(0.01):
		c.Key = nil
	}
	return c
}

func (g *generator) txnRequest(depth int) *pb.TxnRequest {
	r := &pb.TxnRequest{}
	for range g.IntN(3) {
		r.Compare = append(r.Compare, g.compare())
	}
	r.Success, r.Failure = g.ops(depth), g.ops(depth)
	return r
}

// nestingMax is how deep transactions nest.
const nestingMax = 2

func (g *generator) ops(depth int) []*pb.RequestOp {
	var ops []*pb.RequestOp
	for range g.IntN(4) {
		op := &pb.RequestOp{}
		switch kind := g.IntN(10); {
		case kind < 4:
			op.Request = &pb.RequestOp_RequestPut{RequestPut: g.putRequest()}
		case kind < 6:
			op.Request = &pb.RequestOp_RequestRange{RequestRange: g.rangeRequest()}
		case kind < 8:
			r := g.deleteRequest()
			if string(r.RangeEnd) == "\x00" {
				// etcd's check for keys written twice overlooks a deletion without an
				// end, and etcd can then crash: in a transaction, give it one.
				r.RangeEnd = []byte{255, 255, 255}
			}
			op.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}
		case depth > 0:
			op.Request = &pb.RequestOp_RequestTxn{RequestTxn: g.txnRequest(depth - 1)}
		case g.chance(0.1):
		default:
			op.Request = &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: g.key()}}
		}
		ops = append(ops, op)
	}
	return ops
}
