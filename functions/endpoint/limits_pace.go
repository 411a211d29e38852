package endpoint

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// How the limit on calls follows what can be served.
const (
	// paceTarget is how long calls may take on average before fewer are let in: those that
	// take much longer are answered to clients who have given up.
	paceTarget = time.Second
	// paceWindow is the time over which that is averaged.
	paceWindow = 100 * time.Millisecond
	// paceFloor is how many calls are let in however long they take.
	paceFloor = 1024
)

// pace bounds the calls that are open so that they do not wait longer than paceTarget: a
// queue as long as the limit on calls is worth nothing where the hot tier is slow. It lets
// fewer in while calls take longer, and more again as they do not.
type pace struct {
	max   int64
	limit atomic.Int64
	gauge prometheus.Gauge

	// began is when the window began, in nanoseconds, took and ended are the calls that have
	// ended in it, hold until when the limit is not lowered again: what was let in before
	// has to be over first.
	began, took, ended, hold atomic.Int64
}

func newPace(most int64, gauge prometheus.Gauge) *pace {
	p := &pace{max: most, gauge: gauge}
	p.set(most)
	return p
}

func (p *pace) set(limit int64) {
	p.limit.Store(limit)
	p.gauge.Set(float64(limit))
}

// observe notes the end of a call, while so many are open.
func (p *pace) observe(now time.Time, took time.Duration, open int64) {
	p.took.Add(int64(took))
	p.ended.Add(1)
	at, began := now.UnixNano(), p.began.Load()
	if at-began < int64(paceWindow) || !p.began.CompareAndSwap(began, at) {
		return
	}
	total, ended := p.took.Swap(0), p.ended.Swap(0)
	if ended == 0 {
		return
	}
	average, limit := total/ended, p.limit.Load()
	switch {
	case average <= int64(paceTarget):
		if limit < p.max {
			p.set(min(p.max, limit+limit/8+1))
		}
	case at >= p.hold.Load():
		p.hold.Store(at + min(average, int64(paceTarget)))
		p.set(max(min(limit, open)*3/4, min(paceFloor, p.max)))
	}
}
