package check

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/test/torture/history"
)

// writer is what made a revision: a call, or the end of a lease.
type writer struct {
	op    *history.Operation
	lease int64
}

func (w writer) known() bool { return w.op != nil || w.lease != 0 }

// findWriters gives each revision its writer.
func (c *checker) findWriters() {
	taken := c.claimAcknowledged()
	c.claimByValue(taken)
	c.claimRevocations(taken)
	c.matchDeletions(taken)
	for r := int64(2); r <= c.history.Last; r++ {
		if !c.writers[r].known() {
			c.violate(RuleOneWriter, "nobody made revision %d: %v", r, c.revisions[r].Events)
		}
	}
}

// claimAcknowledged gives revisions to the calls that were told that they made
// them, and returns which calls have one.
func (c *checker) claimAcknowledged() map[*history.Operation]int64 {
	taken := make(map[*history.Operation]int64)
	for _, o := range c.history.Operations {
		if o.Outcome != history.Acknowledged || !wrote(o.Response) {
			continue
		}
		r := headerOf(o)
		if r < 2 || r > c.history.Last {
			c.violate(RuleOneWriter, "a write was acknowledged at revision %d, the store ended at %d: %s", r, c.history.Last, describe(o))
			continue
		}
		if other := c.writers[r].op; other != nil {
			c.violate(RuleOneWriter, "revision %d was acknowledged twice: %s; %s", r, describe(other), describe(o))
			continue
		}
		c.writers[r].op = o
		taken[o] = r
	}
	return taken
}

// claimByValue gives the other revisions that put something to the calls whose
// values they show. No two calls put the same value.
func (c *checker) claimByValue(taken map[*history.Operation]int64) {
	byValue := make(map[string]*history.Operation)
	for _, o := range c.history.Operations {
		for _, p := range puts(transaction(o.Request)) {
			if !p.IgnoreValue {
				byValue[string(p.Value)] = o
			}
		}
	}
	for r := int64(2); r <= c.history.Last; r++ {
		if c.writers[r].known() {
			continue
		}
		// A put with ignore_value shows the value of an earlier call, beside another
		// one that shows its own.
		fresh, earlier := owners(c.revisions[r].Events, byValue, taken)
		if fresh != nil {
			c.claim(taken, r, fresh)
		} else if earlier != nil {
			c.violate(RuleOneWriter, "revisions %d and %d were both made by %s", taken[earlier], r, describe(earlier))
			c.writers[r].op = earlier
		}
	}
}

// owners are the calls whose values events show: one that has no revision yet, and
// one that has.
func owners(events []*mvccpb.Event, byValue map[string]*history.Operation, taken map[*history.Operation]int64) (fresh, earlier *history.Operation) {
	for _, e := range events {
		o := byValue[string(e.Kv.Value)]
		if e.Type != mvccpb.Event_PUT || o == nil {
			continue
		}
		if _, has := taken[o]; has {
			earlier = o
		} else {
			fresh = o
		}
	}
	return fresh, earlier
}

// claim gives a revision to a call that was not told of it.
func (c *checker) claim(taken map[*history.Operation]int64, r int64, o *history.Operation) {
	if o.Outcome == history.NotDone || o.Outcome == history.Refused {
		c.violate(RuleWrite, "revision %d was made by a call that was answered as not done: %s", r, describe(o))
	}
	c.writers[r].op = o
	taken[o] = r
	if o.Outcome == history.Unknown {
		c.report.Resolved++
	}
}

// claimRevocations gives revisions to acknowledged revocations. One that had no
// keys to delete shows a revision that is not its own.
func (c *checker) claimRevocations(taken map[*history.Operation]int64) {
	c.revokedAt = make(map[*history.Operation]int64)
	for _, o := range c.history.Operations {
		request, ok := o.Request.(*pb.LeaseRevokeRequest)
		if !ok || o.Outcome != history.Acknowledged {
			continue
		}
		r := headerOf(o)
		if r < 2 || r > c.history.Last || c.writers[r].known() || !c.endsLease(r, request.ID) {
			continue
		}
		c.writers[r].op = o
		taken[o] = r
		c.revokedAt[o] = r
	}
}

// endsLease says whether a revision deletes exactly the keys of a lease.
func (c *checker) endsLease(r, lease int64) bool {
	if lease == 0 {
		return false // that is no lease: such keys have none
	}
	_, events, err := c.states[r-1].Revoke(lease)
	return err == nil && len(events) > 0 && sameEvents(events, c.revisions[r].Events)
}

// matchDeletions gives the revisions that are left, which delete only, to calls of
// unknown outcome and to leases that ended, each to one.
func (c *checker) matchDeletions(taken map[*history.Operation]int64) {
	var open []int64
	for r := int64(2); r <= c.history.Last; r++ {
		if !c.writers[r].known() {
			open = append(open, r)
		}
	}
	candidates := c.deletionCandidates(taken)
	fits := make([][]int, len(open))
	for i, r := range open {
		for j, w := range candidates {
			if c.mayHaveMade(r, w) {
				fits[i] = append(fits[i], j)
			}
		}
	}
	for i, j := range match(fits, len(candidates)) {
		r := open[i]
		if j < 0 {
			c.writers[r] = c.whoeverFits(r)
			continue
		}
		c.writers[r] = candidates[j]
		if candidates[j].op == nil {
			c.report.Expired++
			continue
		}
		c.report.Resolved++
	}
}

// deletionCandidates are the calls of unknown outcome that may have deleted
// something, and every lease.
func (c *checker) deletionCandidates(taken map[*history.Operation]int64) []writer {
	var found []writer
	for _, o := range c.history.Operations {
		if _, has := taken[o]; has || o.Outcome != history.Unknown {
			continue
		}
		if _, revokes := o.Request.(*pb.LeaseRevokeRequest); revokes || transaction(o.Request) != nil {
			found = append(found, writer{op: o})
		}
	}
	for id := range c.leases {
		found = append(found, writer{lease: id})
	}
	return found
}

// mayHaveMade says whether a writer can have made a revision.
func (c *checker) mayHaveMade(r int64, w writer) bool {
	if w.op == nil {
		return c.endsLease(r, w.lease) && c.leases[w.lease].mayHaveEnded(c.firstSeen[r]) && !c.livesAfter(w.lease, r)
	}
	if w.op.Call > c.firstSeen[r] {
		return false
	}
	if revoke, ok := w.op.Request.(*pb.LeaseRevokeRequest); ok {
		return c.endsLease(r, revoke.ID) && !c.livesAfter(revoke.ID, r)
	}
	result, err := c.states[r-1].Txn(transaction(w.op.Request))
	return err == nil && sameEvents(result.Events, c.revisions[r].Events)
}

// whoeverFits is the lease whose keys a revision deletes, for want of anyone who
// was allowed to: what is wrong with that is said elsewhere.
func (c *checker) whoeverFits(r int64) writer {
	for id := range c.leases {
		if c.endsLease(r, id) {
			c.report.Expired++
			return writer{lease: id}
		}
	}
	return writer{}
}
