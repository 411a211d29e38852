//go:build e2e

package terraform

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// workers are there from the beginning. Every other one comes anew now and then, as command line tools do.
	workers = 6
	// latecomers join when frontends were added, so that these have clients.
	latecomers   = 4
	callsPerLife = 15
	// keysPerWorker are spread over all keys, and so over all shards.
	keysPerWorker = 40
	// callBound is what a call may take at most, a failover included.
	callBound = 40 * time.Second
)

// write is one that was acknowledged.
type write struct {
	key, value string
	revision   int64
}

// load is a number of clients that work through the load balancer, until it is stopped.
type load struct {
	t      *testing.T
	dial   func() (*clientv3.Client, error)
	ctx    context.Context
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu       sync.Mutex // guards what follows
	progress *sync.Cond
	calls    []int // that succeeded, of each worker
	writes   []write
	// failures are errors that no client may see, allowed those around a kill.
	failures, allowed []error
	// windows are the times around kills; the last one is open if its end is zero.
	windows []window
}

type window struct{ from, to time.Time }

func startLoad(t *testing.T, endpoint string, config *tls.Config) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, ctx: ctx, cancel: cancel, dial: func() (*clientv3.Client, error) { return dial(endpoint, config) }}
	l.progress = sync.NewCond(&l.mu)
	l.more(workers)
	t.Cleanup(l.stop)
	return l
}

// more adds clients.
func (l *load) more(count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range count {
		w := &worker{load: l, number: len(l.calls), values: make(map[string]int), unknown: make(map[string][]int)}
		l.calls = append(l.calls, 0)
		l.wait.Go(func() { w.run(l.ctx) })
	}
}

// dial makes a client with a connection of its own.
func dial(endpoint string, config *tls.Config) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, TLS: config, DialTimeout: 20 * time.Second, Logger: zap.NewNop()})
}

// dialFor makes one that is closed when the test ends.
func dialFor(t *testing.T, endpoint string, config *tls.Config) *clientv3.Client {
	t.Helper()
	client, err := dial(endpoint, config)
	if err != nil {
		t.Fatalf("dial %s: %v", endpoint, err)
	}
	t.Cleanup(func() { _ = client.Close() }) // says only that its context was canceled
	return client
}

// stop ends the clients.
func (l *load) stop() {
	l.cancel()
	l.wait.Wait()
}

// steady waits until each worker has had calls answered from now on.
func (l *load) steady(calls int) {
	l.t.Helper()
	timer := time.AfterFunc(bound, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.failures = append(l.failures, fmt.Errorf("the load stood still for %v: calls %v", bound, l.calls))
		l.progress.Broadcast()
	})
	defer timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	from := append([]int(nil), l.calls...)
	for len(l.failures) == 0 {
		behind := false
		for i := range l.calls {
			behind = behind || l.calls[i] < from[i]+calls
		}
		if !behind {
			return
		}
		l.progress.Wait()
	}
}

// unharmed fails the test if a client has seen an error that it must not see.
func (l *load) unharmed(when string) {
	l.t.Helper()
	l.steady(20)
	l.mu.Lock()
	defer l.mu.Unlock()
	total := 0
	for _, calls := range l.calls {
		total += calls
	}
	l.t.Logf("%s: %d calls, %d errors around kills", when, total, len(l.allowed))
	for _, failure := range l.failures {
		l.t.Errorf("%s: a client was told: %v", when, failure)
	}
	if len(l.failures) > 0 {
		l.t.FailNow()
	}
}

// disturb does what calls under way may fail by, and what shows that it is over.
func (l *load) disturb(harm func()) {
	l.t.Helper()
	l.mu.Lock()
	l.windows = append(l.windows, window{from: time.Now()})
	l.mu.Unlock()
	harm()
	l.steady(20)
	l.mu.Lock()
	l.windows[len(l.windows)-1].to = time.Now()
	l.mu.Unlock()
}

// succeeded and failed note a call of a worker.
func (l *load) succeeded(worker int, written *write) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[worker]++
	if written != nil {
		l.writes = append(l.writes, *written)
	}
	l.progress.Broadcast()
}

