package balance

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/router"
)

// world is a simulated keyspace: keys with a constant load each, ranges, shards and
// endpoints. What a shard gives away stays as garbage until compaction.
type world struct {
	at        time.Time
	epoch     int64
	boxes     []worldBox
	load      []worldKey
	bounds    []int // index of each range's first key; the first one is 0
	owner     []int // shard of each range
	shards    []worldShard
	compacted time.Duration
}

type worldBox struct {
	capacity int64
	draining bool
}

type worldKey struct {
	bytes  int64
	writes float64
}

type worldShard struct {
	endpoint int
	tail     float64
	// garbage is what was given away, and when.
	garbage []worldGarbage
}

type worldGarbage struct {
	bytes int64
	at    time.Time
}

func (w *world) key(i int) []byte { return fmt.Appendf(nil, "key%04d", i) }

// end is the index behind a range's last key.
func (w *world) end(r int) int {
	if r+1 < len(w.bounds) {
		return w.bounds[r+1]
	}
	return len(w.load)
}

// weigh sums what a range holds.
func (w *world) weigh(r int) (bytes int64, writes float64) {
	for _, k := range w.load[w.bounds[r]:w.end(r)] {
		bytes += k.bytes
		writes += k.writes
	}
	return bytes, writes
}

// middle is the key that halves a range by a weight; nil if none lies inside.
func (w *world) middle(r int, weight func(worldKey) float64) []byte {
	total, sum := 0.0, 0.0
	for _, k := range w.load[w.bounds[r]:w.end(r)] {
		total += weight(k)
	}
	for i := w.bounds[r]; i < w.end(r); i++ {
		if sum += weight(w.load[i]); 2*sum >= total && total > 0 {
			if i == w.bounds[r] {
				return nil
			}
			return w.key(i)
		}
	}
	return nil
}

// pass lets time go by: writes happen, and what is old enough is compacted.
func (w *world) pass(d time.Duration) {
	w.at = w.at.Add(d)
	for r := range w.bounds {
		_, writes := w.weigh(r)
		w.shards[w.owner[r]].tail += writes * d.Seconds()
	}
	for i := range w.shards {
		w.shards[i].garbage = slices.DeleteFunc(w.shards[i].garbage, func(g worldGarbage) bool { return w.at.Sub(g.at) > w.compacted })
	}
}

func (w *world) sample() Sample {
	t := router.Topology{Epoch: w.epoch}
	for i, b := range w.boxes {
		t.Endpoints = append(t.Endpoints, router.EndpointStatus{ID: i, Draining: b.draining, MemoryMaxBytes: b.capacity})
	}
	for i, s := range w.shards {
		status := router.ShardStatus{ID: i, Endpoint: s.endpoint, Role: router.RoleActive, Tail: int64(s.tail)}
		if i == 0 {
			status.Role = router.RoleHome
		} else if !slices.Contains(w.owner, i) {
			status.Role = router.RoleHistory
		}
		for _, g := range s.garbage {
			status.Bytes += g.bytes
			t.Endpoints[s.endpoint].MemoryBytes += g.bytes
		}
		if status.Role == router.RoleHistory && status.Bytes == 0 {
			continue // deleted
		}
		t.Shards = append(t.Shards, status)
	}
	for r := range w.bounds {
		size, writes := w.weigh(r)
		status := router.RangeStatus{
			From: w.key(w.bounds[r]), To: w.key(w.end(r)), Shard: w.owner[r], Endpoint: w.shards[w.owner[r]].endpoint,
			Keys: int64(w.end(r) - w.bounds[r]), Bytes: size, Writes: int64(writes * float64(w.at.Unix())),
			Middle:        w.middle(r, func(worldKey) float64 { return 1 }),
			WrittenMiddle: w.middle(r, func(k worldKey) float64 { return k.writes }),
		}
		if r == 0 {
			status.From = nil
		}
		if r == len(w.bounds)-1 {
			status.To = nil
		}
		t.Endpoints[status.Endpoint].MemoryBytes += size
		at := slices.IndexFunc(t.Shards, func(s router.ShardStatus) bool { return s.ID == w.owner[r] })
		t.Shards[at].Bytes += size
		t.Ranges = append(t.Ranges, status)
	}
	return Sample{At: w.at, Topology: t}
}

