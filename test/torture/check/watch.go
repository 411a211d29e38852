package check

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/torture/history"
	"github.com/tierd/tierd/test/torture/model"
)

// checkWatches checks each session by itself: as every session of a watcher begins
// where the one before ended, that checks the watcher as a whole.
func (c *checker) checkWatches() {
	for _, s := range c.history.Sessions {
		w := watched{checker: c, session: s, next: s.Request.StartRevision}
		if w.next == 0 {
			w.next = s.CreatedRevision + 1
		}
		w.check()
	}
}

// watched is a session as far as it was checked: everything below next was
// delivered, or does not concern it.
type watched struct {
	*checker
	session *history.Session
	next    int64
}

func (w *watched) check() {
	s := w.session
	if s.Created == 0 && len(s.Deliveries) > 0 {
		w.violate(RuleWatch, "watcher %d was told of events before its watch was created", s.Watcher)
	}
	if len(s.Deliveries) > 0 && w.isCompacted(w.next, s.Requested) {
		w.violate(RuleWatch, "watcher %d began at revision %d, which was compacted before", s.Watcher, w.next)
	}
	for _, d := range s.Deliveries {
		if d.Progress {
			w.progress(d)
			continue
		}
		for _, events := range byRevision(d.Events) {
			w.events(d, events)
		}
	}
	if s.CompactRevision != 0 && (s.CompactRevision <= w.next || !w.wasAsked(s.CompactRevision, s.Ended)) {
		w.violate(RuleWatch, "watcher %d, at revision %d, was ended by a compaction at %d", s.Watcher, w.next, s.CompactRevision)
	}
	if s.End == history.CaughtUp && w.next <= w.history.Last {
		w.skip(w.history.Last+1, RuleWatch, "the end")
	}
}

// events takes the events of one revision, or of a part of it.
func (w *watched) events(d history.Delivery, events []*mvccpb.Event) {
	r := events[0].Kv.ModRevision
	if r < w.next {
		w.violate(RuleWatch, "watcher %d was told of revision %d at %s, again or out of order: it was at %d", w.session.Watcher, r, seconds(d.At), w.next-1)
		return
	}
	if r > w.history.Last {
		return // reported when the events were recorded
	}
	if d.Revision < r {
		w.violate(RuleWatch, "watcher %d was told of revision %d under a header of %d", w.session.Watcher, r, d.Revision)
	}
	w.skip(r, RuleWatch, "the next event")
	want := concerned(w.session.Request, w.revisions[r].Events)
	if !sameEvents(want, events) {
		w.violate(RuleWatch, "watcher %d was told of revision %d as %v; it is %v", w.session.Watcher, r, events, want)
	}
	for _, e := range events {
		w.previous(d, r, e)
	}
	w.next = r + 1
}

// progress takes an announcement that everything up to a revision was told.
func (w *watched) progress(d history.Delivery) {
	if d.Revision > w.history.Last {
		w.violate(RuleProgress, "watcher %d was told of progress up to %d; the store ended at %d", w.session.Watcher, d.Revision, w.history.Last)
		return
	}
	if d.Revision >= w.next {
		w.skip(d.Revision+1, RuleProgress, "progress")
	}
	w.next = max(w.next, d.Revision+1)
}

// skip goes on to a revision: nothing in between may concern the watcher.
func (w *watched) skip(to int64, rule Rule, before string) {
	for r := max(w.next, 2); r < to; r++ {
		if missing := concerned(w.session.Request, w.revisions[r].Events); len(missing) > 0 {
			w.violate(rule, "watcher %d (%v) was not told of revision %d before %s: %v", w.session.Watcher, w.session.Request, r, before, missing)
			return
		}
	}
	w.next = max(w.next, to)
}

// previous checks the value before an event.
func (w *watched) previous(d history.Delivery, r int64, e *mvccpb.Event) {
	want := w.states[r-1].Key(e.Kv.Key)
	switch {
	case !w.session.Request.PrevKv:
		want = nil
	case e.PrevKv == nil && w.mayBeCompacted(r-1, d.At, false):
		return
	}
	if !proto.Equal(want, e.PrevKv) {
		w.violate(RulePrevious, "watcher %d was told that %s was {%v} before revision %d; it was {%v}", w.session.Watcher, showKey(e.Kv.Key), e.PrevKv, r, want)
	}
}

// concerned are the events that a watch is told of.
func concerned(r *pb.WatchCreateRequest, events []*mvccpb.Event) []*mvccpb.Event {
	var found []*mvccpb.Event
	for _, e := range events {
		filter := pb.WatchCreateRequest_NOPUT
		if e.Type == mvccpb.Event_DELETE {
			filter = pb.WatchCreateRequest_NODELETE
		}
		if model.Within(e.Kv.Key, r.Key, r.RangeEnd) && !slices.Contains(r.Filters, filter) {
			found = append(found, e)
		}
	}
	return found
}
