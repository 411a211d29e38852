package auth

import (
	"sync"
	"time"
)

// recentMax bounds the tokens that a frontend remembers; about 150 bytes each.
const recentMax = 16384

// recent remembers what was found out about tokens, and when.
type recent[V any] struct {
	mu      sync.Mutex
	entries map[digest]*recentEntry[V]
}

type recentEntry[V any] struct {
	value V
	asked time.Time
	// asking says that somebody is finding it out again.
	asking bool
}

func newRecent[V any]() *recent[V] { return &recent[V]{entries: make(map[digest]*recentEntry[V])} }

// get gives what is known of a token if it is younger than most. When it is older than
// due, mine tells one of those who get it to find it out again, and then put, drop or
// release it; the others go on with what is known.
func (r *recent[V]) get(id digest, now time.Time, due, most time.Duration) (value V, mine, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[id]
	if e == nil || now.Sub(e.asked) >= most {
		return value, false, false
	}
	if now.Sub(e.asked) >= due && !e.asking {
		e.asking = true
		return e.value, true, true
	}
	return e.value, false, true
}

// put remembers what was found out at a time. Where there is no room, any other is forgotten.
func (r *recent[V]) put(id digest, value V, asked time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.entries[id]; !known && len(r.entries) >= recentMax {
		for other := range r.entries {
			delete(r.entries, other)
			break
		}
	}
	r.entries[id] = &recentEntry[V]{value: value, asked: asked}
}

func (r *recent[V]) drop(id digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.entries, id)
}

// release lets somebody else find it out.
func (r *recent[V]) release(id digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entries[id]; e != nil {
		e.asking = false
	}
}