// do carries out a decision, and fails if the router would refuse it.
func (w *world) do(t *rapid.T, d Decision) {
	w.epoch++
	r := slices.IndexFunc(w.bounds, func(b int) bool { return bytes.Equal(w.key(b), d.From) || (b == 0 && len(d.From) == 0) })
	if r < 0 {
		t.Fatalf("no range begins at %q: %+v", d.From, d)
	}
	switch d.Kind {
	case Split:
		at := 0
		for at < len(w.load) && !bytes.Equal(w.key(at), d.At) {
			at++
		}
		if at <= w.bounds[r] || at >= w.end(r) {
			t.Fatalf("a split outside its range: %+v", d)
		}
		w.bounds = slices.Insert(w.bounds, r+1, at)
		w.owner = slices.Insert(w.owner, r+1, w.owner[r])
	case Merge:
		if w.owner[r] != w.owner[r+1] || !bytes.Equal(d.At, w.key(w.bounds[r+1])) {
			t.Fatalf("a merge of two shards: %+v", d)
		}
		w.bounds = slices.Delete(w.bounds, r+1, r+2)
		w.owner = slices.Delete(w.owner, r+1, r+2)
	case Move:
		if w.boxes[d.Target].draining || w.shards[w.owner[r]].endpoint == d.Target {
			t.Fatalf("a move to where nothing may go: %+v", d)
		}
		size, _ := w.weigh(r)
		from := &w.shards[w.owner[r]]
		from.garbage = append(from.garbage, worldGarbage{bytes: size, at: w.at})
		w.shards = append(w.shards, worldShard{endpoint: d.Target})
		w.owner[r] = len(w.shards) - 1
	}
}

// drawWorld makes any keyspace: from nearly empty to overloaded.
func drawWorld(t *rapid.T) *world {
	w := &world{at: began(), bounds: []int{0}, owner: []int{0}, shards: []worldShard{{}}}
	w.compacted = rapid.SampledFrom([]time.Duration{0, 5 * time.Minute, 50 * time.Minute}).Draw(t, "compacted after")
	for i := range rapid.IntRange(1, 5).Draw(t, "endpoints") {
		w.boxes = append(w.boxes, worldBox{
			capacity: rapid.SampledFrom([]int64{2 << 30, 4 << 30, 16 << 30}).Draw(t, "capacity"),
			draining: i > 0 && rapid.IntRange(0, 4).Draw(t, "draining") == 0,
		})
	}
	size := rapid.SampledFrom([]int64{1 << 10, 8 << 20, 64 << 20}).Draw(t, "bytes of a key")
	writes := rapid.SampledFrom([]float64{0, 10, 1000}).Draw(t, "writes of a key")
	for range rapid.IntRange(2, 120).Draw(t, "keys") {
		w.load = append(w.load, worldKey{
			bytes:  size * int64(rapid.IntRange(1, 3).Draw(t, "size")),
			writes: writes * float64(rapid.IntRange(0, 4).Draw(t, "heat")),
		})
	}
	// Some of it lies elsewhere already, also on what drains.
	for range rapid.IntRange(0, 40).Draw(t, "boundaries") {
		at := rapid.IntRange(1, len(w.load)-1).Draw(t, "boundary")
		if r, found := slices.BinarySearch(w.bounds, at); !found {
			w.bounds = slices.Insert(w.bounds, r, at)
			w.owner = slices.Insert(w.owner, r, w.owner[r-1])
		}
	}
	for r := range w.bounds {
		if to := rapid.IntRange(0, 2*len(w.boxes)).Draw(t, "lives on"); to < len(w.boxes) {
			w.shards = append(w.shards, worldShard{endpoint: to})
			w.owner[r] = len(w.shards) - 1
		}
	}
	return w
}

// Whatever the load: a plan has at most one move, nothing goes to what drains, and
// after a while there is nothing left to decide. What drains is empty then, unless
// the plan says why it cannot be.
func TestPlanConverges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const (
			roundsMax = 1500
			// quietRounds without a decision outlast whatever holds one back.
			quietRounds = 40
		)
		w, policy := drawWorld(t), DefaultPolicy()
		var past []Action
		var last Outlook
		quiet := 0
		for round := 0; quiet < quietRounds; round++ {
			if round == roundsMax {
				t.Fatalf("still deciding after %d rounds: %+v", round, last)
			}
			before := w.sample()
			w.pass(2 * time.Minute)
			after := w.sample()
			last = Plan(w.at, before, after, past, policy)
			if moves := slices.DeleteFunc(slices.Clone(last.Decisions), func(d Decision) bool { return d.Kind != Move }); len(moves) > 1 {
				t.Fatalf("%d moves at once: %+v", len(moves), moves)
			}
			if len(last.Decisions) == 0 {
				quiet++
				continue
			}
			quiet = 0
			w.do(t, last.Decisions[0])
			past = append(past, Action{Decision: last.Decisions[0], Ended: w.at})
		}
		for r, shard := range w.owner {
			if e := w.shards[shard].endpoint; w.boxes[e].draining && len(last.Notes) == 0 {
				t.Fatalf("range %d is left on endpoint %d, which drains, and nobody says why", r, e)
			}
		}
	})
}
