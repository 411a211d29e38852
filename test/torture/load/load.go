// Package load makes the calls and watches of a torture run and writes down what
// they were told.
//
// Clients call one after another, each through any frontend, and never repeat a
// call: one whose answer is lost has an unknown outcome. Nearly all they do meets
// on a handful of keys. No two calls put the same value, so that a value tells whose
// it is. Watchers go on where they were after every break, through any frontend.
//
// What is asked for follows from the seed alone as far as it can: what a call
// answers has a part in what its client asks for next.
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tierd/tierd/test/torture/history"
)

// Limits of a connection. It is tried again soon: that a frontend is back must not
// be noticed late.
const (
	reconnectMin     = 20 * time.Millisecond
	reconnectMax     = 250 * time.Millisecond
	reconnectTimeout = time.Second
)

// Settings are the choices of a run.
type Settings struct {
	Seed uint64
	// Clients is how many call at a time; each pauses for Pause on average.
	Clients int
	Pause   time.Duration
	// Timeout bounds a call, except for a few that give up at once.
	Timeout time.Duration
	// CallsMax bounds the calls of the run, so that they can be checked.
	CallsMax int
}

// Load is a run.
type Load struct {
	settings Settings
	began    time.Time
	view     *view
	groups   [][]services // one per client and watcher: a connection to each frontend

	calls        atomic.Int64
	acknowledged atomic.Int64
	stopCalls    context.CancelFunc
	calling      sync.WaitGroup
	clients      []*client

	// endEarly ends the streams from before Finish, stopWatching all.
	endEarly, stopWatching context.CancelFunc
	watching               sync.WaitGroup
	watchers               []*watcher
}

// services are what one connection leads to.
type services struct {
	conn  *grpc.ClientConn
	kv    pb.KVClient
	lease pb.LeaseClient
	watch pb.WatchClient
}

// Start begins a run on some frontends. Stop ends the calls, Finish the run.
func Start(settings Settings, endpoints []string) (*Load, error) {
	l := &Load{settings: settings, began: time.Now(), view: newView()}
	var calls, watches, early context.Context
	calls, l.stopCalls = context.WithCancel(context.Background())
	watches, l.stopWatching = context.WithCancel(context.Background())
	early, l.endEarly = context.WithCancel(watches)
	for id, plan := range plans() {
		group, err := l.connect(endpoints)
		if err != nil {
			l.Abort()
			return nil, err
		}
		w := newWatcher(l, id, plan, group, l.random(id, 1))
		l.watchers = append(l.watchers, w)
		l.watching.Go(func() { w.run(watches, early) })
	}
	for id := range settings.Clients {
		group, err := l.connect(endpoints)
		if err != nil {
			l.Abort()
			return nil, err
		}
		c := newClient(l, id, group, l.random(id, 0))
		l.clients = append(l.clients, c)
		l.calling.Go(func() { c.run(calls) })
	}
	return l, nil
}

func (l *Load) random(id int, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(l.settings.Seed, stream<<32|uint64(id)))
}

// connect opens a connection to each frontend.
func (l *Load) connect(endpoints []string) ([]services, error) {
	group := make([]services, 0, len(endpoints))
	for _, endpoint := range endpoints {
		u, err := url.Parse(endpoint)
		if err != nil {
			return nil, fmt.Errorf("endpoint %q: %w", endpoint, err)
		}
		conn, err := grpc.NewClient("passthrough:///"+u.Host,
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: reconnectMin, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectMax},
				MinConnectTimeout: reconnectTimeout,
			}))
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", endpoint, err)
		}
		group = append(group, services{conn, pb.NewKVClient(conn), pb.NewLeaseClient(conn), pb.NewWatchClient(conn)})
	}
	l.groups = append(l.groups, group)
	return group, nil
}

// Now is the time of the history.
func (l *Load) Now() history.Time { return history.Time(time.Since(l.began)) }

// Acknowledged is how many calls were acknowledged so far.
func (l *Load) Acknowledged() int64 { return l.acknowledged.Load() }

// Exhausted says that the run has made as many calls as it may.
func (l *Load) Exhausted() bool { return l.calls.Load() >= int64(l.settings.CallsMax) }

// Stop ends the calls and waits for those under way. The watches go on.
func (l *Load) Stop() {
	l.stopCalls()
	l.calling.Wait()
}

// Barrier puts a key through each frontend, after Stop: what a frontend was still
// doing for calls that had given up is over when that is answered. It goes on
// until it is or the context ends.
func (l *Load) Barrier(ctx context.Context) error {
	c := l.clients[0]
	for c.frontend = range c.services {
		for {
			c.call(c.requests.put())
			if c.operations[len(c.operations)-1].Outcome == history.Acknowledged {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("frontend %d does not acknowledge a put: %s", c.frontend, c.operations[len(c.operations)-1].Error)
			}
			wait(ctx, failurePause)
		}
	}
	return nil
}

// Finish waits until every watch was told of everything up to the last revision,
// and gives the history. The error names those that were not within the bound;
// the history is there all the same.
func (l *Load) Finish(last int64, bound time.Duration) (*history.History, error) {
	for _, w := range l.watchers {
		w.target.Store(last)
	}
	l.endEarly()
	done := make(chan struct{})
	go func() { l.watching.Wait(); close(done) }()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	var err error
	select {
	case <-done:
	case <-timer.C:
		err = fmt.Errorf("not every watch was told of everything up to revision %d within %v:%s", last, bound, l.behind(last))
	}
	l.Abort()
	<-done
	return l.history(last), err
}

func (l *Load) behind(last int64) string {
	text := ""
	for _, w := range l.watchers {
		if at := w.slowest.Load(); at <= last {
			text += fmt.Sprintf(" watcher %d is at %d;", w.id, at-1)
		}
	}
	return text
}

// Abort ends everything at once. It may be called at any time.
func (l *Load) Abort() {
	l.Stop()
	l.endEarly()
	l.stopWatching()
	l.watching.Wait()
	for _, group := range l.groups {
		for _, s := range group {
			_ = s.conn.Close() // says only that it was closed before
		}
	}
}
