package check

import (
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/test/torture/history"
)

// timed is a call with the revision that it showed or made.
type timed struct {
	op           *history.Operation
	call, finish history.Time
	revision     int64
	writes       bool
}

// realTime checks that a call which began after another one had returned shows no
// earlier revision than that one, and makes a later one. Together with the replay,
// which ties every answer to a revision, that is linearizability.
func (c *checker) realTime() {
	calls := c.timedCalls()
	for _, t := range calls {
		if t.writes && t.call > c.firstSeen[t.revision] {
			c.violate(RuleRealTime, "revision %d was seen at %s, before it was asked for: %s", t.revision, seconds(c.firstSeen[t.revision]), describe(t.op))
		}
	}
	byFinish := slices.Clone(calls)
	slices.SortFunc(byFinish, func(a, b timed) int { return int(min(1, max(-1, a.finish-b.finish))) })
	slices.SortFunc(calls, func(a, b timed) int { return int(min(1, max(-1, a.call-b.call))) })
	var newest timed
	returned := 0
	for _, t := range calls {
		for returned < len(byFinish) && byFinish[returned].finish < t.call {
			if byFinish[returned].revision > newest.revision {
				newest = byFinish[returned]
			}
			returned++
		}
		c.checkTimed(t, newest)
	}
	c.checkSerializable()
}

// checkTimed checks one call against the newest revision that had been answered
// before it.
func (c *checker) checkTimed(t, newest timed) {
	if r, ok := t.op.Request.(*pb.RangeRequest); ok && t.op.Outcome == history.Refused {
		if r.Revision <= newest.revision && !c.mayBeCompacted(r.Revision, t.finish, false) {
			c.violate(RuleRead, "a revision that exists was refused: %s", describe(t.op))
		}
		return
	}
	if t.revision < newest.revision || t.writes && t.revision == newest.revision {
		c.violate(RuleRealTime, "revision %d, after revision %d had been answered: %s; before it: %s",
			t.revision, newest.revision, describe(t.op), describe(newest.op))
	}
}

// timedCalls are all calls that are tied to a revision and to the present, and the
// reads that were refused, which are tied to none.
func (c *checker) timedCalls() []timed {
	made := make(map[*history.Operation]int64)
	for r := int64(2); r <= c.history.Last; r++ {
		if o := c.writers[r].op; o != nil {
			made[o] = r
		}
	}
	var calls []timed
	for _, o := range c.history.Operations {
		r, writes := made[o]
		if !writes {
			r = headerOf(o)
		}
		_, reads := o.Request.(*pb.RangeRequest)
		refused := reads && o.Outcome == history.Refused
		if r > c.history.Last || r < 1 && !refused || serializable(o) {
			continue
		}
		calls = append(calls, timed{op: o, call: o.Call, finish: o.Return, revision: r, writes: writes})
	}
	return calls
}

// checkSerializable: a read that may be of the past is still not of the future.
func (c *checker) checkSerializable() {
	for _, o := range c.history.Operations {
		if h := headerOf(o); serializable(o) && h >= 2 && h <= c.history.Last {
			if w := c.writers[h].op; w != nil && w.Call > o.Return {
				c.violate(RuleRealTime, "revision %d was read before it was asked for: %s", h, describe(o))
			}
		}
	}
}
