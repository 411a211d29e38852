package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/torture/history"
)

const (
	// A session ends by itself after a random time between these.
	sessionMin, sessionMax = 300 * time.Millisecond, 5 * time.Second
	// progressEvery is how often progress is asked for, about.
	progressEvery = 150 * time.Millisecond
	// reopenPause follows a session that ended.
	reopenPause = 10 * time.Millisecond
)

// watcher keeps a stream of watches open, and goes on where it was on another
// stream whenever one ends.
type watcher struct {
	load     *Load
	id       int
	plan     plan
	services []services
	random   *rand.Rand

	// target is the revision to come to before it may end; 0 while there is none.
	target atomic.Int64
	// slowest is the least of next.
	slowest atomic.Int64

	// What follows belongs to run. next are the revisions at which each watch goes
	// on; 0 where it has not begun.
	next     []int64
	sessions []*history.Session
}

func newWatcher(l *Load, id int, p plan, group []services, random *rand.Rand) *watcher {
	w := &watcher{load: l, id: id, plan: p, services: group, random: random, next: make([]int64, len(p.watches))}
	for i := range w.next {
		w.next[i] = p.begin
	}
	if p.everything {
		l.view.follow(id, 0)
	}
	return w
}

// run opens one stream after another until everything was told or the context
// ends. Streams from before there is a target end with ctxEarly: they may have a
// watch that begins beyond it.
func (w *watcher) run(ctx, ctxEarly context.Context) {
	for ctx.Err() == nil {
		parent := ctx
		if w.target.Load() == 0 {
			parent = ctxEarly
		}
		life := sessionMin + time.Duration(w.random.Int64N(int64(sessionMax-sessionMin)))
		bounded, cancel := context.WithTimeout(parent, life)
		s := &stream{watcher: w, frontend: w.random.IntN(len(w.services))}
		caughtUp := s.run(bounded)
		cancel()
		if caughtUp {
			return
		}
		wait(ctx, reopenPause)
	}
}

// starts are where the watches of the next stream begin. In the end none begins
// beyond the target: as in etcd there is no progress of a stream with such a one.
func (w *watcher) starts() []int64 {
	starts := slices.Clone(w.next)
	if target := w.target.Load(); target > 0 {
		for i := range starts {
			starts[i] = min(starts[i], target)
		}
		copy(w.next, starts) // what this stream tells has to be complete by itself
		return starts
	}
	if !w.plan.wanders {
		return starts
	}
	revision, compacted := w.load.view.bounds()
	for i := range starts {
		starts[i] = max(1, compacted-2) + w.random.Int64N(max(1, revision-compacted+4))
	}
	return starts
}

// advance notes that a watch was told of everything below a revision.
func (w *watcher) advance(watch int, next int64) {
	w.next[watch] = max(w.next[watch], next)
	if w.plan.everything {
		w.load.view.follow(w.id, w.next[watch]-1)
	}
}

// caughtUp says whether all watches have come to the target.
func (w *watcher) caughtUp() bool {
	slowest := w.next[0]
	for _, n := range w.next {
		slowest = min(slowest, n)
	}
	w.slowest.Store(slowest)
	target := w.target.Load()
	return target > 0 && slowest > target
}

// stream is one stream of a watcher, with a session for each watch.
type stream struct {
	watcher  *watcher
	frontend int
	sessions []*history.Session
	// parts are the fragments of a response of which more are to come.
	parts map[int64]*history.Delivery
}

// run opens the stream and takes what it tells until it ends. It gives true if
// everything was told.
func (s *stream) run(ctx context.Context) (caughtUp bool) {
	w := s.watcher
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client, err := w.services[s.frontend].watch.Watch(ctx)
	if err != nil {
		return false
	}
	starts := w.starts()
	for i, watch := range w.plan.watches {
		r := proto.CloneOf(watch)
		r.WatchId, r.StartRevision, r.Fragment = int64(i+1), starts[i], w.random.IntN(4) == 0
		s.sessions = append(s.sessions, &history.Session{Watcher: w.id*10 + i, Frontend: s.frontend, Request: r, Requested: w.load.Now()})
		if err := client.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}}); err != nil {
			break // Recv says why
		}
	}
	w.sessions = append(w.sessions, s.sessions...)
	asking := make(chan struct{})
	every := progressEvery/2 + time.Duration(w.random.Int64N(int64(progressEvery)))
	go func() { defer close(asking); askProgress(ctx, client, every) }()
	caughtUp, end := s.receive(client)
	cancel()
	<-asking
	for _, session := range s.sessions {
		if session.End == "" {
			session.End, session.Ended = end, w.load.Now()
		}
	}
	return caughtUp
}

// askProgress asks for progress again and again until the stream ends.
func askProgress(ctx context.Context, client pb.Watch_WatchClient, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		request := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
		if client.Send(request) != nil {
			return // Recv says why
		}
	}
}

// receive takes responses until the stream or one of its watches ends.
func (s *stream) receive(client pb.Watch_WatchClient) (caughtUp bool, end string) {
	s.parts = make(map[int64]*history.Delivery)
	for {
		response, err := client.Recv()
		if err != nil {
			return false, err.Error()
		}
		if canceled := s.take(response); canceled {
			return false, "another watch of its stream has ended"
		}
		if s.watcher.caughtUp() {
			return true, history.CaughtUp
		}
	}
}

// take writes down one response.
func (s *stream) take(r *pb.WatchResponse) (canceled bool) {
	now := s.watcher.load.Now()
	for i, session := range s.sessions {
		if r.WatchId != int64(i+1) && r.WatchId != -1 {
			continue
		}
		switch {
		case r.Canceled:
			session.End, session.Ended, session.CompactRevision = fmt.Sprintf("canceled: %s", r.CancelReason), now, r.CompactRevision
			s.watcher.advance(i, r.CompactRevision)
			canceled = true
		case r.Created:
			session.Created, session.CreatedRevision = now, r.Header.Revision
			if session.Request.StartRevision == 0 {
				s.watcher.advance(i, r.Header.Revision+1)
			}
		case len(r.Events) == 0 && session.Created == 0:
			// Progress of the stream, of which this watch is not yet a part.
		default:
			s.deliver(i, session, r, now)
		}
	}
	return canceled
}

// deliver writes down events or progress.
func (s *stream) deliver(i int, session *history.Session, r *pb.WatchResponse, now history.Time) {
	d := &history.Delivery{At: now, Revision: r.Header.Revision, Events: r.Events, Progress: len(r.Events) == 0}
	if part := s.parts[r.WatchId]; part != nil {
		part.Events = append(part.Events, r.Events...)
		d = part
	}
	delete(s.parts, r.WatchId)
	if r.Fragment {
		s.parts[r.WatchId] = d
		return
	}
	session.Deliveries = append(session.Deliveries, *d)
	if d.Progress {
		s.watcher.advance(i, d.Revision+1)
		return
	}
	s.watcher.advance(i, d.Events[len(d.Events)-1].Kv.ModRevision+1)
}
