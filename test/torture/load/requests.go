package load

import (
	"fmt"
	"math/rand/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// Times to live of leases, in seconds: short, so that they end within a run.
const (
	leaseTTLMin = 2
	leaseTTLMax = 3
)

// leaseIDBase makes ids that a double cannot hold.
const leaseIDBase = int64(1) << 62

// requests makes the requests of one client.
type requests struct {
	*rand.Rand
	client int
	view   *view
	made   int64
}

// keys are the keys of a run: few, so that calls meet, under two prefixes, and
// some with the bytes that a store gets wrong.
func keys() []string {
	return []string{"a/0", "a/1", "a/2", "a/\x00", "a/\x00\xff", "b/0", "b/1", "b/\xff"}
}

func (r *requests) key() []byte { k := keys(); return []byte(k[r.IntN(len(k))]) }

func (r *requests) chance(percent int) bool { return r.IntN(100) < percent }

// span is a range of several keys: a prefix, or everything from a key on.
func (r *requests) span() (from, end []byte) {
	switch r.IntN(5) {
	case 0, 1:
		return []byte("a/"), []byte("a0")
	case 2, 3:
		return []byte("b/"), []byte("b0")
	}
	return r.key(), []byte{0}
}

// value is one that no other call puts.
func (r *requests) value() []byte {
	r.made++
	return fmt.Appendf(nil, "%d.%d", r.client, r.made)
}

// next is the next request.
func (r *requests) next() proto.Message {
	kinds := []struct {
		weight int
		make   func() proto.Message
	}{
		{220, func() proto.Message { return r.put() }},
		{70, r.deletion},
		{170, r.compareAndSwap},
		{130, func() proto.Message { return r.txn(true) }},
		{220, r.read},
		{50, r.readPast},
		{30, r.readSerializable},
		{30, r.grant},
		{50, r.useLease},
		{12, r.session},
		{3, r.compaction},
	}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	at := r.IntN(total)
	for _, k := range kinds {
		if at -= k.weight; at < 0 {
			return k.make()
		}
	}
	return r.read()
}

func (r *requests) put() *pb.PutRequest {
	p := &pb.PutRequest{Key: r.key(), Value: r.value(), PrevKv: r.chance(30)}
	if r.chance(30) {
		p.Lease = r.view.lease(r.Rand)
	}
	if p.Lease == 0 && r.chance(5) {
		p.IgnoreLease = true
	}
	return p
}

func (r *requests) deletion() proto.Message {
	d := &pb.DeleteRangeRequest{Key: r.key(), PrevKv: r.chance(50)}
	if r.chance(25) {
		d.Key, d.RangeEnd = r.span()
	}
	if len(d.RangeEnd) == 1 && r.chance(80) {
		d.RangeEnd = []byte("c") // leave the sessions alone, mostly
	}
	return d
}

// session puts a key that is left alone, with a lease that may end while it is
// there.
func (r *requests) session() proto.Message {
	id := r.view.lease(r.Rand)
	if id == 0 {
		return r.grant()
	}
	return &pb.PutRequest{Key: fmt.Appendf(nil, "s/%d", r.IntN(8)), Value: r.value(), Lease: id}
}

func (r *requests) grant() proto.Message {
	r.made++
	return &pb.LeaseGrantRequest{ID: leaseIDBase + int64(r.client)<<32 + r.made, TTL: leaseTTLMin + r.Int64N(leaseTTLMax-leaseTTLMin+1)}
}

// useLease renews, describes or revokes a lease.
func (r *requests) useLease() proto.Message {
	id := r.view.lease(r.Rand)
	switch kind := r.IntN(10); {
	case id == 0:
		return r.grant()
	case kind < 5:
		return &pb.LeaseKeepAliveRequest{ID: id}
	case kind < 8:
		return &pb.LeaseTimeToLiveRequest{ID: id, Keys: r.chance(70)}
	}
	return &pb.LeaseRevokeRequest{ID: id}
}

func (r *requests) compaction() proto.Message {
	highest, _ := r.view.bounds()
	c := &pb.CompactionRequest{Revision: r.view.compactable(), Physical: r.chance(30)}
	if r.chance(5) {
		c.Revision = highest + 1000 // refused: in the future
	}
	return c
}

func (r *requests) read() proto.Message {
	q := &pb.RangeRequest{Key: r.key()}
	if r.chance(50) {
		q.Key, q.RangeEnd = r.span()
		q.CountOnly, q.KeysOnly = r.chance(20), r.chance(10)
		if r.chance(20) {
			q.Limit = 1 + r.Int64N(3)
		}
	}
	return q
}

// readPast reads at a revision: an old one, sometimes one that is compacted or to
// come.
func (r *requests) readPast() proto.Message {
	q := r.read().(*pb.RangeRequest)
	revision, compacted := r.view.bounds()
	q.Revision = max(1, revision-r.Int64N(60))
	switch r.IntN(10) {
	case 0:
		q.Revision = max(1, compacted+r.Int64N(3)-1)
	case 1:
		q.Revision = revision + r.Int64N(4)
	}
	return q
}

func (r *requests) readSerializable() proto.Message {
	q := r.read().(*pb.RangeRequest)
	if r.chance(30) {
		q = r.readPast().(*pb.RangeRequest)
	}
	q.Serializable = true
	return q
}
