//go:build bench

package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

const (
	watchers = 100
	// putsPerSecond is the pace of the writes that are watched, whatever the answers.
	putsPerSecond = 1000
	// writers is how many paced puts may be under way at once.
	writers = 200
	// deliveryBound is how long after the last put its event may come.
	deliveryBound = time.Minute
)

// fanOut is writes at a steady pace below one prefix, delivered to many watchers of
// that prefix. An operation is one event at one watcher; its latency runs from the
// call of the put to its arrival.
func fanOut() workload {
	name := fmt.Sprintf("watch, %d watchers x %s puts per second", watchers, thousands(putsPerSecond))
	return workload{name: name, bars: []bar{{p99, 1.0}}, prepare: func(ctx context.Context, s *system) (load, error) {
		f := &fan{folder: newFolder("watch", 1000, 512), conns: s.dial(connectionsFew), base: time.Now()}
		for i := range watchers {
			if err := f.open(ctx, f.conns[i%len(f.conns)]); err != nil {
				return nil, fmt.Errorf("open watch %d: %w", i, err)
			}
		}
		return f.load, nil
	}}
}

// fan is the state of the workload on one system.
type fan struct {
	folder  folder
	conns   []client
	streams []pb.Watch_WatchClient
	// base is what the times in values count from.
	base time.Time
}

// open opens a watch of the folder, on a stream of its own that ends with ctx.
func (f *fan) open(ctx context.Context, c client) error {
	stream, err := c.watch.Watch(ctx)
	if err != nil {
		return err
	}
	create := &pb.WatchCreateRequest{Key: []byte(f.folder.prefix), RangeEnd: f.folder.end()}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		return err
	}
	answer, err := stream.Recv()
	if err != nil {
		return err
	}
	if !answer.Created || answer.Canceled {
		return fmt.Errorf("not created: %s", answer.CancelReason)
	}
	f.streams = append(f.streams, stream)
	return nil
}

// load puts at the pace for the duration and returns when every watcher has seen
// every put.
func (f *fan) load(ctx context.Context, duration time.Duration) (observation, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	count := int(duration.Seconds() * putsPerSecond)
	perWatcher := slices.Repeat([][]time.Duration{nil}, len(f.streams))
	delivered := make(chan error, len(f.streams))
	started := time.Now()
	for i, stream := range f.streams {
		go func() {
			var err error
			perWatcher[i], err = f.receive(stream, count)
			delivered <- err
		}()
	}
	if err := f.paced(ctx, started, count); err != nil {
		return observation{}, err
	}
	bound := time.NewTimer(deliveryBound)
	defer bound.Stop()
	for done := range f.streams {
		select {
		case err := <-delivered:
			if err != nil {
				return observation{}, err
			}
		case <-bound.C:
			return observation{}, fmt.Errorf("%d of %d watchers have every event %v after the last put", done, len(f.streams), deliveryBound)
		}
	}
	return observation{elapsed: time.Since(started), latencies: slices.Concat(perWatcher...)}, nil
}

// receive waits for so many events and returns how old each was.
func (f *fan) receive(stream pb.Watch_WatchClient, count int) ([]time.Duration, error) {
	ages := make([]time.Duration, 0, count)
	for len(ages) < count {
		answer, err := stream.Recv()
		if err != nil {
			return nil, fmt.Errorf("receive event %d: %w", len(ages), err)
		}
		if answer.Canceled {
			return nil, fmt.Errorf("watch canceled after %d events: %s", len(ages), answer.CancelReason)
		}
		now := time.Since(f.base)
		for _, event := range answer.Events {
			ages = append(ages, now-time.Duration(binary.BigEndian.Uint64(event.Kv.Value)))
		}
	}
	return ages, nil
}

// paced makes the puts, each in its time or, where the generator is late, as soon as
// it can. The clock of a put runs from when it is handed over, waiting for a free
// writer included.
func (f *fan) paced(ctx context.Context, started time.Time, count int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type handOver struct {
		n  int
		at time.Duration
	}
	queue := make(chan handOver, count)
	var workers sync.WaitGroup
	for range writers {
		workers.Go(func() {
			for put := range queue {
				value := slices.Clone(f.folder.value(put.n))
				binary.BigEndian.PutUint64(value, uint64(put.at))
				_, err := f.conns[put.n%len(f.conns)].kv.Put(ctx, &pb.PutRequest{Key: f.folder.key(put.n), Value: value})
				if err != nil {
					cancel(fmt.Errorf("put %d: %w", put.n, err))
				}
			}
		})
	}
	ticker := time.NewTicker(time.Second / putsPerSecond)
	defer ticker.Stop()
	for n := 0; n < count; {
		<-ticker.C
		for due := int(time.Since(started).Seconds() * putsPerSecond); n < min(due, count); n++ {
			queue <- handOver{n, time.Since(f.base)}
		}
	}
	close(queue)
	workers.Wait()
	return context.Cause(ctx)
}
