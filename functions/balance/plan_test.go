package balance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tierd/tierd/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const gib = 1 << 30

// began is when the first sample is taken, a minute before the second.
func began() time.Time { return time.Unix(1_000_000, 0) }

// piece is a range in a table: its first key, where it lives, and its load.
type piece struct {
	from            string
	shard, endpoint int
	keys, bytes     int64
	// writes are per second.
	writes          int64
	middle, written string
}

// box is an endpoint in a table; used and limit are in GiB.
type box struct {
	used, limit float64
	draining    bool
	failure     string
}

// scene makes two samples a minute apart.
func scene(boxes []box, pieces []piece) (before, after Sample) {
	for minute := range int64(2) {
		t := router.Topology{Epoch: 7}
		for i, b := range boxes {
			t.Endpoints = append(t.Endpoints, router.EndpointStatus{
				ID: i, Draining: b.draining, Failure: b.failure, MemoryBytes: int64(b.used * gib), MemoryMaxBytes: int64(b.limit * gib),
			})
		}
		for i, p := range pieces {
			var to []byte
			if i+1 < len(pieces) {
				to = []byte(pieces[i+1].from)
			}
			// What was written before is spread evenly: only what is new counts.
			written := 1_000_000 + p.writes*60*minute
			t.Ranges = append(t.Ranges, router.RangeStatus{
				From: []byte(p.from), To: to, Shard: p.shard, Endpoint: p.endpoint, Keys: p.keys, Bytes: p.bytes, Writes: written,
				Middle: []byte(p.middle), WrittenMiddle: []byte(p.written),
			})
			at := slices.IndexFunc(t.Shards, func(s router.ShardStatus) bool { return s.ID == p.shard })
			if at < 0 {
				at = len(t.Shards)
				t.Shards = append(t.Shards, router.ShardStatus{ID: p.shard, Endpoint: p.endpoint, Role: router.RoleActive})
			}
			t.Shards[at].Tail += written
			t.Shards[at].Bytes += p.bytes
			t.Shards[at].Keys += p.keys
		}
		before, after = after, Sample{At: began().Add(time.Duration(minute) * time.Minute), Topology: t}
	}
	return before, after
}

// short is a decision as the tables write it.
func short(d Decision) string {
	switch d.Kind {
	case Move:
		return fmt.Sprintf("move %s..%s %d>%d", d.From, d.To, d.Source, d.Target)
	default:
		return fmt.Sprintf("%s at %s", d.Kind, d.At)
	}
}

func shorts(decisions []Decision) []string {
	var all []string
	for _, d := range decisions {
		all = append(all, short(d))
	}
	return all
}

// many makes small cold ranges of one shard.
func many(n int) []piece {
	var pieces []piece
	for i := range n {
		from := fmt.Sprintf("k%03d", i)
		if i == 0 {
			from = ""
		}
		pieces = append(pieces, piece{from: from, keys: 10, bytes: 1000})
	}
	return pieces
}