func (l *load) failed(began time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, w := range l.windows {
		// The call was under way at some moment of the window.
		if began.Before(w.to) || w.to.IsZero() && now.After(w.from) {
			if now.After(w.from) && status.Code(err) == codes.Unavailable {
				l.allowed = append(l.allowed, err)
				return
			}
		}
	}
	l.failures = append(l.failures, fmt.Errorf("at %s, %v after the call began: %w", now.Format("15:04:05.000"), now.Sub(began), err))
	l.progress.Broadcast()
}

// worker is one client, with keys that it alone writes.
type worker struct {
	load   *load
	number int
	client *clientv3.Client
	// values are what its keys hold: the number of the last write that was done. Those in unknown may have been.
	values  map[string]int
	unknown map[string][]int
	last    int
}

func (w *worker) run(ctx context.Context) {
	defer w.leave()
	for i := 0; ctx.Err() == nil; i++ {
		if i == 0 || w.number%2 == 1 && i%callsPerLife == 0 {
			w.leave()
			if !w.come() {
				return
			}
		}
		n := i % keysPerWorker
		key := fmt.Sprintf("%c/load-%d-%02d", 'a'+rune(n*26/keysPerWorker), w.number, n)
		w.last++
		switch {
		case i%3 == 0 || i%3 == 1 && len(w.unknown[key]) > 0:
			w.put(ctx, key)
		case i%3 == 1:
			w.swap(ctx, key)
		default:
			w.get(ctx, key)
		}
	}
}

func (w *worker) come() bool {
	client, err := w.load.dial()
	if err != nil {
		w.load.failed(time.Now(), fmt.Errorf("dial: %w", err))
		return false
	}
	w.client = client
	return true
}

func (w *worker) leave() {
	if w.client != nil {
		_ = w.client.Close() // says only that its context was canceled
	}
}

func text(key string, number int) string { return fmt.Sprintf("%s=%d", key, number) }

// call makes one call, and notes what became of it.
func (w *worker) call(ctx context.Context, what string, do func(ctx context.Context) (*write, error)) bool {
	bounded, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	began := time.Now()
	written, err := do(bounded)
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		w.load.failed(began, fmt.Errorf("%s of worker %d: %w", what, w.number, err))
		return false
	}
	w.load.succeeded(w.number, written)
	return true
}

func (w *worker) put(ctx context.Context, key string) {
	value := w.last
	done := w.call(ctx, "put", func(ctx context.Context) (*write, error) {
		resp, err := w.client.Put(ctx, key, text(key, value))
		if err != nil {
			return nil, err
		}
		return &write{key, text(key, value), resp.Header.Revision}, nil
	})
	w.settle(key, value, done)
}

// swap writes on the condition that nobody else has written.
func (w *worker) swap(ctx context.Context, key string) {
	value, before := w.last, w.values[key]
	done := w.call(ctx, "compare-and-swap", func(ctx context.Context) (*write, error) {
		condition := clientv3.Compare(clientv3.Value(key), "=", text(key, before))
		if before == 0 {
			condition = clientv3.Compare(clientv3.Version(key), "=", 0)
		}
		resp, err := w.client.Txn(ctx).If(condition).Then(clientv3.OpPut(key, text(key, value))).Else(clientv3.OpGet(key)).Commit()
		if err != nil {
			return nil, err
		}
		if !resp.Succeeded {
			return nil, fmt.Errorf("%s is not %q any more but %v", key, text(key, before), resp.Responses[0].GetResponseRange().Kvs)
		}
		return &write{key, text(key, value), resp.Header.Revision}, nil
	})
	w.settle(key, value, done)
}

// settle notes what a key holds now. A write that failed may have been done, or be done still: whoever orders what a dead
// frontend left on a shard gives it its revision. That is over when a later write of the key was answered.
func (w *worker) settle(key string, value int, done bool) {
	if !done {
		w.unknown[key] = append(w.unknown[key], value)
		return
	}
	w.values[key] = value
	delete(w.unknown, key)
}

// get reads what was written last.
func (w *worker) get(ctx context.Context, key string) {
	w.call(ctx, "get", func(ctx context.Context) (*write, error) {
		resp, err := w.client.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		for _, possible := range append([]int{w.values[key]}, w.unknown[key]...) {
			if possible == 0 && len(resp.Kvs) == 0 || len(resp.Kvs) == 1 && string(resp.Kvs[0].Value) == text(key, possible) {
				return nil, nil
			}
		}
		return nil, fmt.Errorf("%s holds %v, and %d was written, and perhaps %v", key, resp.Kvs, w.values[key], w.unknown[key])
	})
}
