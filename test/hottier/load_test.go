package hottier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

const (
	// writersPerFrontend write at once, each only through its frontend.
	writersPerFrontend = 4
	// callTimeout is how long a writer or reader waits for an answer: longer than a
	// failover takes, so that an answer of the old primary is heard, too.
	callTimeout = 10 * time.Second
	// pauseAfterFailure keeps those that are refused from doing nothing else.
	pauseAfterFailure = 10 * time.Millisecond
	// pauseBetween keeps the number of keys small.
	pauseBetween = time.Millisecond
	// writtenBetween is how many acknowledged writes of every frontend make it certain
	// that all goes on.
	writtenBetween = 50
	// written is the prefix of the load's keys; checkedPage how many are read at once.
	written     = "written/"
	checkedPage = 10_000
)

// write is an acknowledged put of a key that nobody else puts.
type write struct {
	key      string
	area     string
	frontend int
	revision int64
	at       time.Time
}

// load writes keys that are used once, and reads, through every frontend, while the
// test does something to the hot tier.
type load struct {
	t       *testing.T
	ctx     context.Context
	stop    context.CancelFunc
	clients []*clientv3.Client
	running sync.WaitGroup
	began   time.Time
	// areas are what the keys begin with, behind written: each writer has one.
	areas []string
	// mayBeStale says that reads may lack what was acknowledged before they began.
	mayBeStale bool
	// highest is the highest acknowledged revision.
	highest atomic.Int64
	// calm is held by every write under way, and by whoever wants none.
	calm sync.RWMutex

	mu      sync.Mutex // guards what follows
	writes  []write
	counts  []map[string]int // of writes, by frontend and area
	refused map[string]int   // failures of writes by what they say
	corrupt bool             // one of them was that the store is corrupt
	stale   []string         // reads that lacked what had been acknowledged
	notes   []string
	marks   []time.Time // when the notes were made
}

// startLoad starts it; it ends with check, or the test.
func startLoad(t *testing.T, frontends ...*cluster.Frontend) *load {
	t.Helper()
	return startLoadOn(t, []string{""}, frontends...)
}

// startLoadOn is startLoad in several areas of keys at once.
func startLoadOn(t *testing.T, areas []string, frontends ...*cluster.Frontend) *load {
	t.Helper()
	l := &load{t: t, began: time.Now(), areas: areas, refused: make(map[string]int)}
	l.ctx, l.stop = context.WithCancel(t.Context())
	for number, frontend := range frontends {
		client := frontend.Client()
		l.clients = append(l.clients, client)
		l.counts = append(l.counts, make(map[string]int))
		for writer := range writersPerFrontend {
			l.running.Go(func() { l.write(number, writer, client) })
		}
		l.running.Go(func() { l.read(number, client) })
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) end() {
	l.stop()
	l.running.Wait()
}

// pause waits, and says whether to go on.
func (l *load) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}

func (l *load) write(frontend, writer int, client *clientv3.Client) {
	area := l.areas[writer%len(l.areas)]
	for i := 0; l.ctx.Err() == nil; i++ {
		key := fmt.Sprintf("%s%sf%d-w%d-%06d", written, area, frontend+1, writer, i)
		l.calm.RLock()
		ctx, cancel := context.WithTimeout(l.ctx, callTimeout)
		response, err := client.Put(ctx, key, key)
		cancel()
		l.calm.RUnlock()
		if err != nil {
			if l.ctx.Err() == nil {
				l.failed(err)
			}
			l.pause(pauseAfterFailure)
			continue
		}
		l.acknowledged(write{key: key, area: area, frontend: frontend, revision: response.Header.Revision, at: time.Now()})
		l.pause(pauseBetween)
	}
}

// calmly does something while no write is under way.
func (l *load) calmly(do func()) {
	l.calm.Lock()
	defer l.calm.Unlock()
	do()
}

func (l *load) acknowledged(w write) {
	for {
		highest := l.highest.Load()
		if w.revision <= highest || l.highest.CompareAndSwap(highest, w.revision) {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = append(l.writes, w)
	l.counts[w.frontend][w.area]++
}

func (l *load) failed(err error) {
	text := cmp.Or(status.Convert(err).Message(), err.Error())
	if errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded {
		text = "no answer in time"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[text]++
	l.corrupt = l.corrupt || errors.Is(err, rpctypes.ErrCorrupt)
}

// read checks that reads see what was acknowledged before they began.
func (l *load) read(frontend int, client *clientv3.Client) {
	for l.ctx.Err() == nil {
		acknowledged := l.highest.Load()
		ctx, cancel := context.WithTimeout(l.ctx, callTimeout)
		response, err := client.Get(ctx, "nothing")
		cancel()
		if err == nil && response.Header.Revision < acknowledged {
			l.noteStale(fmt.Sprintf("%v: frontend %d answered at revision %d after %d was acknowledged",
				time.Since(l.began).Round(time.Millisecond), frontend+1, response.Header.Revision, acknowledged))
		}
		if err != nil {
			l.pause(pauseAfterFailure)
		} else {
			l.pause(pauseBetween)
		}
	}
}

func (l *load) noteStale(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stale = append(l.stale, what)
}

// note says in the log what the test has done, and when.
func (l *load) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.notes = append(l.notes, what)
	l.marks = append(l.marks, now)
}

// errCorrupt ends waiting for writes.
var errCorrupt = errors.New("the store says that it is corrupt")

// awaitWritten waits until every frontend has acknowledged more writes.
func (l *load) awaitWritten(more int) {
	l.t.Helper()
	if err := l.goesOn(more); err != nil {
		l.end()
		l.report()
		l.t.Fatalf("writes do not go on; the highest acknowledged revision is %d: %v", l.highest.Load(), err)
	}
}

// goesOn waits until every frontend has acknowledged more writes, or until one says
// that the store is corrupt.
func (l *load) goesOn(more int) error {
	return l.goOn(more, len(l.clients))
}

// goOn is goesOn for the first frontends.
func (l *load) goOn(more, frontends int) error { return l.goOnIn(more, frontends, l.areas...) }

// goOnIn is goOn in some areas alone.
func (l *load) goOnIn(more, frontends int, areas ...string) error {
	before := l.written()
	var corrupt error
	err := cluster.Poll(bound, func() error {
		if l.isCorrupt() {
			corrupt = errCorrupt
			return nil
		}
		for frontend, counts := range l.written()[:frontends] {
			for _, area := range areas {
				if got := counts[area] - before[frontend][area]; got < more {
					return fmt.Errorf("frontend %d has %d of %d in %q; refused: %v", frontend+1, got, more, area, l.refusals())
				}
			}
		}
		return nil
	})
	return cmp.Or(corrupt, err)
}

func (l *load) isCorrupt() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.corrupt
}

func (l *load) written() []map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var counts []map[string]int
	for _, c := range l.counts {
		counts = append(counts, maps.Clone(c))
	}
	return counts
}

func (l *load) refusals() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	refused := make(map[string]int, len(l.refused))
	for what, times := range l.refused {
		refused[what] = times
	}
	return refused
}
