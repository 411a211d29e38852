//go:build e2e

package kubernetes_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// loadWorkers is how many clients write at the same time.
const loadWorkers = 6

// change is an acknowledged write.
type change struct {
	kind    string // as a watch names it
	name    string
	value   string
	version string // empty for deletions, whose answer does not tell it
}

// history is what one client knows of one object. Each object is written by one
// client, which leaves it alone after the first write whose outcome is unknown.
type history struct {
	acknowledged []change
	// uncertain is the write whose outcome is unknown, if there was one.
	uncertain *change
}

// load writes objects until it is stopped and remembers what was acknowledged.
type load struct {
	api       *apiClient
	namespace string
	stopping  chan struct{}
	workers   sync.WaitGroup
	count     atomic.Int64 // acknowledged writes so far

	mu        sync.Mutex // guards what follows
	histories map[string]history
	lastWrite time.Time     // of the newest acknowledged write
	longest   time.Duration // the longest time without one
}

func startLoad(api *apiClient, namespace string) *load {
	l := &load{
		api:       api,
		namespace: namespace,
		stopping:  make(chan struct{}),
		histories: map[string]history{},
		lastWrite: time.Now(),
	}
	for worker := range loadWorkers {
		l.workers.Go(func() { l.work(worker) })
	}
	return l
}

// stop ends the writing and waits until the last request has its answer.
func (l *load) stop() {
	close(l.stopping)
	l.workers.Wait()
}

// work gives object after object its life: created, replaced, and every third one
// deleted.
func (l *load) work(worker int) {
	for number := 0; ; number++ {
		select {
		case <-l.stopping:
			return
		default:
		}
		name := fmt.Sprintf("load-%d-%05d", worker, number)
		l.live(name, number%3 == 0)
	}
}

func (l *load) live(name string, deleted bool) {
	created, err := l.api.createConfigMap(l.namespace, name, "created")
	if !l.note(change{"ADDED", name, "created", created.Metadata.ResourceVersion}, err) {
		return
	}
	created.Data = map[string]string{"value": "replaced"}
	replaced, err := l.api.replaceConfigMap(l.namespace, created)
	if !l.note(change{"MODIFIED", name, "replaced", replaced.Metadata.ResourceVersion}, err) {
		return
	}
	if deleted {
		err := l.api.deleteConfigMap(l.namespace, name)
		l.note(change{"DELETED", name, "replaced", ""}, err)
	}
}

// note remembers the outcome of a write, and says whether it is known.
func (l *load) note(done change, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.histories[done.name]
	if err != nil {
		known.uncertain = &done
		l.histories[done.name] = known
		return false
	}
	known.acknowledged = append(known.acknowledged, done)
	l.histories[done.name] = known
	now := time.Now()
	l.longest = max(l.longest, now.Sub(l.lastWrite))
	l.lastWrite = now
	l.count.Add(1)
	return true
}

// takeLongest returns the longest time without an acknowledged write since it was
// last asked.
func (l *load) takeLongest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	longest := l.longest
	l.longest = 0
	return longest
}

// awaitWrites waits until so many more writes have been acknowledged.
func (l *load) awaitWrites(p *controlPlane, more int) {
	p.t.Helper()
	goal := l.count.Load() + int64(more)
	p.await(fmt.Sprintf("%d more acknowledged writes", more), conditionBound, func() error {
		if now := l.count.Load(); now < goal {
			return fmt.Errorf("%d are missing", goal-now)
		}
		return nil
	})
}
