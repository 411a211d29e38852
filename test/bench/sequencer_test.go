//go:build bench

package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/tiers/hot"
)

// orderers is how many frontends have the sequencer order at once: enough to keep its
// core busy, so that one sync serves several calls.
const orderers = 8

// sequencerRounds is how many rounds of the sequencer there are for each round of a
// load: it is the cheapest that counts.
const sequencerRounds = 2

// sequencer is a sequencer alone, that is told of tails by callers who have not
// appended anything.
type sequencer struct {
	system *system
	home   *hot.Client
	lives  []string // of each shard, the incarnation that the sequencer has adopted
}

func startSequencer(t *testing.T) *sequencer {
	t.Helper()
	server := cluster.StartRedis(t, cluster.RedisOptions{})
	endpoint, err := hot.ParseEndpoint(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	redis := endpoint.NewClient()
	t.Cleanup(func() { _ = redis.Close() })
	fleet, err := hot.NewFleet(hot.Settings{Keyspace: "bench", MemberID: 1},
		hot.Components{Redis: redis, Logger: slog.New(slog.DiscardHandler), Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fleet.Close() })
	s := &sequencer{home: fleet.Home(), system: &system{name: "sequencer", tb: t, processes: []process{{"sequencer", server.PID()}}}}
	counts := scalingShards()
	// The shards are elsewhere: their scripts, too, would be in the way of the sequencer's.
	place := cluster.StartRedis(t, cluster.RedisOptions{}).URL()
	for i := range orderers * counts[len(counts)-1] {
		s.adopt(t, fleet, hot.Shard(i+1), place)
	}
	return s
}

// adopt makes a shard known to the sequencer, as the first call to it does.
func (s *sequencer) adopt(t *testing.T, fleet *hot.Fleet, number hot.Shard, place string) {
	t.Helper()
	shard, err := fleet.Shard(number, place, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shard.Stamp(t.Context(), hot.EpochAny, hot.Stamp{}); err != nil {
		t.Fatalf("begin shard %d: %v", number, err)
	}
	answer, err := s.home.Sequence(t.Context(), []hot.Ask{{Shard: number}})
	if err != nil {
		t.Fatalf("ask for shard %d: %v", number, err)
	}
	s.lives = append(s.lives, answer.Shards[0].Incarnation)
}

// order is the load of frontends that each have some shards of their own ordered in one
// call, by so many writes each. An operation is a call.
func (s *sequencer) order(over, writes int) load {
	return func(ctx context.Context, duration time.Duration) (observation, error) {
		asks := make([][]hot.Ask, orderers)
		return loops(ctx, orderers, duration, func(ctx context.Context, worker, _ int) error {
			if asks[worker] == nil {
				var err error
				if asks[worker], err = s.begin(ctx, worker, over); err != nil {
					return err
				}
			}
			return s.call(ctx, asks[worker], writes)
		})
	}
}

// begin is what is asked for the shards of one caller before anything is ordered.
func (s *sequencer) begin(ctx context.Context, worker, over int) ([]hot.Ask, error) {
	asks := make([]hot.Ask, over)
	for i := range asks {
		number := worker*over + i
		asks[i] = hot.Ask{Shard: hot.Shard(number + 1)}
	}
	answer, err := s.home.Sequence(ctx, asks)
	if err != nil {
		return nil, err
	}
	for i := range asks {
		asks[i].Incarnation, asks[i].After = s.lives[asks[i].Shard-1], answer.Shards[i].Ordered
	}
	return asks, nil
}

// call orders the next writes of each shard, and asks for their cuts.
func (s *sequencer) call(ctx context.Context, asks []hot.Ask, writes int) error {
	for i := range asks {
		asks[i].Tail = asks[i].After + hot.Position(writes)
	}
	answer, err := s.home.Sequence(ctx, asks)
	if err != nil {
		return err
	}
	for i := range asks {
		if one := answer.Shards[i]; one.Superseded || one.Ordered != asks[i].Tail || len(one.Cuts) != 1 {
			return fmt.Errorf("order shard %d up to %d: answered %+v", asks[i].Shard, asks[i].Tail, one)
		}
		asks[i].After = asks[i].Tail
	}
	return nil
}

// ordering is what one number of shards and of writes measured.
type ordering struct {
	writes, over int
	result       result
}

// perWrite is the sequencer's processor time for one write, in microseconds, in the
// cheapest round: what else runs on the machine makes each the dearer, never cheaper.
func (o ordering) perWrite() float64 {
	least := math.Inf(1)
	for _, round := range o.result.rounds {
		least = min(least, round.cpu)
	}
	return least / float64(o.over*o.writes)
}

// measureSequencer measures what the sequencer can order, by the writes of a batch and
// the shards that one call is for.
func measureSequencer(t *testing.T, settings settings, report *report) {
	s := startSequencer(t)
	for _, writes := range []int{1, 8, 64} {
		for _, over := range scalingShards() {
			if over == homeOnly {
				continue
			}
			o := ordering{writes: writes, over: over, result: result{system: s.system, load: s.order(over, writes), disturbed: disturbedMax}}
			for range sequencerRounds * settings.rounds {
				if err := o.result.measure(t.Context(), settings.duration); err != nil {
					t.Fatalf("order %d writes of %d shards: %v", writes, over, err)
				}
			}
			report.addOrdering(o)
		}
	}
}
