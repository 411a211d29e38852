//go:build bench

// Package bench measures tierd against real etcd and against a server that does
// nothing: the same load from the same generator, on the same machine, in the same
// run, in turns. Servers sync to disk before they answer. Every workload starts on
// empty servers and loads what it reads, so that a single one gives the figures that
// it gives in the whole run.
//
// Slow is never a failure; a call that fails is one. The figures are printed as
// Markdown.
//
// Environment:
//
//	TIERD_BENCH_DURATION  how long each system is under load in each round (2s)
//	TIERD_BENCH_ROUNDS    rounds of each workload, of which the median counts (3)
//	TIERD_BENCH_ONLY      a regular expression for the names of the workloads to run
package bench

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// warmUp is how long each system is under load before the first round.
const warmUp = 300 * time.Millisecond

// settings are what the environment chooses.
type settings struct {
	duration time.Duration
	rounds   int
	only     *regexp.Regexp
}

func readSettings(t *testing.T) settings {
	t.Helper()
	s := settings{duration: 2 * time.Second, rounds: 3}
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

func TestBench(t *testing.T) {
	settings := readSettings(t)
	starters := systems(t)
	report := newReport(os.Stdout)
	for _, w := range workloads() {
		if settings.only.MatchString(w.name) {
			t.Run(w.name, func(t *testing.T) { report.add(w, compare(t, settings, starters, w)) })
		}
	}
	report.finish()
}

// compare puts a workload on all systems in turns and returns what each round of
// each of them measured.
func compare(t *testing.T, settings settings, starters []starter, w workload) []result {
	ctx := t.Context()
	var results []result
	var loads []load
	for _, start := range starters {
		s := start(t)
		load, err := w.prepare(ctx, s)
		if err == nil {
			_, err = load(ctx, warmUp)
		}
		if err != nil {
			t.Fatalf("%s: prepare %s: %v", s.name, w.name, err)
		}
		results, loads = append(results, result{system: s}), append(loads, load)
	}
	for range settings.rounds {
		for i := range results {
			measured, err := measure(ctx, results[i].system, loads[i], settings.duration)
			if err != nil {
				t.Fatalf("%s: %s: %v", results[i].system.name, w.name, err)
			}
			results[i].rounds = append(results[i].rounds, measured)
		}
	}
	return results
}

// measure puts the load on the system once and counts what its processes used.
func measure(ctx context.Context, s *system, put load, duration time.Duration) (figures, error) {
	before, err := s.usedCPU()
	if err != nil {
		return figures{}, err
	}
	seen, err := put(ctx, duration)
	if err != nil {
		return figures{}, err
	}
	after, err := s.usedCPU()
	if err != nil {
		return figures{}, err
	}
	if len(seen.latencies) == 0 {
		return figures{}, fmt.Errorf("no operation finished")
	}
	return newFigures(seen, before, after), nil
}