func TestPlan(t *testing.T) {
	t.Parallel()
	two := []box{{used: 1, limit: 8}, {used: 1, limit: 8}}
	full := []box{{used: 6, limit: 8}, {used: 1, limit: 8}}
	cases := []struct {
		name   string
		boxes  []box
		pieces []piece
		want   []string
		// reason is part of the first reason, or of the first note where nothing
		// is decided.
		reason string
	}{
		{"small", two, []piece{{keys: 100_000, bytes: gib / 4, writes: 3000, middle: "m", written: "n"}}, nil, ""},
		{"one endpoint", []box{{used: 7.9, limit: 8}}, []piece{{keys: 9e6, bytes: 7 * gib, writes: 90_000, middle: "m", written: "n"}}, nil, ""},
		{"only one that answers", []box{{used: 7.9, limit: 8}, {failure: "refused"}},
			[]piece{{keys: 9e6, bytes: 7 * gib, writes: 90_000, middle: "m", written: "n"}}, nil, ""},
		{"hot", two, []piece{{keys: 1000, bytes: 1e6, writes: 14_200, middle: "m", written: "n"}}, []string{"split at n"},
			`all keys take 14,200 writes/s, more than 10,000 writes/s: "n" halves the last ones`},
		{"one hot key", two, []piece{{keys: 1000, bytes: 1e6}, {from: "n", keys: 2, writes: 15_000, written: "n"}}, nil, ""},
		{"large by bytes", two, []piece{{keys: 1000, bytes: 2 * gib, middle: "m"}}, []string{"split at m"}, "all keys hold 2.0 GiB, more than 1.0 GiB"},
		{"large by keys", two, []piece{{keys: 2_000_001, bytes: 1, middle: "m"}}, []string{"split at m"}, "2,000,001 keys, more than 2,000,000"},
		{"large for a full endpoint", []box{{used: 0.7, limit: 1}, {limit: 1}}, []piece{{keys: 1000, bytes: gib / 2, middle: "m"}}, []string{"split at m"},
			"50% of the memory of endpoint 0, more than 12%, and that endpoint uses 70%"},
		{"full, to the emptiest", append(slices.Clone(full), box{limit: 8}),
			[]piece{{keys: 10, bytes: gib}, {from: "h", keys: 10, bytes: gib / 2}}, []string{"move ..h 0>2"},
			`endpoint 0 uses 75% of its memory, more than 60%; without the keys below "h" it uses 62%, and endpoint 2 uses 12% with them`},
		{"full, and so is the other", []box{{used: 6, limit: 8}, {used: 5, limit: 8}}, []piece{{keys: 10, bytes: gib}}, nil, "no other endpoint would be lighter by 20%"},
		{"full, and the other drains", []box{{used: 6, limit: 8}, {limit: 8, draining: true}, {used: 6, limit: 8}}, []piece{{keys: 10, bytes: gib}}, nil, "add one"},
		{"two databases of one server", []box{{used: 7, limit: 8}, {used: 7, limit: 8}}, []piece{{keys: 10, bytes: gib}}, nil, "add one"},
		{"busy", two, []piece{{keys: 10, bytes: 10, writes: 9000}, {from: "h", keys: 10, bytes: 10, writes: 8000}, {from: "p", keys: 10, bytes: 10, writes: 7000}},
			[]string{"move ..h 0>1"}, `endpoint 0 takes 24,000 writes/s, more than 20,000 writes/s; without the keys below "h" it takes 15,000 writes/s`},
		{"busy, but the other is full", []box{{used: 1, limit: 8}, {used: 4.75, limit: 8}},
			[]piece{{keys: 10, bytes: gib / 2, writes: 9000}, {from: "h", keys: 10, bytes: gib / 2, writes: 8000}, {from: "p", keys: 10, bytes: gib / 2, writes: 7000}}, nil, "add one"},
		{"a move would only swap the load", two, []piece{{keys: 10, bytes: 10, writes: 20_500, written: ""}}, nil, "add one"},
		{"drain", []box{{used: 1, limit: 8}, {used: 3, limit: 8}, {used: 2, limit: 8, draining: true}},
			[]piece{{keys: 10, bytes: gib / 2}, {from: "h", shard: 2, endpoint: 2, keys: 10, bytes: gib / 2}}, []string{"move h.. 2>0"},
			`endpoint 2 drains, and endpoint 0 is the one that the keys from "h" on fill least: to 19% of its memory`},
		{"drain in halves", []box{{limit: 8}, {limit: 8, draining: true}}, []piece{{shard: 1, endpoint: 1, keys: 5e6, bytes: gib / 2, middle: "m"}},
			[]string{"split at m"}, "endpoint 1 drains, and its range of all keys is halved"},
		{"drain without room", []box{{used: 7, limit: 8}, {limit: 8, draining: true}}, []piece{{shard: 1, endpoint: 1, keys: 10, bytes: gib}}, nil,
			"endpoint 1 drains, but no other endpoint has room for the 1.0 GiB"},
		{"drain what can go", []box{{used: 6, limit: 8}, {limit: 8, draining: true}},
			[]piece{{shard: 1, endpoint: 1, keys: 10, bytes: gib}, {from: "h", shard: 2, endpoint: 1, keys: 10, bytes: 1}}, []string{"move h.. 1>0"}, "endpoint 1 drains"},
		{"drain without room for two", []box{{used: 7, limit: 8}, {limit: 8, draining: true}},
			[]piece{{shard: 1, endpoint: 1, keys: 10, bytes: gib}, {from: "h", shard: 2, endpoint: 1, keys: 10, bytes: gib}}, nil, `has room for the 1.0 GiB of the keys below "h"`},
		{"drain what does not answer", []box{{limit: 8}, {limit: 8, draining: true, failure: "refused"}}, []piece{{shard: 1, endpoint: 1, keys: 10}}, nil, "does not answer"},
		{"everything drains", []box{{limit: 8, draining: true}, {limit: 8, draining: true}}, []piece{{keys: 10}}, nil, "no other endpoint has room"},
		{"few ranges are left alone", two, many(16), nil, ""},
		{"many are merged", two, many(17), []string{"merge at k001"}, "there are 17 ranges, more than 16"},
		{"a move beside a merge", full, append(many(17), piece{from: "z", shard: 3, keys: 10, bytes: gib}), []string{"move z.. 0>1", "merge at k001"}, "endpoint 0 uses 75%"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			before, after := scene(c.boxes, c.pieces)
			got := Plan(after.At, before, after, nil, DefaultPolicy())
			if !slices.Equal(shorts(got.Decisions), c.want) {
				t.Errorf("decided %q, want %q (notes %q)", shorts(got.Decisions), c.want, got.Notes)
			}
			told := strings.Join(got.Notes, "; ")
			if len(got.Notes) > 1 {
				t.Errorf("%d notes: %q", len(got.Notes), got.Notes)
			}
			if len(got.Decisions) > 0 {
				told = got.Decisions[0].Reason
			}
			if !strings.Contains(told, c.reason) || (c.reason == "") != (told == "") {
				t.Errorf("told %q, want %q", told, c.reason)
			}
		})
	}
}

