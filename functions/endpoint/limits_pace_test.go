package endpoint

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Where calls take too long, fewer are let in, down to a floor; where they do not any more,
// as many as before.
func TestPace(t *testing.T) {
	t.Parallel()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "limit"})
	p := newPace(4096, gauge)
	now := time.Unix(1000, 0)
	// serve simulates a server that ends so many calls per second, and has as many open as it
	// is let.
	serve := func(perSecond, open int64, windows int) {
		for range windows {
			now = now.Add(paceWindow)
			let := min(open, p.limit.Load())
			p.observe(now, time.Duration(let)*time.Second/time.Duration(perSecond), let)
		}
	}
	serve(8000, 4096, 50)
	if got := p.limit.Load(); got != 4096 {
		t.Errorf("a server that is fast enough lets %d in", got)
	}
	serve(1000, 100_000, 100)
	if got := p.limit.Load(); got < paceFloor || got > 1400 {
		t.Errorf("a server that ends 1000 per second lets %d in", got)
	}
	serve(10, 100_000, 200)
	if got := p.limit.Load(); got < paceFloor || got > 2*paceFloor {
		t.Errorf("a server that ends 10 per second lets %d in", got)
	}
	serve(8000, 10, 100)
	if got := p.limit.Load(); got != 4096 {
		t.Errorf("when it is fast again it lets %d in", got)
	}
	small := newPace(3, gauge)
	small.observe(now, time.Hour, 3)
	if got := small.limit.Load(); got != 3 {
		t.Errorf("a limit below the floor became %d", got)
	}
}
