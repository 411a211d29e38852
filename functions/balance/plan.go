package balance

import (
	"fmt"
	"time"

	"github.com/tierd/tierd/router"
)

// Plan decides what to do next, from two samples of the shard map, the later one
// being of this moment, and from what was done lately, oldest first. If the map
// changed between them, or if they are of one time, nothing is known of the load and
// only draining endpoints are cared for.
func Plan(now time.Time, before, after Sample, past []Action, policy Policy) Outlook {
	var o Outlook
	if move := after.Topology.Move; move != nil {
		o.Notes = append(o.Notes, fmt.Sprintf("%s are being moved to endpoint %d: nothing is decided until that is done", Keys(move.From, move.To), move.Endpoint))
		return o
	}
	p := look(now, before, after, past, policy)
	if p.failed() {
		return o
	}
	for _, e := range p.endpoints {
		if e.Draining && !o.moves() {
			p.drain(e, &o)
		}
	}
	if !p.rated || len(p.targets()) < 2 {
		return o
	}
	splits := len(o.Decisions)
	p.splits(&o)
	if splits = len(o.Decisions) - splits; splits > 0 || p.cooling() {
		// A split shows anew who has how much; what to move is decided then.
		return o
	}
	if !o.moves() && !p.paced() {
		p.relieve(&o)
	}
	p.merge(&o)
	return o
}

// Drain decides how to go on emptying an endpoint, whatever was done lately; nil
// means that it has no range left. The text says why it cannot go on.
func Drain(topology router.Topology, id int, policy Policy) (next *Decision, blocked string) {
	p := look(time.Time{}, Sample{}, Sample{Topology: topology}, nil, policy)
	for _, e := range p.endpoints {
		if e.ID != id {
			continue
		}
		var o Outlook
		p.drain(e, &o)
		if len(o.Decisions) > 0 {
			return &o.Decisions[0], ""
		}
		if len(o.Notes) > 0 {
			return nil, o.Notes[0]
		}
	}
	return nil, ""
}

// drain decides how to go on emptying an endpoint: its first range that can go, in
// halves if it is large. If none can go, it says why the first one cannot.
func (p *picture) drain(e *endpoint, o *Outlook) {
	held := ""
	for i := range p.ranges {
		r := &p.ranges[i]
		if r.Endpoint != e.ID {
			continue
		}
		d, why := p.drainRange(r, e)
		if why == "" {
			if d.Kind == Split || !p.paced() {
				o.Decisions = append(o.Decisions, d)
			}
			return
		}
		if held == "" {
			held = why
		}
	}
	if held != "" {
		o.Notes = append(o.Notes, held)
	}
}

// drainRange decides how a range leaves an endpoint, or says why it cannot.
func (p *picture) drainRange(r *keyRange, e *endpoint) (d Decision, held string) {
	if !r.able {
		return d, fmt.Sprintf("endpoint %d drains, but it, or shard %d on it, does not answer", e.ID, r.Shard)
	}
	if why := p.large(r, e); why != "" && r.holds(r.Middle) && len(p.ranges) < p.policy.RangesMax {
		d = p.split(r, r.Middle, fmt.Sprintf("endpoint %d drains, and its range of %s is halved before it goes: it holds %s", e.ID, Keys(r.From, r.To), why))
		d.Drain = true
		return d, ""
	}
	target := p.roomiest(r)
	if target == nil {
		return d, fmt.Sprintf("endpoint %d drains, but no other endpoint has room for the %s of %s below %s of its memory: add one",
			e.ID, bytesText(r.Bytes), Keys(r.From, r.To), percent(p.policy.MemoryShareMax))
	}
	d = move(r, target, fmt.Sprintf("endpoint %d drains, and endpoint %d is the one that %s fill least: to %s of its memory",
		e.ID, target.ID, Keys(r.From, r.To), percent(target.share(r.Bytes))))
	d.Drain = true
	return d, ""
}

// roomiest is the endpoint that a range would fill least; nil if it would overfill
// each.
func (p *picture) roomiest(r *keyRange) *endpoint {
	var best *endpoint
	for _, e := range p.targets() {
		share := e.share(r.Bytes)
		if e.ID == r.Endpoint || share > p.policy.MemoryShareMax {
			continue
		}
		if best == nil || share < best.share(r.Bytes) || (share == best.share(r.Bytes) && e.writes < best.writes) {
			best = e
		}
	}
	return best
}

// move is the decision to give a range to an endpoint.
func move(r *keyRange, target *endpoint, reason string) Decision {
	return Decision{
		Kind: Move, From: r.From, To: r.To, Shard: r.Shard, Source: r.Endpoint, Target: target.ID,
		Keys: r.Keys, Bytes: r.Bytes, Reason: reason,
	}
}