// What was done lately holds back what would be done now.
func TestPastHoldsBack(t *testing.T) {
	t.Parallel()
	pieces := []piece{{keys: 10, bytes: gib}, {from: "h", keys: 10, bytes: gib / 2}}
	moved := func(ago time.Duration, change func(*Action)) []Action {
		a := Action{Decision: Decision{Kind: Move, To: []byte("c"), Shard: 9}, Ended: began().Add(time.Minute - ago)}
		change(&a)
		return []Action{a}
	}
	same := func(*Action) {}
	for name, c := range map[string]struct {
		past []Action
		want []string
	}{
		"nothing":               {nil, []string{"move ..h 0>1"}},
		"a move":                {moved(4*time.Minute, same), nil},
		"a failure":             {moved(4*time.Minute, func(a *Action) { a.Kind, a.Failed = Split, true }), nil},
		"a split":               {moved(time.Second, func(a *Action) { a.Kind = Split }), []string{"move ..h 0>1"}},
		"a move, not so lately": {moved(6*time.Minute, same), []string{"move h.. 0>1"}},
		"a move, long ago":      {moved(30*time.Minute, same), []string{"move ..h 0>1"}},
		"a large move":          {moved(59*time.Minute, func(a *Action) { a.Keys = 36_000_000 }), nil},
		"a large move, paced":   {moved(60*time.Minute, func(a *Action) { a.Keys = 36_000_000 }), []string{"move ..h 0>1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, after := scene([]box{{used: 6, limit: 8}, {limit: 8}}, pieces)
			if got := shorts(Plan(after.At, before, after, c.past, DefaultPolicy()).Decisions); !slices.Equal(got, c.want) {
				t.Errorf("decided %q, want %q", got, c.want)
			}
		})
	}
}

