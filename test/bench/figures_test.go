//go:build bench

package bench

import (
	"slices"
	"time"
)

// figure names one of the figures of a round.
type figure string

const (
	throughput figure = "per second"
	p50        figure = "p50"
	p99        figure = "p99"
	cpu        figure = "server CPU per operation"
)

// atLeast says whether more of a figure is better.
func (f figure) atLeast() bool { return f == throughput }

// figures are what one round measured. Times are in microseconds.
type figures struct {
	perSecond, p50, p99 float64
	// cpu is the processor time per operation, of all processes and of each.
	cpu       float64
	processes []float64
}

func newFigures(seen observation, before, after []time.Duration) figures {
	slices.Sort(seen.latencies)
	count := len(seen.latencies)
	f := figures{
		perSecond: float64(count) / seen.elapsed.Seconds(),
		p50:       microseconds(seen.latencies[count/2]),
		p99:       microseconds(seen.latencies[count*99/100]),
	}
	for i := range after {
		used := microseconds(after[i]-before[i]) / float64(count)
		f.processes = append(f.processes, used)
		f.cpu += used
	}
	return f
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// result is what all rounds of one workload on one system measured.
type result struct {
	system *system
	rounds []figures
}

// median is the median of each figure over the rounds.
func (r result) median() figures {
	of := func(one func(figures) float64) float64 {
		var all []float64
		for _, round := range r.rounds {
			all = append(all, one(round))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	m := figures{
		perSecond: of(func(f figures) float64 { return f.perSecond }),
		p50:       of(func(f figures) float64 { return f.p50 }),
		p99:       of(func(f figures) float64 { return f.p99 }),
		cpu:       of(func(f figures) float64 { return f.cpu }),
	}
	for i := range r.system.processes {
		m.processes = append(m.processes, of(func(f figures) float64 { return f.processes[i] }))
	}
	return m
}

func (f figures) get(which figure) float64 {
	switch which {
	case throughput:
		return f.perSecond
	case p50:
		return f.p50
	case p99:
		return f.p99
	default:
		return f.cpu
	}
}
