package balance

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/tierd/tierd/router"
)

// picture is what a plan is made from: the map, with the load of each part.
type picture struct {
	now    time.Time
	policy Policy
	past   []Action
	// endpoints are in the order of their numbers, ranges in that of their keys.
	endpoints []*endpoint
	ranges    []keyRange
	// rated says that the writes per second are known.
	rated bool
}

// endpoint is a Redis with its load.
type endpoint struct {
	router.EndpointStatus
	capacity int64
	// memory is what it uses, without what compaction will free of ranges that it
	// gave away.
	memory int64
	writes float64
}

// share is the part of its memory that an endpoint would use with more, or less.
func (e *endpoint) share(more int64) float64 {
	return float64(e.memory+more) / float64(e.capacity)
}

// takes tells whether anything may be moved there.
func (e *endpoint) takes() bool { return !e.Draining && e.Failure == "" }

// keyRange is a range with its load.
type keyRange struct {
	router.RangeStatus
	writes float64
	// able says that its shard answers and may be split, moved and merged.
	able bool
}

// holds tells whether a key lies inside a range, behind its first one.
func (r *keyRange) holds(key []byte) bool {
	return bytes.Compare(key, r.From) > 0 && (len(r.To) == 0 || bytes.Compare(key, r.To) < 0)
}

// overlaps tells whether a range shares keys with those from a key to another.
func (r *keyRange) overlaps(from, to []byte) bool {
	return (len(to) == 0 || bytes.Compare(r.From, to) < 0) && (len(r.To) == 0 || bytes.Compare(from, r.To) < 0)
}

// look puts two samples and the past together.
func look(now time.Time, before, after Sample, past []Action, policy Policy) *picture {
	p := &picture{now: now, policy: policy, past: past}
	byID := make(map[int]*endpoint)
	for _, status := range after.Topology.Endpoints {
		e := &endpoint{EndpointStatus: status, capacity: status.MemoryMaxBytes, memory: status.MemoryBytes}
		if e.capacity <= 0 {
			e.capacity = policy.MemoryAssumedBytes
		}
		p.endpoints = append(p.endpoints, e)
		byID[e.ID] = e
	}
	slices.SortFunc(p.endpoints, func(a, b *endpoint) int { return cmp.Compare(a.ID, b.ID) })
	shards := make(map[int]router.ShardStatus)
	for _, s := range after.Topology.Shards {
		shards[s.ID] = s
	}
	writes := writeRates(before, after)
	p.rated = writes != nil
	for i, status := range after.Topology.Ranges {
		r := keyRange{RangeStatus: status}
		shard, known := shards[status.Shard]
		e := byID[status.Endpoint]
		r.able = known && shard.Failure == "" && e != nil && e.Failure == ""
		if p.rated {
			r.writes = writes[i]
		}
		if e != nil {
			e.writes += r.writes
		}
		p.ranges = append(p.ranges, r)
	}
	p.settle(shards, byID)
	return p
}

// settle takes from the memory of endpoints what compaction will free there: what
// shards hold beyond the ranges that they own.
func (p *picture) settle(shards map[int]router.ShardStatus, endpoints map[int]*endpoint) {
	owned := make(map[int]int64)
	for _, r := range p.ranges {
		owned[r.Shard] += r.Bytes
	}
	for id, s := range shards {
		if e := endpoints[s.Endpoint]; e != nil {
			e.memory = max(0, e.memory-max(0, s.Bytes-owned[id]))
		}
	}
}

// targets are the endpoints that anything may be moved to.
func (p *picture) targets() []*endpoint {
	var all []*endpoint
	for _, e := range p.endpoints {
		if e.takes() {
			all = append(all, e)
		}
	}
	return all
}

// moved tells whether keys of a range were moved lately.
func (p *picture) moved(r *keyRange) bool {
	return slices.ContainsFunc(p.past, func(a Action) bool { return a.Kind == Move && p.recent(a, r) })
}

// changed tells whether keys of a range were moved or split lately.
func (p *picture) changed(r *keyRange) bool {
	return slices.ContainsFunc(p.past, func(a Action) bool { return a.Kind != Merge && p.recent(a, r) })
}

func (p *picture) recent(a Action, r *keyRange) bool {
	return !a.Failed && p.now.Sub(a.Ended) < p.policy.RestAfterMove && r.overlaps(a.From, a.To)
}

// failed tells whether something failed too lately to try again.
func (p *picture) failed() bool {
	return slices.ContainsFunc(p.past, func(a Action) bool { return a.Failed && p.now.Sub(a.Ended) < p.policy.CoolDown })
}

// cooling tells whether the last act is too fresh for another that is not urgent.
func (p *picture) cooling() bool {
	return slices.ContainsFunc(p.past, func(a Action) bool { return a.Kind != Split && p.now.Sub(a.Ended) < p.policy.CoolDown })
}

// paced tells whether the last moves copied so much that none may begin yet.
func (p *picture) paced() bool {
	return slices.ContainsFunc(p.past, func(a Action) bool {
		rest := time.Duration(float64(a.Keys) / float64(p.policy.KeysPerMinute) * float64(time.Minute))
		return a.Kind == Move && p.now.Sub(a.Ended) < rest
	})
}

// writeRates are the writes per second of each range of the second sample; nil if
// they cannot be known, because the map changed in between. A shard's rate is known
// exactly; its ranges have shares of it, those of what was written in between if
// their counters tell it, otherwise those of all writes.
func writeRates(before, after Sample) []float64 {
	seconds := after.At.Sub(before.At).Seconds()
	old, current := before.Topology, after.Topology
	if seconds <= 0 || old.Epoch != current.Epoch || len(old.Ranges) != len(current.Ranges) {
		return nil
	}
	appended := make(map[int]int64)
	for _, s := range current.Shards {
		appended[s.ID] += s.Tail
	}
	for _, s := range old.Shards {
		appended[s.ID] -= s.Tail
	}
	counted := make(map[int]*counts)
	for i, r := range current.Ranges {
		c := counted[r.Shard]
		if c == nil {
			c = &counts{}
			counted[r.Shard] = c
		}
		c.add(r.Writes-old.Ranges[i].Writes, r.Writes)
	}
	rates := make([]float64, len(current.Ranges))
	for i, r := range current.Ranges {
		share := counted[r.Shard].share(r.Writes-old.Ranges[i].Writes, r.Writes)
		rates[i] = share * float64(max(0, appended[r.Shard])) / seconds
	}
	return rates
}

// counts are the write counters of the ranges of one shard.
type counts struct {
	ranges        int
	recent, total int64
	// backward says that a counter fell, as an estimated one may.
	backward bool
}

func (c *counts) add(recent, total int64) {
	c.ranges++
	c.recent += recent
	c.total += total
	c.backward = c.backward || recent < 0
}

// share is the part of its shard's writes that a range has.
func (c *counts) share(recent, total int64) float64 {
	switch {
	case c.recent > 0 && !c.backward:
		return float64(recent) / float64(c.recent)
	case c.total > 0:
		return float64(total) / float64(c.total)
	default:
		return 1 / float64(c.ranges)
	}
}