// What shards hold of keys that they gave away will be freed: that memory is no reason
// to move more.
func TestHistoryIsNoLoad(t *testing.T) {
	t.Parallel()
	before, after := scene([]box{{used: 6, limit: 8}, {limit: 8}}, []piece{{keys: 10, bytes: gib}})
	after.Topology.Shards = append(after.Topology.Shards, router.ShardStatus{ID: 5, Role: router.RoleHistory, Bytes: 2 * gib})
	if got := Plan(after.At, before, after, nil, DefaultPolicy()); len(got.Decisions)+len(got.Notes) > 0 {
		t.Errorf("decided %+v", got)
	}
	before, after = scene([]box{{used: 6, limit: 8}, {limit: 8}}, []piece{{keys: 10, bytes: gib}})
	after.Topology.Shards[0].Bytes += 2 * gib
	if got := Plan(after.At, before, after, nil, DefaultPolicy()); len(got.Decisions)+len(got.Notes) > 0 {
		t.Errorf("decided %+v", got)
	}
}

// Where the load is not known, only draining endpoints are cared for.
func TestUnknownLoad(t *testing.T) {
	t.Parallel()
	before, after := scene([]box{{used: 7, limit: 8}, {limit: 8}, {limit: 8, draining: true}},
		[]piece{{keys: 10, bytes: 2 * gib, middle: "c"}, {from: "h", shard: 2, endpoint: 2, keys: 10}})
	changed := before
	changed.Topology.Epoch--
	for name, first := range map[string]Sample{"the map changed": changed, "one moment": after} {
		if got := shorts(Plan(after.At, first, after, nil, DefaultPolicy()).Decisions); !slices.Equal(got, []string{"move h.. 2>1"}) {
			t.Errorf("%s: decided %q", name, got)
		}
	}
	after.Topology.Move = &router.MoveStatus{To: []byte("h"), Endpoint: 1}
	got := Plan(after.At, before, after, nil, DefaultPolicy())
	if len(got.Decisions) > 0 || len(got.Notes) != 1 {
		t.Errorf("decided during a move: %+v", got)
	}
}

// Rates come from the shard's positions, shared out by what the ranges' counters say.
func TestRates(t *testing.T) {
	t.Parallel()
	sample := func(at time.Duration, tail int64, writes ...int64) Sample {
		t := router.Topology{Shards: []router.ShardStatus{{ID: 1, Tail: tail}}}
		for _, w := range writes {
			t.Ranges = append(t.Ranges, router.RangeStatus{Shard: 1, Writes: w})
		}
		return Sample{At: began().Add(at), Topology: t}
	}
	for name, c := range map[string]struct {
		before, after Sample
		want          []float64
	}{
		"counted":      {sample(0, 1000, 500, 500), sample(10*time.Second, 2000, 1250, 750), []float64{75, 25}},
		"estimated":    {sample(0, 1000, 500, 500), sample(10*time.Second, 2000, 400, 1600), []float64{20, 80}},
		"no counters":  {sample(0, 1000, 0, 0), sample(10*time.Second, 2000, 0, 0), []float64{50, 50}},
		"started anew": {sample(0, 1000, 500, 500), sample(10*time.Second, 0, 0, 0), []float64{0, 0}},
	} {
		if got := writeRates(c.before, c.after); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// The policy's parts fit together: what a split makes is not merged, and what was
// moved for one measure is not moved back for the other.
func TestDefaultPolicyIsSound(t *testing.T) {
	t.Parallel()
	p := DefaultPolicy()
	if 4*p.MergedWritesMax > p.RangeWritesHigh || 4*p.MergedBytesMax > p.RangeBytesHigh || 4*p.MergedKeysMax > p.RangeKeysHigh ||
		p.RangeWritesHigh >= p.EndpointWritesHigh || p.MemoryShareHigh >= p.MemoryShareMax || p.LighterBy <= 0 || p.RangesKept >= p.RangesMax {
		t.Errorf("%+v", p)
	}
}
