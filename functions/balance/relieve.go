package balance

import "fmt"

// candidate is a move that would help, with the loads after it: of the heavier one
// of the two endpoints, and of the target. The less, the better.
type candidate struct {
	decision         Decision
	heavier, reached float64
}

// better compares two candidates; any is better than none.
func (c candidate) better(than *candidate) bool {
	if than == nil || c.heavier != than.heavier {
		return than == nil || c.heavier < than.heavier
	}
	return c.reached < than.reached
}

// measure is a way to look at the load of endpoints.
type measure struct {
	// of is the load of an endpoint, with a range more.
	of func(e *endpoint, r *keyRange) float64
	// without is the load of an endpoint that gives a range away.
	without func(e *endpoint, r *keyRange) float64
	// high is the load above which an endpoint gives ranges away.
	high float64
	// spoils tells whether a range would make an endpoint too heavy by the other
	// measure.
	spoils func(e *endpoint, r *keyRange) bool
	// does and unit stand before and behind a load in a sentence, number is its
	// text.
	does, unit string
	number     func(load float64) string
}

// relieve decides on the move that helps most, first for memory, then for writes.
//
// Nothing moves back and forth: a move by one measure replaces the load of its
// source by two that are lighter by LighterBy, so the loads, heaviest first, only
// fall; and it leaves the target below the threshold of the other measure.
func (p *picture) relieve(o *Outlook) {
	for _, m := range []measure{p.byMemory(), p.byWrites()} {
		for _, source := range p.endpoints {
			if m.of(source, nil) <= m.high || source.Failure != "" || source.Draining {
				continue
			}
			if best := p.bestMove(source, m); best != nil {
				o.Decisions = append(o.Decisions, best.decision)
				return
			}
			if len(o.Notes) == 0 {
				o.Notes = append(o.Notes, fmt.Sprintf("endpoint %d %s %s%s, more than %s, but no other endpoint would be lighter by %s with one of its ranges: add one",
					source.ID, m.does, m.number(m.of(source, nil)), m.unit, m.number(m.high), percent(p.policy.LighterBy)))
			}
		}
	}
}

func (p *picture) byMemory() measure {
	return measure{
		of:      func(e *endpoint, r *keyRange) float64 { return e.share(sizeOf(r)) },
		without: func(e *endpoint, r *keyRange) float64 { return e.share(-sizeOf(r)) },
		high:    p.policy.MemoryShareHigh,
		spoils:  func(e *endpoint, r *keyRange) bool { return e.writes+r.writes > p.policy.EndpointWritesHigh },
		does:    "uses", unit: " of its memory", number: percent,
	}
}

func (p *picture) byWrites() measure {
	return measure{
		of:      func(e *endpoint, r *keyRange) float64 { return e.writes + writesOf(r) },
		without: func(e *endpoint, r *keyRange) float64 { return e.writes - writesOf(r) },
		high:    p.policy.EndpointWritesHigh,
		spoils:  func(e *endpoint, r *keyRange) bool { return e.share(r.Bytes) > p.policy.MemoryShareHigh },
		does:    "takes", number: rate,
	}
}

func sizeOf(r *keyRange) int64 {
	if r == nil {
		return 0
	}
	return r.Bytes
}

func writesOf(r *keyRange) float64 {
	if r == nil {
		return 0
	}
	return r.writes
}

// bestMove finds the range and the endpoint that relieve a source most; nil if
// nothing is worth it.
func (p *picture) bestMove(source *endpoint, m measure) *candidate {
	var best *candidate
	load := m.of(source, nil)
	for i := range p.ranges {
		r := &p.ranges[i]
		left := m.without(source, r)
		if r.Endpoint != source.ID || !r.able || load-left < p.policy.ReliefMin*load || p.moved(r) {
			continue
		}
		for _, target := range p.targets() {
			reached := m.of(target, r)
			if target == source || reached > (1-p.policy.LighterBy)*load || m.spoils(target, r) {
				continue
			}
			if c := (candidate{heavier: max(left, reached), reached: reached}); c.better(best) {
				c.decision = move(r, target, fmt.Sprintf("endpoint %d %s %s%s, more than %s; without %s it %s %s, and endpoint %d %s %s with them",
					source.ID, m.does, m.number(load), m.unit, m.number(m.high), Keys(r.From, r.To), m.does, m.number(left), target.ID, m.does, m.number(reached)))
				best = &c
			}
		}
	}
	return best
}
