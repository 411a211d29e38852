package balance

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/tierd/tierd/router"
)

// Spread decides how to go on giving endpoints that hold no keys their share of them, whether or not the others need
// relief; nil means that each has some, or that there is nothing to give. A share is what each would have if all had
// as many: a range that is much larger is split first, so that what goes is between half a share and a third more
// than one.
func Spread(topology router.Topology) *Decision {
	p := look(time.Time{}, Sample{}, Sample{Topology: topology}, nil, DefaultPolicy())
	keys, total := make(map[int]int64), int64(0)
	for _, r := range p.ranges {
		keys[r.Endpoint] += r.Keys
		total += r.Keys
	}
	targets := p.targets()
	var target *endpoint
	for _, e := range targets {
		if keys[e.ID] == 0 && target == nil {
			target = e
		}
	}
	source := p.richest(keys)
	if target == nil || source == nil {
		return nil
	}
	share := total / int64(len(targets))
	switch r := p.largest(source.ID); {
	case r == nil:
		return nil
	case (r.Keys > share+share/3 || r.Keys == keys[source.ID]) && r.holds(r.Middle) && len(p.ranges) < p.policy.RangesMax:
		d := p.split(r, r.Middle, fmt.Sprintf("endpoint %d holds no keys, and %q halves those of %s", target.ID, r.Middle, Keys(r.From, r.To)))
		return &d
	case r.Keys == keys[source.ID]:
		return nil // all that the source has, and it cannot be split
	default:
		d := move(r, target, fmt.Sprintf("endpoint %d holds no keys, and endpoint %d %s", target.ID, source.ID, humanize.Comma(keys[source.ID])))
		return &d
	}
}

// richest is the endpoint with the most keys, of those that answer.
func (p *picture) richest(keys map[int]int64) *endpoint {
	var most *endpoint
	for _, e := range p.endpoints {
		if e.Failure == "" && keys[e.ID] > 0 && (most == nil || keys[e.ID] > keys[most.ID]) {
			most = e
		}
	}
	return most
}

// largest is the range of an endpoint with the most keys; nil if none can be moved.
func (p *picture) largest(endpoint int) *keyRange {
	var most *keyRange
	for i := range p.ranges {
		r := &p.ranges[i]
		if r.Endpoint == endpoint && r.able && (most == nil || r.Keys > most.Keys) {
			most = r
		}
	}
	return most
}
