//go:build bench

package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Connections of a load: as many as clients up to the first number, which also
// serves 100 clients; the second for the loads of 1,000.
const (
	connectionsFew  = 10
	connectionsMany = 50
)

// load puts a system under load for about a duration. It may be called many times.
type load func(ctx context.Context, duration time.Duration) (observation, error)

// observation is what the clients saw of one round.
type observation struct {
	elapsed   time.Duration
	latencies []time.Duration // of each operation, in no order
}

// call is one operation, the i-th of a worker.
type call func(ctx context.Context, c client, worker, i int) error

// connections is how many connections so many clients share.
func connections(clients int) int {
	if clients > 100 {
		return connectionsMany
	}
	return min(clients, connectionsFew)
}

// closedLoop is the load of clients that each make the next call once the last one
// is answered.
func closedLoop(s *system, clients int, make call) load {
	conns := s.dial(connections(clients))
	return func(ctx context.Context, duration time.Duration) (observation, error) {
		return loops(ctx, clients, duration, func(ctx context.Context, worker, i int) error {
			return make(ctx, conns[worker%len(conns)], worker, i)
		})
	}
}

// loops runs workers that each make the next call once the last one has returned, until
// the time is over or one fails.
func loops(ctx context.Context, count int, duration time.Duration, make func(ctx context.Context, worker, i int) error) (observation, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	perWorker := slices.Repeat([][]time.Duration{nil}, count)
	var workers sync.WaitGroup
	started := time.Now()
	for worker := range count {
		workers.Go(func() {
			for begin, i := time.Now(), 0; begin.Sub(started) < duration; i++ {
				if err := make(ctx, worker, i); err != nil {
					cancel(fmt.Errorf("operation %d of client %d: %w", i, worker, err))
					return
				}
				end := time.Now()
				perWorker[worker] = append(perWorker[worker], end.Sub(begin))
				begin = end
			}
		})
	}
	workers.Wait()
	return observation{elapsed: time.Since(started), latencies: slices.Concat(perWorker...)}, context.Cause(ctx)
}
