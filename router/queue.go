package router

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// queue batches calls naturally: a lane takes all that has queued up while its
// last call was under way, up to its limits, and sends it as one call. Nothing
// waits for a batch to fill, but for callers who are ready to run.
type queue[Q, R any] struct {
	items   chan *item[Q, R]
	timeout time.Duration
	stopped <-chan struct{}
	// weigh says what a request adds to a batch, which ends at limit.
	weigh func(*Q) weight
	limit weight
	sizes prometheus.Observer
	lanes sync.WaitGroup
	// free holds items whose requests were answered, for later ones.
	free sync.Pool
}

// weight is what a request adds to a batch.
type weight struct{ requests, bytes, strings int }

func (w weight) plus(v weight) weight {
	return weight{w.requests + v.requests, w.bytes + v.bytes, w.strings + v.strings}
}

func (w weight) exceeds(limit weight) bool {
	return w.requests > limit.requests || w.bytes > limit.bytes || w.strings > limit.strings
}

// item is one request on its way. Whoever moves it on from queued owns it: a
// lane, or its caller who gave up.
type item[Q, R any] struct {
	request Q
	state   atomic.Int32
	done    chan answer[R]
	// limit ends the caller's waiting.
	limit *time.Timer
}

type answer[R any] struct {
	result R
	err    error
}

const (
	itemQueued int32 = iota
	itemTaken
	itemAbandoned
)

// queueItemsMax bounds the requests that wait in one queue; beyond, callers are
// told ErrTooManyRequests.
const queueItemsMax = 16384

func newQueue[Q, R any](k *Keyspace, stopped <-chan struct{}, name string, weigh func(*Q) weight, limit weight) *queue[Q, R] {
	return &queue[Q, R]{
		items: make(chan *item[Q, R], queueItemsMax), timeout: k.settings.RequestTimeout,
		stopped: stopped, weigh: weigh, limit: limit, sizes: k.metrics.batches.WithLabelValues(name),
	}
}

// start runs a lane until the queue stops. serve answers every item it is given,
// and keeps none.
func (q *queue[Q, R]) start(serve func(batch []*item[Q, R])) {
	q.lanes.Go(func() {
		var batch []*item[Q, R]
		var left *item[Q, R]
		for {
			first := left
			if first == nil {
				select {
				case first = <-q.items:
				case <-q.stopped:
					q.refuse()
					return
				}
			}
			q.gather()
			batch, left = q.collect(first, batch[:0])
			if len(batch) > 0 {
				q.sizes.Observe(float64(len(batch)))
				serve(batch)
			}
		}
	})
}

// refuse answers what is queued when the queue stops.
func (q *queue[Q, R]) refuse() {
	var none R
	for {
		select {
		case it := <-q.items:
			if it.state.CompareAndSwap(itemQueued, itemTaken) {
				it.finish(none, ErrStopped)
			}
		default:
			return
		}
	}
}

// gather lets others run for as long as requests come of it. A lane is woken by the
// first request and would run before the callers of the next ones, which arrived
// with it: its batches would be small, and dear.
func (q *queue[Q, R]) gather() {
	for queued := -1; queued < len(q.items) && queued < q.limit.requests; {
		queued = len(q.items)
		runtime.Gosched()
	}
}

// collect adds what is queued to a batch, and gives back an item that did not fit.
func (q *queue[Q, R]) collect(first *item[Q, R], batch []*item[Q, R]) (_ []*item[Q, R], left *item[Q, R]) {
	var total weight
	for next := first; ; {
		if total = total.plus(q.weigh(&next.request)); len(batch) > 0 && total.exceeds(q.limit) {
			return batch, next
		}
		if next.state.CompareAndSwap(itemQueued, itemTaken) {
			batch = append(batch, next)
		}
		select {
		case next = <-q.items:
		default:
			return batch, nil
		}
	}
}

// take gives an item for a request.
func (q *queue[Q, R]) take(request Q) *item[Q, R] {
	it, ok := q.free.Get().(*item[Q, R])
	if !ok {
		return &item[Q, R]{request: request, done: make(chan answer[R], 1), limit: time.NewTimer(q.timeout)}
	}
	it.request = request
	it.state.Store(itemQueued)
	it.limit.Reset(q.timeout)
	return it
}

// give keeps an item for later that no lane knows (any more).
func (q *queue[Q, R]) give(it *item[Q, R]) {
	var none Q
	it.request = none
	it.limit.Stop()
	q.free.Put(it)
}

// isStopped says whether the queue takes no more requests.
func (q *queue[Q, R]) isStopped() bool {
	select {
	case <-q.stopped:
		return true
	default:
		return false
	}
}

// do sends a request and waits for its answer. An error is ErrTooManyRequests,
// ErrUnavailable or ErrStopped when nothing was done, ErrOutcomeUnknown when the
// time ran out while the request was under way, or what the lane answered.
func (q *queue[Q, R]) do(ctx context.Context, request Q) (R, error) {
	var none R
	if q.isStopped() {
		return none, ErrStopped
	}
	it := q.take(request)
	select {
	case q.items <- it:
	default:
		q.give(it)
		return none, ErrTooManyRequests
	}
	// The lanes may have ended between the look at stopped and the send; they end
	// after it is closed, so a second look finds out.
	if q.isStopped() && it.state.CompareAndSwap(itemQueued, itemAbandoned) {
		return none, ErrStopped
	}
	var cause error
	select {
	case a := <-it.done:
		q.give(it)
		return a.result, a.err
	case <-ctx.Done():
		cause = ctx.Err()
	case <-it.limit.C:
		cause = fmt.Errorf("no answer within %v", q.timeout)
	}
	if it.state.CompareAndSwap(itemQueued, itemAbandoned) {
		return none, fmt.Errorf("request was not sent: %w: %w", ErrUnavailable, cause)
	}
	select {
	case a := <-it.done:
		return a.result, a.err
	default:
		return none, fmt.Errorf("%w: %w", ErrOutcomeUnknown, cause)
	}
}

// wait returns when all lanes have ended.
func (q *queue[Q, R]) wait() { q.lanes.Wait() }

// finish answers one item.
func (it *item[Q, R]) finish(result R, err error) {
	it.done <- answer[R]{result, err}
}

// failAll answers all items of a batch with one error.
func failAll[Q, R any](batch []*item[Q, R], err error) {
	var none R
	for _, it := range batch {
		it.finish(none, err)
	}
}
