package router

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// queue batches calls naturally: a lane takes all that has queued up while its
// last call was under way, up to its limits, and sends it as one call. Nothing
// waits for a batch to fill.
type queue[Q, R any] struct {
	items   chan *item[Q, R]
	timeout time.Duration
	stopped <-chan struct{}
	// weigh says what a request adds to a batch, which ends at limit.
	weigh func(*Q) weight
	limit weight
	sizes prometheus.Observer
	lanes sync.WaitGroup
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

func newQueue[Q, R any](k *Keyspace, name string, weigh func(*Q) weight, limit weight) *queue[Q, R] {
	return &queue[Q, R]{
		items: make(chan *item[Q, R], queueItemsMax), timeout: k.settings.RequestTimeout,
		stopped: k.stopped, weigh: weigh, limit: limit, sizes: k.metrics.batches.WithLabelValues(name),
	}
}

// start runs a lane until the queue stops. serve answers every item it is given.
func (q *queue[Q, R]) start(serve func(batch []*item[Q, R])) {
	q.lanes.Go(func() {
		var left *item[Q, R]
		for {
			first := left
			left = nil
			if first == nil {
				select {
				case first = <-q.items:
				case <-q.stopped:
					return
				}
			}
			var batch []*item[Q, R]
			batch, left = q.collect(first)
			if len(batch) > 0 {
				q.sizes.Observe(float64(len(batch)))
				serve(batch)
			}
		}
	})
}

// collect takes what is queued, and gives back an item that did not fit.
func (q *queue[Q, R]) collect(first *item[Q, R]) (batch []*item[Q, R], left *item[Q, R]) {
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

// do sends a request and waits for its answer. An error is ErrTooManyRequests,
// ErrUnavailable or ErrStopped when nothing was done, ErrOutcomeUnknown when the
// time ran out while the request was under way, or what the lane answered.
func (q *queue[Q, R]) do(ctx context.Context, request Q) (R, error) {
	it := &item[Q, R]{request: request, done: make(chan answer[R], 1)}
	var none R
	select {
	case <-q.stopped:
		return none, ErrStopped
	default:
	}
	select {
	case q.items <- it:
	default:
		return none, ErrTooManyRequests
	}
	timer := time.NewTimer(q.timeout)
	defer timer.Stop()
	var cause error
	select {
	case a := <-it.done:
		return a.result, a.err
	case <-ctx.Done():
		cause = ctx.Err()
	case <-timer.C:
		cause = fmt.Errorf("no answer within %v", q.timeout)
	case <-q.stopped:
		cause = ErrStopped
	}
	if it.state.CompareAndSwap(itemQueued, itemAbandoned) {
		if errors.Is(cause, ErrStopped) {
			return none, ErrStopped
		}
		return none, fmt.Errorf("request was not sent: %w: %w", ErrUnavailable, cause)
	}
	select {
	case a := <-it.done:
		return a.result, a.err
	default:
	}
	if errors.Is(cause, ErrStopped) {
		a := <-it.done // the lane finishes what it has taken
		return a.result, a.err
	}
	return none, fmt.Errorf("%w: %w", ErrOutcomeUnknown, cause)
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
