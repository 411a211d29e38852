package feed

import (
	"cmp"
	"context"
	"sort"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/router"
)

// Request describes a watch.
type Request struct {
	// Key is the watched key, or the first of [Key, End) where Range is set. An
	// empty End is above all keys. Key is below End.
	Key, End []byte
	Range    bool
	// Start is the first revision of interest; 0 means those after the current
	// one. Never negative.
	Start Revision
	// PrevKV asks for the values that the events replaced.
	PrevKV bool
	// NoPut and NoDelete leave out the events of that type.
	NoPut, NoDelete bool
	// Holder is who has the right to watch this, by the auth data of version Auth.
	Holder string
	Auth   int64
	// Tag is for the caller: Watcher.Tag returns it.
	Tag any
}

func (r *Request) view() view {
	return view{
		key: string(r.Key), end: string(r.End), single: !r.Range,
		prevKV: r.PrevKV, noPut: r.NoPut, noDelete: r.NoDelete,
	}
}

// standing says how a watcher is fed.
type standing int

const (
	// gone: it is fed no more.
	gone standing = iota
	// live: it has been given everything below Feed.next.
	live
	// waiting: it catches up, and its turn will come.
	waiting
	// parked: it catches up, and its stream has no room.
	parked
)

// Watcher is one watch of a stream.
type Watcher struct {
	stream *Stream
	tag    any
	holder string
	// floor is the lowest revision whose progress means something to the client:
	// the start revision, and the one that the Created item told.
	floor Revision

	// Guarded by Feed.mu. next is the first revision that the watcher has not been
	// given and wants; while it is live, Feed.next counts where that is above it.
	// place is where group.live holds it.
	group    *group
	standing standing
	next     Revision
	place    int

	// canceled is guarded by Stream.mu: what is queued is not to be sent.
	canceled bool
}

// Tag is what the Request held.
func (w *Watcher) Tag() any { return w.tag }

// Watch adds a watcher. A Created item is queued for it before anything else of
// it; where the start revision is compacted, an Overtaken item follows, and where the
// right is gone meanwhile a Revoked one. Watch
// waits while too many answers are queued, and while the source is out of reach.
// The error is ctx's, the stream's, or a fatal one of the source.
func (s *Stream) Watch(ctx context.Context, r Request) (*Watcher, error) {
	f := s.feed
	if err := s.reserve(ctx); err != nil {
		return nil, err
	}
	current, compacted, err := f.askPatiently(ctx, s.done)
	if err != nil {
		s.unreserve()
		if s.Err() != nil {
			err = s.Err()
		}
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.err != nil {
		s.unreserve()
		return nil, s.err
	}
	w := &Watcher{stream: s, tag: r.Tag, holder: r.Holder, floor: max(r.Start, current), next: r.Start}
	if r.Start == 0 {
		w.next = current + 1
	}
	s.put(Item{Kind: Created, Watcher: w, Revision: current})
	if w.next < compacted {
		s.put(Item{Kind: Overtaken, Watcher: w, Compacted: compacted})
		return w, nil
	}
	v := r.view()
	if r.Auth < f.auth && !f.mayWatch(w.holder, &v) {
		s.put(Item{Kind: Revoked, Watcher: w})
		return w, nil
	}
	f.addLocked(w, v, current)
	return w, nil
}

// addLocked starts to feed w.
func (f *Feed) addLocked(w *Watcher, v view, current Revision) {
	if f.watchers++; f.follower == nil {
		f.followLocked(current + 1)
	}
	f.metrics.watchers.Inc()
	w.group = f.index.join(v)
	w.stream.watchers[w] = struct{}{}
	if w.next >= f.next {
		f.standLocked(w, live)
		return
	}
	f.standLocked(w, waiting)
	f.ready = append(f.ready, w)
	// The recent past is in memory, and then the watcher is live at once.
	if f.window.covers(w) {
		f.serveFromWindowLocked(w)
	}
	f.wakeCatchUpLocked()
}

// standLocked changes how w is fed, and keeps the books.
func (f *Feed) standLocked(w *Watcher, to standing) {
	from := w.standing
	w.standing = to
	if from == live {
		w.group.removeLive(w)
	}
	if to == live {
		w.group.addLive(w)
	}
	if slow := to == waiting || to == parked; slow != (from == waiting || from == parked) {
		if slow {
			f.metrics.slow.Inc()
		} else {
			f.metrics.slow.Dec()
		}
	}
}

// removeLocked stops feeding w.
func (f *Feed) removeLocked(w *Watcher) {
	if w.standing == gone {
		return
	}
	f.standLocked(w, gone)
	f.index.leave(w.group)
	delete(w.stream.watchers, w)
	f.metrics.watchers.Dec()
	if f.watchers--; f.watchers == 0 {
		f.unfollowLocked()
	}
}

// overtakeLocked ends w because what it needs has been compacted.
func (f *Feed) overtakeLocked(w *Watcher, compacted Revision) {
	f.removeLocked(w)
	w.stream.put(Item{Kind: Overtaken, Watcher: w, Compacted: compacted})
}

// Cancel ends a watcher of this stream, one that was Overtaken included. What is
// queued for it is dropped, and a Canceled item is queued. The error is ctx's or
// the stream's.
func (s *Stream) Cancel(ctx context.Context, w *Watcher) error {
	if err := s.reserve(ctx); err != nil {
		return err
	}
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if s.err != nil {
		s.unreserve()
		return s.err
	}
	s.feed.removeLocked(w)
	s.cancel(w)
	return nil
}

// offerLocked queues what a page holds for w; false means that there is no room,
// and nothing was queued.
func (w *Watcher) offerLocked(events []*mvccpb.Event, bytes int, header Revision) bool {
	if len(events) > 0 && Revision(events[0].Kv.ModRevision) < w.next {
		from := sort.Search(len(events), func(i int) bool { return Revision(events[i].Kv.ModRevision) >= w.next })
		events = events[from:]
		bytes = 0
		for _, ev := range events {
			bytes += eventBytes(ev)
		}
	}
	if len(events) == 0 {
		return true
	}
	return w.stream.offer(Item{Kind: Events, Watcher: w, Events: events, Revision: header}, bytes)
}

// lastRevision is the revision of the last event.
func lastRevision(events []*mvccpb.Event) Revision {
	return Revision(events[len(events)-1].Kv.ModRevision)
}

// askPatiently is ask, repeated until it is answered.
func (f *Feed) askPatiently(ctx context.Context, stop <-chan struct{}) (current, compacted Revision, err error) {
	pause := backoff{settings: &f.settings}
	for {
		current, compacted, err = f.ask(ctx, stop)
		if err == nil || fatal(err) || ctx.Err() != nil {
			return current, compacted, err
		}
		if !pause.wait(ctx, stop) {
			return 0, 0, cmp.Or(ctx.Err(), router.ErrStopped)
		}
	}
}
