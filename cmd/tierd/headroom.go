package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// headroomDefault is what a frontend may allocate between two cycles of the
	// garbage collector. Its live heap is a few MiB, and by Go's default rule the
	// collector would run each time as much again is allocated: tens of times a
	// second under load, for a third of the processor time of a call.
	headroomDefault = 64 << 20
	// headroomMax is the most that the headroom can be set to.
	headroomMax = 1 << 40
	// headroomShare is the part of a container's memory limit that the headroom
	// may take: one part in so many.
	headroomShare = 8
	// idleCycle is the time between two cycles from which on a frontend is idle and
	// gives its headroom back. The runtime forces a cycle after two minutes.
	idleCycle = time.Minute
	// gcPercentDefault is Go's own rule: as much again as is alive.
	gcPercentDefault = 100
)

// collectorVariables are how the user of a Go program steers the collector; who
// sets one gets what it says and no headroom.
var collectorVariables = []string{"GOGC", "GOMEMLIMIT"}

// headroomOf is the headroom that is wanted, in bytes: none where the user has
// set a rule in the environment, and never more than a share of the memory limit
// (0 for none).
func headroomOf(wanted uint64, environ []string, memoryLimit uint64) uint64 {
	for _, variable := range collectorVariables {
		if slices.ContainsFunc(environ, func(entry string) bool { return strings.HasPrefix(entry, variable+"=") }) {
			return 0
		}
	}
	if memoryLimit > 0 {
		return min(wanted, memoryLimit/headroomShare)
	}
	return wanted
}

// headroom lets the heap grow by a number of bytes before the collector runs,
// however little is alive. Go has a rule in percent of what is alive only, so the
// percentage is set anew after each cycle. A large heap falls under Go's own rule,
// so that the headroom never adds to a heap that has outgrown it.
type headroom struct {
	bytes uint64
	now   func() time.Time
	// set changes the rule and gives the one before, see debug.SetGCPercent.
	set     func(percent int) int
	stopped atomic.Bool

	// Owned by whoever runs afterCycle: keepHeadroom, then one cleanup at a time.
	last    time.Time
	percent int
}

// cycle is garbage from the start: that it is cleaned up says that the collector
// has run. The pointer keeps it out of the runtime's blocks of tiny objects, which
// live as long as their longest-lived one.
type cycle struct{ of *headroom }

// keepHeadroom changes the rule of this process until the function it returns is
// called, which puts Go's own back.
func keepHeadroom(bytes uint64, now func() time.Time) (stop func()) {
	if bytes == 0 {
		return func() {}
	}
	h := &headroom{bytes: bytes, now: now, set: debug.SetGCPercent, percent: gcPercentDefault}
	h.afterCycle()
	return func() {
		h.stopped.Store(true)
		debug.SetGCPercent(gcPercentDefault)
	}
}

// afterCycle sets the rule for the next cycle, and waits for its end.
func (h *headroom) afterCycle() {
	now := h.now()
	h.change(headroomPercent(h.bytes, aliveBytes(), now.Sub(h.last)))
	h.last = now
	if h.stopped.Load() {
		h.set(gcPercentDefault)
		return
	}
	runtime.AddCleanup(&cycle{of: h}, (*headroom).afterCycle, h)
}

// change sets the rule, unless the one in force is much the same: setting it stops
// all goroutines for an instant.
func (h *headroom) change(percent int) {
	if difference := percent - h.percent; difference > h.percent/8 || -difference > h.percent/8 {
		h.set(percent)
		h.percent = percent
	}
}

// headroomPercent is the percentage of what is alive at which a cycle begins.
// sinceLast is the time since the cycle before.
func headroomPercent(bytes, alive uint64, sinceLast time.Duration) int {
	if sinceLast >= idleCycle || alive >= bytes {
		return gcPercentDefault
	}
	return int(bytes * 100 / max(alive, 1<<20))
}

// aliveBytes is what the percentage is of: all that the last cycle looked at.
func aliveBytes() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(samples)
	var alive uint64
	for _, sample := range samples {
		alive += sample.Value.Uint64()
	}
	return alive
}
