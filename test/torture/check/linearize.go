package check

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/anishathalye/porcupine"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/test/torture/history"
	"github.com/tierd/tierd/test/torture/model"
)

// step is a call as porcupine is given it, or the end of a lease.
type step struct {
	op    *history.Operation
	lease int64
	// revision is the one that it made (writes) or showed; 0 if it shows none, as
	// refusals do.
	revision int64
	writes   bool
	// latest bounds the revision at which something took effect that makes none:
	// the answer to it shows one that was read then or later. headerOnly is that
	// reading.
	latest     int64
	headerOnly bool
	// excused refusals are right whatever the state: what is not in the model
	// explains them.
	excused bool
}

// searched is the state of porcupine's search.
type searched struct {
	*model.State
	// shown counts the calls so far that showed this revision without making it.
	shown int
}

// linearize has porcupine look for an order of all calls, each at some moment
// between its call and its return, in which every answer is the model's.
//
// What is known of revisions bounds the search: a call that made a revision can
// only come right after the one before it, and, since every call that showed the
// one before comes there too, after all of those.
func (c *checker) linearize() {
	steps := c.steps()
	c.report.Searched = len(steps)
	m := c.porcupineModel(steps)
	switch porcupine.CheckOperationsTimeout(m, steps, c.settings.Bound) {
	case porcupine.Illegal:
		c.explain(m, steps)
	case porcupine.Unknown:
		c.violate(RuleDecided, "porcupine found nothing within %v for %d calls: nothing is proven. Reduce the load or give it more time", c.settings.Bound, len(steps))
	}
}

// explain searches again, keeping how far the search came: it names the call that
// was in the way, and draws a picture.
func (c *checker) explain(m porcupine.Model, steps []porcupine.Operation) {
	_, info := porcupine.CheckOperationsVerbose(m, steps, c.settings.Bound)
	var longest []int
	for _, partial := range info.PartialLinearizations()[0] {
		if len(partial) > len(longest) {
			longest = partial
		}
	}
	state, placed := m.Init(), make([]bool, len(steps))
	for _, i := range longest {
		_, state = m.Step(state, steps[i].Input, nil)
		placed[i] = true
	}
	blocked := -1
	for i := range steps {
		if !placed[i] && (blocked < 0 || steps[i].Return < steps[blocked].Return) {
			blocked = i
		}
	}
	text := "nothing"
	if blocked >= 0 {
		text = steps[blocked].Input.(*step).String()
	}
	c.violate(RuleLinearizable, "porcupine finds no order of the calls that explains all answers; %s fits nowhere after %d of %d, at %s",
		text, len(longest), len(steps), m.DescribeState(state))
	if c.settings.Visualize == "" {
		return
	}
	if err := draw(m, info, c.settings.Visualize); err != nil {
		c.violate(RuleLinearizable, "%v", err)
	}
}

// draw writes porcupine's picture to a file.
func draw(m porcupine.Model, info porcupine.LinearizationInfo, path string) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("draw the history: %w", err)
	}
	err = porcupine.Visualize(m, info, file)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("draw the history: %w", err)
	}
	return nil
}

// steps are the calls that porcupine is to order: all that were answered with
// something about the present, and those of unknown outcome that took effect. The
// others took none, or may have had none.
func (c *checker) steps() []porcupine.Operation {
	made := make(map[*history.Operation]int64)
	var steps []porcupine.Operation
	for r := int64(2); r <= c.history.Last; r++ {
		w := c.writers[r]
		if w.op != nil {
			made[w.op] = r
		} else if l := c.leases[w.lease]; l != nil && l.granted != nil {
			steps = append(steps, porcupine.Operation{Input: &step{lease: w.lease, revision: r, writes: true}, Call: int64(l.granted.Call), Return: int64(history.Forever)})
		}
	}
	for _, o := range c.history.Operations {
		for _, s := range c.stepsOf(o, made[o]) {
			steps = append(steps, porcupine.Operation{ClientId: o.Client, Input: s, Call: int64(o.Call), Return: int64(o.Return)})
		}
	}
	separateClients(steps)
	return steps
}

// stepsOf are what porcupine is given for a call: one step, or two where the answer
// shows a revision that was read by itself.
func (c *checker) stepsOf(o *history.Operation, made int64) []*step {
	s := c.stepOf(o, made)
	if s == nil {
		return nil
	}
	switch o.Request.(type) {
	case *pb.CompactionRequest, *pb.LeaseGrantRequest, *pb.LeaseRevokeRequest:
		if !s.writes && o.Outcome == history.Acknowledged {
			shows := &step{op: o, revision: s.revision, headerOnly: true}
			s.latest, s.revision = s.revision, 0
			return []*step{s, shows}
		}
	}
	return []*step{s}
}

