//go:build bench

package bench

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/shards"
)

// scalingName selects this part of the benchmarks.
const scalingName = "scaling"

// homeOnly stands for a keyspace whose only shard is the home shard.
const homeOnly = 0

// scalingShards are the numbers of shards beside the home shard.
func scalingShards() []int { return []int{homeOnly, 1, 2, 4, 8, 16} }

// offer is one load on all sizes of the keyspace.
type offer struct {
	name string
	// batch is how many writes a call to a shard is to have, and clients are how many
	// are tried first for each shard, of which about half wait while a call is under way.
	batch float64
	// clients for each shard; or, where batch is 0, in all.
	clients int
}

// offers are first those that make the same batches whatever the number of shards, then
// one that is the same load for all.
func offers() []offer {
	return []offer{
		{name: "batches of 1", batch: 1, clients: 1},
		{name: "batches of 8", batch: 8, clients: 16},
		{name: "batches of 64", batch: 64, clients: 128},
		{name: "256 clients", clients: 256},
	}
}

const (
	// scalingConnections is how many connections the clients share.
	scalingConnections = 50
	// Batches may differ from what they are to be by a part of tuneTolerance; tunesMax
	// trials, each of tuneTime, look for the number of clients that makes them so.
	tuneTolerance = 0.1
	tunesMax      = 6
	tuneTime      = 500 * time.Millisecond
	// restTime is how long it is measured what a keyspace uses that nobody uses.
	restTime = 3 * time.Second
)

const (
	scalingKeys  = 10_240 // of all shards together
	scalingValue = 512
)

// scaled is a keyspace over some shards, each on a redis-server of its own, behind one
// frontend. The sequencer's redis-server has no keys of the load, except where there is
// no other.
type scaled struct {
	shards  int
	system  *system
	metrics string
	data    folder
	conns   []client
	// results and measured are what the rounds of each offer measured, rest what all
	// processes use in a second without any load.
	results  []result
	measured [][]scaling
	rest     scaling
}

// scaling is what one round measured, per write; times are in microseconds of
// processor time.
type scaling struct {
	figures
	sequencer, shards, frontend float64
	// batch is the writes of one call to a shard, asks the shards of one call to the
	// sequencer.
	batch, asks float64
}

// Places of a scaled keyspace's processes; those of the shards follow.
const (
	frontendProcess = iota
	sequencerProcess
	firstShardProcess
)

func startScaled(t *testing.T, count int) *scaled {
	t.Helper()
	c := cluster.Start(t, cluster.Options{Servers: count + 1, Args: []string{
		"--quota-backend-bytes", strconv.Itoa(quotaBytes), "--balance=false",
	}})
	s := &scaled{
		shards: count, metrics: c.Endpoint() + "/metrics", data: newFolder("scaling", scalingKeys, scalingValue),
		system: &system{name: tierd, address: c.Endpoint()[len("http://"):], tb: t},
	}
	s.system.processes = []process{{"frontend", c.Frontends[0].PID()}}
	for i, server := range c.Servers {
		role := fmt.Sprintf("shard %d", i)
		if i == 0 {
			role = "sequencer"
		}
		s.system.processes = append(s.system.processes, process{role, server.PID()})
	}
	var boundaries []string
	for i := range count {
		boundaries = append(boundaries, string(s.key(i, 0)))
	}
	shards.Spread(t, c, boundaries...)
	s.system.awaitAnswer()
	if _, err := s.data.load(t.Context(), s.system); err != nil {
		t.Fatalf("fill %d shards: %v", s.shards, err)
	}
	s.conns = s.system.dial(scalingConnections)
	s.results, s.measured = make([]result, len(offers())), make([][]scaling, len(offers()))
	return s
}

// perShard is how many keys a shard has.
func (s *scaled) perShard() int { return scalingKeys / max(s.shards, 1) }

// key is the n-th key of a shard, counted from 0.
func (s *scaled) key(shard, n int) []byte { return s.data.key(shard*s.perShard() + n) }

// put is the load of clients that put keys of their own, the same number on each shard.
func (s *scaled) put(clients int) load {
	over := max(s.shards, 1)
	each := clients / over
	return func(ctx context.Context, duration time.Duration) (observation, error) {
		return loops(ctx, clients, duration, func(ctx context.Context, worker, i int) error {
			n := (worker/over + i*each) % s.perShard()
			_, err := s.conns[worker%len(s.conns)].kv.Put(ctx, &pb.PutRequest{Key: s.key(worker%over, n), Value: s.data.value(worker*7919 + i)})
			return err
		})
	}
}

