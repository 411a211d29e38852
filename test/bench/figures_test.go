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
	memory     figure = "memory"
)

// atLeast says whether more of a figure is better.
func (f figure) atLeast() bool { return f == throughput }

// figures are what one round measured. Times are in microseconds.
type figures struct {
	perSecond, p50, p99 float64
	// cpu is the processor time per operation, of all processes and of each.
	cpu       float64
	processes []float64
	// others is the part of all cores that was not used by the system or its clients.
	others float64
}

func newFigures(seen observation, before, after moment) figures {
	slices.Sort(seen.latencies)
	count := len(seen.latencies)
	f := figures{
		perSecond: float64(count) / seen.elapsed.Seconds(),
		p50:       microseconds(seen.latencies[count/2]),
		p99:       microseconds(seen.latencies[count*99/100]),
		others:    others(before, after),
	}
	for i := range after.processes {
		used := microseconds(after.processes[i]-before.processes[i]) / float64(count)
		f.processes = append(f.processes, used)
		f.cpu += used
	}
	return f
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// get returns a figure by name.
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

// result is what all rounds of one workload on one system measured.
type result struct {
	system *system
	load   load
	rounds []figures
	// disturbed is how many rounds were measured again.
	disturbed int
	refused   error // why there are no rounds, of a peer
}

// median is the median of a figure over the rounds.
func (r result) median(which figure) float64 {
	return r.medianOf(func(round int) float64 { return r.rounds[round].get(which) })
}

// process is the median of the processor time per operation of one process.
func (r result) process(i int) float64 {
	return r.medianOf(func(round int) float64 { return r.rounds[round].processes[i] })
}

// against is the median over the rounds of a figure as a multiple of another
// system's in the same round: what changes on the machine during a run changes both.
func (r result) against(base result, which figure) float64 {
	return r.medianOf(func(round int) float64 { return r.rounds[round].get(which) / base.rounds[round].get(which) })
}

// medianOf is the median of a number per round.
func (r result) medianOf(number func(round int) float64) float64 {
	all := make([]float64, len(r.rounds))
	for round := range all {
		all[round] = number(round)
	}
	return median(all)
}

func median(all []float64) float64 {
	slices.Sort(all)
	middle := len(all) / 2
	if len(all)%2 == 1 {
		return all[middle]
	}
	return (all[middle-1] + all[middle]) / 2
}