func (c *checker) stepOf(o *history.Operation, made int64) *step {
	s := &step{op: o, revision: made, writes: made != 0}
	switch o.Outcome {
	case history.NotDone:
		return nil
	case history.Unknown:
		if grant, ok := o.Request.(*pb.LeaseGrantRequest); ok && c.leases[grant.ID].shown() {
			return s // it was done, at some time
		}
		if !s.writes {
			return nil
		}
	case history.Refused:
		s.excused = c.excuse(o)
	case history.Acknowledged:
		if !s.writes {
			s.revision = headerOf(o)
		}
	}
	switch o.Request.(type) {
	case *pb.LeaseKeepAliveRequest, *pb.LeaseTimeToLiveRequest:
		return nil // about time
	}
	if serializable(o) {
		return nil
	}
	return s
}

// excuse says whether a refusal is explained by time or by a call of unknown
// outcome.
func (c *checker) excuse(o *history.Operation) bool {
	switch r := o.Request.(type) {
	case *pb.RangeRequest:
		return c.mayBeCompacted(r.Revision, o.Return, true)
	case *pb.CompactionRequest:
		return c.mayBeCompacted(r.Revision-1, o.Return, true)
	case *pb.LeaseRevokeRequest:
		return c.mayBeGone(r.ID, o.Return)
	}
	for _, p := range puts(transaction(o.Request)) {
		if p.Lease != 0 && c.mayBeGone(p.Lease, o.Return) {
			return true
		}
	}
	return false
}

// separateClients gives calls that never return a line of their own in the
// picture: their clients went on.
func separateClients(steps []porcupine.Operation) {
	next := 0
	for _, s := range steps {
		next = max(next, s.ClientId+1)
	}
	for i := range steps {
		if steps[i].Return == int64(history.Forever) {
			steps[i].ClientId = next
			next++
		}
	}
	slices.SortStableFunc(steps, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
}

func (c *checker) porcupineModel(steps []porcupine.Operation) porcupine.Model {
	show := make(map[int64]int)
	for _, s := range steps {
		if in := s.Input.(*step); !in.writes {
			show[in.revision]++
		}
	}
	return porcupine.Model{
		Init: func() any { return searched{State: model.Empty()} },
		Step: func(state, input, _ any) (bool, any) {
			return input.(*step).apply(state.(searched), show)
		},
		Equal: func(a, b any) bool {
			one, other := a.(searched), b.(searched)
			return one.shown == other.shown && one.State.Equal(other.State)
		},
		Hash:              func(state any) uint64 { return uint64(state.(searched).Revision)<<20 ^ uint64(state.(searched).shown) },
		DescribeOperation: func(input, _ any) string { return input.(*step).String() },
		DescribeState: func(state any) string {
			s := state.(searched)
			return fmt.Sprintf("revision %d, compacted %d, leases %x, keys %v", s.Revision, s.Compacted, s.Leases(), s.Keys([]byte{0}, []byte{0}))
		},
	}
}

func (s *step) String() string {
	if s.op == nil {
		return fmt.Sprintf("lease %x ends at revision %d", s.lease, s.revision)
	}
	return describe(s.op)
}

// apply tells whether the step explains its answer in a state, and the state after.
func (s *step) apply(state searched, show map[int64]int) (bool, searched) {
	if s.writes {
		if s.revision != state.Revision+1 || state.shown != show[state.Revision] {
			return false, state
		}
	} else if s.revision != 0 && s.revision != state.Revision || s.latest != 0 && s.latest < state.Revision {
		return false, state
	}
	next, ok := s.run(state.State)
	if !ok || s.writes != (next.Revision != state.Revision) {
		return false, state
	}
	switch {
	case s.writes:
		return true, searched{State: next}
	case s.revision != 0:
		return true, searched{State: next, shown: state.shown + 1}
	}
	return true, searched{State: next, shown: state.shown}
}

// run is what the model makes of the step, and whether that is what was answered.
func (s *step) run(state *model.State) (*model.State, bool) {
	if s.op == nil {
		next, _, err := state.Revoke(s.lease)
		return next, err == nil
	}
	if s.headerOnly {
		return state, true
	}
	next, same, err := s.evaluate(state)
	switch {
	case s.op.Outcome == history.Refused:
		return state, s.excused || err != nil && err.Error() == s.op.Error
	case err != nil:
		return state, false
	}
	return next, same
}

// evaluate runs the request, and tells whether the response is the model's.
func (s *step) evaluate(state *model.State) (next *model.State, same bool, err error) {
	acknowledged := s.op.Outcome == history.Acknowledged
	switch r := s.op.Request.(type) {
	case *pb.RangeRequest:
		var response *pb.RangeResponse
		if response, err = state.Range(r); err == nil {
			same = acknowledged && sameRange(s.op, response)
		}
		return state, same, err
	case *pb.CompactionRequest:
		next, err = state.Compact(r.Revision)
		return next, true, err
	case *pb.LeaseGrantRequest:
		next, err = state.Grant(r.ID)
		return next, true, err
	case *pb.LeaseRevokeRequest:
		next, _, err = state.Revoke(r.ID)
		return next, true, err
	}
	var result model.Result
	if result, err = state.Txn(transaction(s.op.Request)); err != nil {
		return state, false, err
	}
	return result.State, !acknowledged || sameResponse(s.op, result), nil
}
