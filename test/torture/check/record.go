package check

import (
	"bytes"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/torture/history"
	"github.com/tierd/tierd/test/torture/model"
)

// Revision is what happened at one revision.
type Revision struct {
	Number int64
	Events []*mvccpb.Event
}

// record puts together what all watches were told, and the states that follow
// from it. Nothing else can be checked if that has a gap: then it gives false.
func (c *checker) record() bool {
	last := c.history.Last
	c.revisions = make([]Revision, last+1)
	c.writers = make([]writer, last+1)
	for _, s := range c.history.Sessions {
		if !unfiltered(s.Request) {
			continue
		}
		for _, d := range s.Deliveries {
			for _, events := range byRevision(d.Events) {
				c.recordRevision(s, events)
			}
		}
	}
	c.states = make([]*model.State, last+1)
	c.states[1] = model.AnyLease()
	for r := int64(2); r <= last; r++ {
		if c.revisions[r].Events == nil {
			c.violate(RuleDense, "no watch of the whole store was told of revision %d; the store is at %d", r, last)
			return false
		}
		c.states[r] = c.states[r-1].Apply(c.revisions[r].Events)
	}
	c.report.Revisions = c.revisions[2:]
	c.learnUses()
	c.recordTimes()
	return true
}

// recordRevision takes the events of one revision from one watch.
func (c *checker) recordRevision(s *history.Session, events []*mvccpb.Event) {
	r := events[0].Kv.ModRevision
	if r < 2 || r > c.history.Last {
		c.violate(RuleDense, "watcher %d was told of revision %d; the store ended at %d", s.Watcher, r, c.history.Last)
		return
	}
	bare := make([]*mvccpb.Event, len(events))
	for i, e := range events {
		bare[i] = &mvccpb.Event{Type: e.Type, Kv: e.Kv}
	}
	if c.revisions[r].Events == nil {
		c.revisions[r] = Revision{Number: r, Events: bare}
		return
	}
	if !sameEvents(c.revisions[r].Events, bare) {
		c.violate(RuleAgree, "revision %d was told as %v, and to watcher %d as %v", r, c.revisions[r].Events, s.Watcher, bare)
	}
}

// recordTimes finds the bounds of when each revision happened: not after anyone
// was told of it or of a later one, not before a call that was answered from an
// earlier one.
func (c *checker) recordTimes() {
	c.firstSeen = make([]history.Time, c.history.Last+2)
	c.notBefore = make([]history.Time, c.history.Last+2)
	for r := range c.firstSeen {
		c.firstSeen[r] = history.Forever
	}
	for _, o := range c.history.Operations {
		h := headerOf(o)
		if !c.inRange(h, "an answer", describe, o) {
			continue
		}
		c.firstSeen[h] = min(c.firstSeen[h], o.Return)
		if !serializable(o) {
			c.notBefore[h+1] = max(c.notBefore[h+1], o.Call)
		}
	}
	for _, s := range c.history.Sessions {
		for _, d := range s.Deliveries {
			seen := d.Revision
			if len(d.Events) > 0 {
				seen = max(seen, d.Events[len(d.Events)-1].Kv.ModRevision)
			}
			if seen >= 1 && seen <= c.history.Last {
				c.firstSeen[seen] = min(c.firstSeen[seen], d.At)
			}
		}
	}
	for r := c.history.Last; r >= 1; r-- {
		c.firstSeen[r] = min(c.firstSeen[r], c.firstSeen[r+1])
	}
	for r := int64(1); r <= c.history.Last; r++ {
		c.notBefore[r+1] = max(c.notBefore[r], c.notBefore[r+1])
	}
}

// inRange says whether a header shows a revision, and reports one that never was.
func (c *checker) inRange(h int64, what string, name func(*history.Operation) string, o *history.Operation) bool {
	if h > c.history.Last {
		c.violate(RuleDense, "%s shows revision %d, the store ended at %d: %s", what, h, c.history.Last, name(o))
	}
	return h >= 1 && h <= c.history.Last
}

// unfiltered says whether a watch is told of everything.
func unfiltered(r *pb.WatchCreateRequest) bool {
	return bytes.Equal(r.Key, []byte{0}) && bytes.Equal(r.RangeEnd, []byte{0}) && len(r.Filters) == 0
}

// byRevision cuts events where the revision changes.
func byRevision(events []*mvccpb.Event) [][]*mvccpb.Event {
	var groups [][]*mvccpb.Event
	start := 0
	for i := range events {
		if i+1 == len(events) || events[i+1].Kv.ModRevision != events[i].Kv.ModRevision {
			groups = append(groups, events[start:i+1])
			start = i + 1
		}
	}
	return groups
}

// sameEvents compares events without previous values.
func sameEvents(a, b []*mvccpb.Event) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Type != b[i].Type || !proto.Equal(a[i].Kv, b[i].Kv) {
			return false
		}
	}
	return true
}
