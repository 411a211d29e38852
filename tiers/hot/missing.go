package hot

import (
	"sync"
	"time"
)

// missing is what a frontend knows of the return of positions that a shard has lost. Each
// frontend brings back its own, in the order of positions, so they take turns, and there
// may be many: as long as the tail goes on somebody is at work.
type missing struct {
	mu    sync.Mutex
	tail  string
	since time.Time // when the tail was first seen where it is; zero for nothing missing
}

// mayCome says whether to go on waiting: the tail has not stood still for refillWait.
func (m *missing) mayCome(tail string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.since.IsZero() || tail != m.tail {
		m.tail, m.since = tail, now
	}
	return now.Sub(m.since) < refillWait
}

// over forgets: the shard lacks nothing.
func (m *missing) over() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tail, m.since = "", time.Time{}
}
