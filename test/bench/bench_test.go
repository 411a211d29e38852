//go:build bench

// Package bench measures tierd against real etcd and against a server that does
// nothing: the same load from the same generator, on the same machine, in the same
// run, in turns. Servers sync to disk before they answer. Every workload starts on
// empty servers and loads what it reads, so that a single one gives the figures that
// it gives in the whole run.
//
// TestScaling compares tierd with itself: what a write costs each process, by the number
// of shards and the size of batches. TestArchive compares one with an archive with one
// without, TestSealing one whose values are sealed with one whose are not.
//
// Slow is never a failure; a call that fails is one (of a peer, it is noted in the
// table). The figures are printed as Markdown; a run of all workloads, and one of
// scaling, also write them to docs/benchmarks.md.
//
// Environment:
//
//	TIERD_BENCH_DURATION  how long each system is under load in each round (1s)
//	TIERD_BENCH_ROUNDS    rounds of each workload, of which the median counts (5)
//	TIERD_BENCH_ONLY      a regular expression for the names of the workloads to run,
//	                      of which "scaling", "archive" and "sealing" are three
//	TIERD_BENCH_PEERS     1 measures other servers of this API too, built from their
//	                      modules into the user's cache folder (or TIERD_TEST_CACHE)
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const (
	// warmUp is how long each system is under load before the first round.
	warmUp = 300 * time.Millisecond
	// othersMax is the part of all cores that something else may take in a round. A
	// round that had less of the machine is measured again, but no more than
	// disturbedMax rounds of one workload on one system are.
	othersMax    = 0.2
	disturbedMax = 3
)

// settings are what the environment chooses.
type settings struct {
	duration time.Duration
	rounds   int
	only     *regexp.Regexp
	peers    bool
}

func readSettings(t *testing.T) settings {
	t.Helper()
	s := settings{duration: time.Second, rounds: 5, peers: os.Getenv("TIERD_BENCH_PEERS") == "1"}
	var err error
	if text := os.Getenv("TIERD_BENCH_DURATION"); text != "" {
		if s.duration, err = time.ParseDuration(text); err != nil || s.duration <= 0 {
			t.Fatalf("TIERD_BENCH_DURATION=%s is not a duration above 0", text)
		}
	}
	if text := os.Getenv("TIERD_BENCH_ROUNDS"); text != "" {
		if s.rounds, err = strconv.Atoi(text); err != nil || s.rounds < 1 {
			t.Fatalf("TIERD_BENCH_ROUNDS=%s is not a number above 0", text)
		}
	}
	if s.only, err = regexp.Compile(os.Getenv("TIERD_BENCH_ONLY")); err != nil {
		t.Fatalf("TIERD_BENCH_ONLY: %v", err)
	}
	return s
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBench(t *testing.T) {
	settings := readSettings(t)
	selected := func(w workload) bool { return settings.only.MatchString(w.name) }
	if !slices.ContainsFunc(workloads(), selected) && !settings.only.MatchString(memoryName) {
		return
	}
	starters := systems(t, settings.peers)
	report := &report{out: os.Stdout}
	for _, w := range workloads() {
		if selected(w) {
			t.Run(w.name, func(t *testing.T) { report.addSpeed(w, compareSpeed(t, settings, starters, w)) })
		}
	}
	if settings.only.MatchString(memoryName) {
		t.Run(memoryName, func(t *testing.T) {
			if footprints := compareMemory(t, starters); !t.Failed() {
				report.addMemory(footprints)
			}
		})
	}
	tables := report.finish([]string{"workload", "tierd's multiple of etcd's", "bar", "measured", "verdict"})
	if settings.only.String() == "" && !t.Failed() {
		section := sectionEtcd
		if settings.peers {
			section = sectionPeers
		}
		writeDocument(t, section, machine(t, settings)+"\n"+tables)
	}
}

// compareSpeed puts a workload on all systems in turns and returns what each round of
// each of them measured.
func compareSpeed(t *testing.T, settings settings, starters []starter, w workload) []result {
	ctx := t.Context()
	var results []result
	for _, starter := range starters {
		one := result{system: starter.start(t)}
		one.refuse(t, w, one.prepare(ctx, w))
		results = append(results, one)
	}
	for range settings.rounds {
		for i := range results {
			one := &results[i]
			if one.refused == nil {
				one.refuse(t, w, one.measure(ctx, settings.duration))
			}
		}
	}
	return results
}

// refuse notes an error of a peer, and fails the test for one of another system.
func (r *result) refuse(t *testing.T, w workload, err error) {
	t.Helper()
	if r.refused = err; err != nil && !r.system.peer {
		t.Fatalf("%s: %s: %v", r.system.name, w.name, err)
	}
}

// prepare loads the data and warms the system up.
func (r *result) prepare(ctx context.Context, w workload) error {
	load, err := w.prepare(ctx, r.system)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	r.load = load
	_, err = load(ctx, warmUp)
	return err
}

// measure puts the system under load for one round and counts what its processes
// use; for another one if that was disturbed.
func (r *result) measure(ctx context.Context, duration time.Duration) error {
	before, err := r.system.now()
	if err != nil {
		return err
	}
	seen, err := r.load(ctx, duration)
	if err != nil {
		return err
	}
	after, err := r.system.now()
	if err != nil {
		return err
	}
	if len(seen.latencies) == 0 {
		return errors.New("no operation finished")
	}
	measured := newFigures(seen, before, after)
	if measured.others > othersMax && r.disturbed < disturbedMax {
		r.disturbed++
		return r.measure(ctx, duration)
	}
	r.rounds = append(r.rounds, measured)
	return nil
}
