package check

import (
	"bytes"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/test/torture/history"
)

// leaseSlack is how much earlier than its time a lease may seem to end: the store's
// clock counts whole milliseconds, and is not the one of the history.
const leaseSlack = history.Time(20 * time.Millisecond)

// lease is what the history tells of one lease.
type lease struct {
	// granted is the grant; its outcome may be unknown. ttl is 0 then.
	granted *history.Operation
	ttl     history.Time
	// renewed are when calls were made that gave it its full time: the grant and
	// each renewal that was acknowledged.
	renewed []history.Time
	// revoking is when the first revocation that may have been done was called,
	// revoked when the first one that was acknowledged returned.
	revoking, revoked history.Time
	// used are the revisions that put a key with this lease.
	used []int64
}

func (c *checker) learnLeases() {
	c.leases = make(map[int64]*lease)
	for _, o := range c.history.Operations {
		if o.Outcome == history.NotDone || o.Outcome == history.Refused {
			continue
		}
		switch r := o.Request.(type) {
		case *pb.LeaseGrantRequest:
			l := c.lease(r.ID)
			l.granted = o
			if response, ok := o.Response.(*pb.LeaseGrantResponse); ok {
				l.ttl = history.Time(response.TTL) * history.Time(time.Second)
				l.renewed = append(l.renewed, o.Call)
			}
		case *pb.LeaseKeepAliveRequest:
			if response, ok := o.Response.(*pb.LeaseKeepAliveResponse); ok && response.TTL > 0 {
				l := c.lease(r.ID)
				l.renewed = append(l.renewed, o.Call)
				l.ttl = history.Time(response.TTL) * history.Time(time.Second)
			}
		case *pb.LeaseRevokeRequest:
			l := c.lease(r.ID)
			l.revoking = min(l.revoking, o.Call)
			l.revoked = min(l.revoked, o.Return)
		}
	}
}

// learnUses notes at which revisions keys had a lease attached.
func (c *checker) learnUses() {
	for _, r := range c.report.Revisions {
		for _, e := range r.Events {
			if id := e.Kv.Lease; id != 0 {
				c.lease(id).used = append(c.lease(id).used, r.Number)
			}
		}
	}
}

func (c *checker) lease(id int64) *lease {
	l := c.leases[id]
	if l == nil {
		l = &lease{revoking: history.Forever, revoked: history.Forever}
		c.leases[id] = l
	}
	return l
}

// shown says whether the lease is known to have existed, whatever became of its
// grant.
func (l *lease) shown() bool { return len(l.used) > 0 || l.revoked < history.Forever }

// mayHaveEnded says whether the lease's time can have been over by then.
func (l *lease) mayHaveEnded(by history.Time) bool {
	for _, t := range l.renewed {
		if by < history.Forever && t+l.ttl-leaseSlack > by {
			return false
		}
	}
	return true
}

// mayBeGone says whether a lease can have been absent at some time until then:
// never granted, revoked, or ended.
func (c *checker) mayBeGone(id int64, by history.Time) bool {
	l := c.leases[id]
	return l == nil || l.granted == nil || l.granted.Outcome != history.Acknowledged || l.revoking <= by || l.mayHaveEnded(by)
}

// livesAfter says whether a lease shows life after a revision: then that revision
// was not its end.
func (c *checker) livesAfter(id, r int64) bool {
	l := c.leases[id]
	if l == nil {
		return false
	}
	late := func(t history.Time) bool { return t > c.firstSeen[r] }
	return slices.ContainsFunc(l.used, func(at int64) bool { return at > r }) || slices.ContainsFunc(l.renewed, late)
}

// checkLeases checks when leases ended, and what was said of them.
func (c *checker) checkLeases() {
	for r := int64(2); r <= c.history.Last; r++ {
		if id := c.writers[r].lease; id != 0 {
			c.checkEnd(r, id, c.leases[id])
		}
	}
	ends := c.leaseEnds()
	for _, o := range c.history.Operations {
		if o.Outcome != history.Acknowledged {
			continue
		}
		switch request := o.Request.(type) {
		case *pb.LeaseGrantRequest:
			if got := o.Response.(*pb.LeaseGrantResponse); got.TTL < request.TTL || got.ID != request.ID {
				c.violate(RuleLease, "a lease was granted that is not the one asked for: %s", describe(o))
			}
		case *pb.LeaseKeepAliveRequest:
			c.checkAlive(o, request.ID, o.Response.(*pb.LeaseKeepAliveResponse).TTL > 0, ends)
		case *pb.LeaseTimeToLiveRequest:
			response := o.Response.(*pb.LeaseTimeToLiveResponse)
			c.checkAlive(o, request.ID, response.TTL >= 0, ends)
			c.checkKeys(o, request, response)
		}
	}
}

// checkEnd: no lease ends before its time since it was last renewed, or since Redis
// came back, is over.
func (c *checker) checkEnd(r, id int64, l *lease) {
	if !l.mayHaveEnded(c.firstSeen[r]) {
		c.violate(RuleLease, "lease %x (time to live %v) ended at revision %d, seen at %s, although it was renewed at %s",
			id, time.Duration(l.ttl), r, seconds(c.firstSeen[r]), seconds(slices.Max(l.renewed)))
	}
	for _, f := range c.history.Faults {
		if f.RedisDied && c.notBefore[r] >= f.Until && c.firstSeen[r] < f.At+l.ttl-leaseSlack {
			c.violate(RuleLease, "lease %x (time to live %v) ended at revision %d, seen at %s, although Redis came back after %s",
				id, time.Duration(l.ttl), r, seconds(c.firstSeen[r]), seconds(f.At))
		}
	}
	if c.livesAfter(id, r) {
		c.violate(RuleLease, "lease %x ended at revision %d and was alive later", id, r)
	}
}

// leaseEnds are the times at which leases were known to be gone.
func (c *checker) leaseEnds() map[int64]history.Time {
	ends := make(map[int64]history.Time)
	for id, l := range c.leases {
		ends[id] = l.revoked
	}
	for r := int64(2); r <= c.history.Last; r++ {
		w := c.writers[r]
		if w.lease != 0 {
			ends[w.lease] = min(ends[w.lease], c.firstSeen[r])
		} else if revoke, ok := requestOf(w.op).(*pb.LeaseRevokeRequest); ok {
			ends[revoke.ID] = min(ends[revoke.ID], c.firstSeen[r])
		}
	}
	return ends
}

// checkAlive: a lease that was said to be alive was not gone before, one that was
// said to be gone may have been.
func (c *checker) checkAlive(o *history.Operation, id int64, alive bool, ends map[int64]history.Time) {
	gone, known := ends[id]
	if alive && known && gone < o.Call {
		c.violate(RuleLease, "a lease that was gone at %s is alive: %s", seconds(gone), describe(o))
	}
	if !alive && !c.mayBeGone(id, o.Return) {
		c.violate(RuleLease, "a lease is gone before its time: %s", describe(o))
	}
}

// checkKeys: the keys of a lease are those attached to it at the header's revision.
func (c *checker) checkKeys(o *history.Operation, request *pb.LeaseTimeToLiveRequest, response *pb.LeaseTimeToLiveResponse) {
	h := headerOf(o)
	if !request.Keys || response.TTL < 0 || h < 1 || h > c.history.Last {
		return
	}
	got := slices.SortedFunc(slices.Values(response.Keys), bytes.Compare) // they come in any order
	if want := c.states[h].Attached(request.ID); !slices.EqualFunc(want, got, bytes.Equal) {
		c.violate(RuleLease, "at revision %d the lease has the keys %q: %s", h, want, describe(o))
	}
}