// tune finds how many clients make the batches that an offer is to make, and warms the
// keyspace up.
func (s *scaled) tune(ctx context.Context, at int) error {
	o, r := offers()[at], &s.results[at]
	clients, over := float64(o.clients), max(s.shards, 1)
	for range tunesMax {
		before, err := s.batches(ctx)
		if err != nil {
			return err
		}
		number := int(math.Round(clients)) * over
		if o.batch == 0 {
			number = o.clients
		}
		*r = result{system: s.system, load: s.put(number)}
		if _, err := r.load(ctx, tuneTime); err != nil {
			return err
		}
		after, err := s.batches(ctx)
		if err != nil {
			return err
		}
		off := o.batch / after.mean(before, "commit")
		if o.batch <= 1 || math.Abs(off-1) < tuneTolerance {
			return nil
		}
		clients = max(clients*off, 1)
	}
	return nil
}

// round measures one offer once.
func (s *scaled) round(ctx context.Context, settings settings, at int) error {
	before, err := s.batches(ctx)
	if err != nil {
		return err
	}
	r := &s.results[at]
	if err := r.measure(ctx, settings.duration); err != nil {
		return err
	}
	after, err := s.batches(ctx)
	if err != nil {
		return err
	}
	one := byKind(r.rounds[len(r.rounds)-1])
	one.batch, one.asks = after.mean(before, "commit"), after.mean(before, "sequence")
	s.measured[at] = append(s.measured[at], one)
	return nil
}

// byKind tells the three kinds of processes apart.
func byKind(f figures) scaling {
	one := scaling{figures: f, frontend: f.processes[frontendProcess], sequencer: f.processes[sequencerProcess]}
	for _, used := range f.processes[firstShardProcess:] {
		one.shards += used
	}
	return one
}

// measureRest measures what is used without any load, per second.
func (s *scaled) measureRest(ctx context.Context) error {
	idle := func(ctx context.Context, duration time.Duration) (observation, error) {
		timer := time.NewTimer(duration)
		defer timer.Stop()
		select {
		case <-timer.C:
			return observation{elapsed: duration, latencies: make([]time.Duration, int(duration.Seconds()))}, nil
		case <-ctx.Done():
			return observation{}, ctx.Err()
		}
	}
	r := result{system: s.system, load: idle, disturbed: disturbedMax}
	if err := r.measure(ctx, restTime); err != nil {
		return err
	}
	s.rest = byKind(r.rounds[0])
	return nil
}

// batches are the sums and counts of the frontend's batches, by the name of the
// sample.
type batches map[string]float64

const batchMetric = "tierd_batch_requests_"

func (s *scaled) batches(ctx context.Context) (batches, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.metrics, nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	b := make(batches)
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, batchMetric) {
			if b[name], err = strconv.ParseFloat(value, 64); err != nil {
				return nil, fmt.Errorf("read metrics: %w", err)
			}
		}
	}
	return b, nil
}

// mean is the mean size of a queue's batches since before, 0 if there were none.
func (b batches) mean(before batches, queue string) float64 {
	sum, count := batchMetric+`sum{queue="`+queue+`"}`, batchMetric+`count{queue="`+queue+`"}`
	if b[count] == before[count] {
		return 0
	}
	return (b[sum] - before[sum]) / (b[count] - before[count])
}

// TestScaling measures what a write costs each kind of process, by the number of shards
// and the size of batches; and how many writes one sequencer can order.
func TestScaling(t *testing.T) {
	settings := readSettings(t)
	if !settings.only.MatchString(scalingName) || settings.peers {
		return
	}
	report := &report{out: os.Stdout}
	compareSizes(t, settings, report)
	measureSequencer(t, settings, report)
	tables := report.finish([]string{"what", "figure", "target", "measured", "verdict"})
	if !t.Failed() {
		writeDocument(t, sectionScaling, machine(t, settings)+"\n"+tables)
	}
}

// compareSizes puts each offer on all sizes in turns.
func compareSizes(t *testing.T, settings settings, report *report) {
	var sizes []*scaled
	for _, count := range scalingShards() {
		sizes = append(sizes, startScaled(t, count))
	}
	each := func(what string, do func(*scaled) error) {
		for _, s := range sizes {
			if err := do(s); err != nil {
				t.Fatalf("%d shards: %s: %v", s.shards, what, err)
			}
		}
	}
	for at, o := range offers() {
		each("tune "+o.name, func(s *scaled) error { return s.tune(t.Context(), at) })
		for range settings.rounds {
			each(o.name, func(s *scaled) error { return s.round(t.Context(), settings, at) })
		}
		report.addScaling(o, at, sizes)
	}
	each("rest", func(s *scaled) error { return s.measureRest(t.Context()) })
	report.addRest(sizes)
}
