package router

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// numbers is a queue whose lanes answer each number with its double, after some
// time, and note how large batches were and how many ran at once.
type numbers struct {
	*queue[int, int]
	stop                           chan struct{}
	served, running, most, largest atomic.Int64
}

func newNumbers(lanes int, limit weight, took time.Duration) *numbers {
	k := &Keyspace{settings: Settings{RequestTimeout: time.Minute}, stopped: make(chan struct{})}
	k.metrics, _ = newMetrics(nil)
	n := &numbers{stop: k.stopped}
	serve := func(batch []*item[int, int]) {
		raise(&n.most, n.running.Add(1))
		raise(&n.largest, int64(len(batch)))
		time.Sleep(took) // the clock of the bubble
		n.served.Add(int64(len(batch)))
		n.running.Add(-1)
		for _, it := range batch {
			it.finish(2*it.request, nil)
		}
	}
	n.queue = newQueue[int, int](k, k.stopped, "test", func(*int) weight { return weight{requests: 1} }, limit)
	for range lanes {
		n.start(serve)
	}
	return n
}

// close stops the queue and waits for its lanes.
func (n *numbers) close() {
	close(n.stop)
	n.wait()
}

func raise(to *atomic.Int64, value int64) {
	for old := to.Load(); value > old && !to.CompareAndSwap(old, value); old = to.Load() {
	}
}

// TestQueueAnswersEveryone: whoever waits is answered with their own result, whoever
// gives up is told whether the request was sent, no more calls run at once than
// there are lanes.
func TestQueueAnswersEveryone(t *testing.T) {
	t.Parallel()
	for _, lanes := range []int{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			const callers, limit = 400, 7
			n := newNumbers(lanes, weight{requests: limit}, time.Millisecond)
			random := rand.New(rand.NewPCG(uint64(lanes), 1))
			var sent atomic.Int64
			var all sync.WaitGroup
			for i := range callers {
				ctx, cancel := context.WithCancel(t.Context())
				if random.IntN(3) == 0 {
					ctx, cancel = context.WithTimeout(t.Context(), time.Duration(random.IntN(40))*time.Millisecond)
				}
				start := time.Duration(random.IntN(20)) * time.Millisecond
				all.Go(func() {
					defer cancel()
					time.Sleep(start)
					switch got, err := n.do(ctx, i); {
					case err == nil && got != 2*i:
						t.Errorf("%d was answered with %d", i, got)
					case err == nil, errors.Is(err, ErrOutcomeUnknown):
						sent.Add(1)
					case !errors.Is(err, ErrUnavailable):
						t.Errorf("%d: %v", i, err)
					}
				})
			}
			all.Wait()
			n.close()
			if n.served.Load() != sent.Load() {
				t.Errorf("%d requests were served, %d callers think so", n.served.Load(), sent.Load())
			}
			if n.most.Load() > int64(lanes) || n.largest.Load() > limit || n.largest.Load() < 2 {
				t.Errorf("%d calls at once on %d lanes, the largest of %d requests", n.most.Load(), lanes, n.largest.Load())
			}
		})
	}
}

// TestStoppedQueue answers what a lane has taken, answers or refuses what is queued,
// and refuses what comes later.
func TestStoppedQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNumbers(1, weight{requests: 1}, time.Second)
		var answered, refused atomic.Int64
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				switch got, err := n.do(t.Context(), i); {
				case err == nil && got == 2*i:
					answered.Add(1)
				case errors.Is(err, ErrStopped):
					refused.Add(1)
				default:
					t.Errorf("%d: %d, %v", i, got, err)
				}
			})
		}
		synctest.Wait()
		n.close()
		all.Wait()
		if answered.Load() < 1 || answered.Load()+refused.Load() != 3 {
			t.Errorf("%d answered, %d refused of 3, one of which was under way", answered.Load(), refused.Load())
		}
		if _, err := n.do(t.Context(), 9); !errors.Is(err, ErrStopped) {
			t.Errorf("after the stop: %v", err)
		}
	})
}

// TestQueueTimeout: a request that was taken but not answered in time is unknown,
// one that was still queued was not sent.
func TestQueueTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNumbers(1, weight{requests: 2}, 3*time.Minute)
		results := make(chan error, 4)
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Second)
				_, err := n.do(t.Context(), i)
				results <- err
			})
		}
		all.Wait()
		close(results)
		var unsent int
		for err := range results {
			if errors.Is(err, ErrUnavailable) {
				unsent++
			}
		}
		if unsent != 3 {
			t.Errorf("%d requests were not sent, want the 3 that waited behind the first", unsent)
		}
		n.close()
	})
}

// BenchmarkQueue is what a request costs on its way through a queue, at a lane
// that answers at once.
func BenchmarkQueue(b *testing.B) {
	k := &Keyspace{settings: Settings{RequestTimeout: time.Minute}, stopped: make(chan struct{})}
	k.metrics, _ = newMetrics(nil)
	q := newQueue[*int, committed](k, k.stopped, "test", func(**int) weight { return weight{requests: 1} }, weight{requests: 512})
	q.start(func(batch []*item[*int, committed]) {
		for _, it := range batch {
			it.finish(committed{}, nil)
		}
	})
	b.ReportAllocs()
	b.SetParallelism(50)
	b.RunParallel(func(p *testing.PB) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		request := new(int)
		for p.Next() {
			if _, err := q.do(ctx, request); err != nil {
				b.Error(err)
				return
			}
		}
	})
	close(k.stopped)
	q.wait()
}
