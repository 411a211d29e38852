package feed

import (
	"context"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/router"
)

// Kind tells what an Item is.
type Kind int

const (
	// Answer carries what Stream.Answer was given, in Note.
	Answer Kind = iota
	// Created: the watcher exists. Revision is the current one at that moment.
	Created
	// Canceled: the watcher was canceled.
	Canceled
	// Events: whole revisions of the watcher's range. Revision is the last one
	// among them, or, for a watcher that catches up, the last one looked at.
	Events
	// Progress: all events up to Revision have come, of the watcher, or of all
	// watchers of the stream if Watcher is nil.
	Progress
	// Overtaken: what the watcher needs next lies below Compacted, and it has
	// ended. Revision is 0, as in etcd.
	Overtaken
	// Revoked: the watcher's holder may not see its range any more, and it has ended.
	Revoked
)

// Item is one thing to tell the client.
type Item struct {
	Kind    Kind
	Watcher *Watcher
	// Events are shared between watchers: they must not be changed.
	Events              []*mvccpb.Event
	Revision, Compacted Revision
	Note                any
}

// answers tells whether the item answers a request, and so holds a reservation.
func (i *Item) answers() bool {
	return i.Kind == Answer || i.Kind == Created || i.Kind == Canceled
}

// entry is an item in the queue; bytes is about its size.
type entry struct {
	Item
	bytes int
}

// Stream is the queue of one client's stream: everything that concerns its
// watchers, in the order in which it is to be sent. One goroutine takes items
// out; requests may come from another.
type Stream struct {
	feed          *Feed
	requireLeader bool
	// room holds one token for each queued answer.
	room  chan struct{}
	ready chan struct{}
	done  chan struct{}

	// Guarded by Feed.mu. err is set before done is closed. progressWanted are the
	// revisions that progress requests wait for, the oldest one first.
	err            error
	watchers       map[*Watcher]struct{}
	parked         []*Watcher
	progressWanted []Revision

	mu    sync.Mutex
	queue ring[entry]
	// held and heldBytes are the Events and Progress items in the queue.
	held, heldBytes int
	// starved: an offer was refused since the last time that there was room;
	// starvedBytes is the largest one refused.
	starved      bool
	starvedBytes int
}

// Open makes a stream. With requireLeader it ends with ErrNoLeader when the hot
// tier stays out of reach, and does not open while it is known to be.
func (f *Feed) Open(requireLeader bool) (*Stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, router.ErrStopped
	}
	s := &Stream{
		feed:          f,
		requireLeader: requireLeader,
		room:          make(chan struct{}, answersMax),
		ready:         make(chan struct{}, 1),
		done:          make(chan struct{}),
		watchers:      make(map[*Watcher]struct{}),
	}
	if requireLeader {
		if f.leaderMisses > 0 {
			return nil, ErrNoLeader
		}
		f.watchLeaderLocked()
	}
	f.streams[s] = struct{}{}
	f.metrics.streams.Inc()
	return s, nil
}

// Close forgets the stream and all its watchers. It may be called twice.
func (s *Stream) Close() {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, open := f.streams[s]; !open {
		return
	}
	f.endStreamLocked(s, router.ErrStopped)
	delete(f.streams, s)
	f.metrics.streams.Dec()
	if s.requireLeader {
		f.leaderStreams--
	}
	s.discard()
}

// endStreamLocked ends s with err, once; it stays open until Close.
func (f *Feed) endStreamLocked(s *Stream, err error) {
	if s.err != nil {
		return
	}
	s.err = err
	close(s.done)
	for w := range s.watchers {
		f.removeLocked(w)
	}
	s.parked = nil
	delete(f.progressAsked, s)
	delete(f.progressDue, s)
}

// Done is closed when the stream has ended; Err then says why. Items that are
// still queued need not be sent.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Err is nil while the stream lives.
func (s *Stream) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Ready receives after items were queued; Next then has one, unless it was
// taken already.
func (s *Stream) Ready() <-chan struct{} { return s.ready }

// Answer queues an item that is the caller's own, in its turn. It waits while
// too many answers are queued. The error is ctx's or the stream's.
func (s *Stream) Answer(ctx context.Context, note any) error {
	if err := s.reserve(ctx); err != nil {
		return err
	}
	s.put(Item{Kind: Answer, Note: note})
	return nil
}

// reserve waits for room for one answer.
func (s *Stream) reserve(ctx context.Context) error {
	select {
	case s.room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return s.err
	}
}

// unreserve gives back the room for one answer.
func (s *Stream) unreserve() { <-s.room }

// put queues an item that needs no room: an answer that has reserved it, or the
// last item of a watcher.
func (s *Stream) put(item Item) {
	s.mu.Lock()
	s.queue.push(entry{Item: item})
	s.mu.Unlock()
	s.wake()
}

// cancel queues the answer to a cancellation and drops what came before it.
func (s *Stream) cancel(w *Watcher) {
	s.mu.Lock()
	w.canceled = true
	s.queue.push(entry{Item: Item{Kind: Canceled, Watcher: w}})
	s.mu.Unlock()
	s.wake()
}

// offer queues events; false means that there is no room, and the feed will hear
// when there is.
func (s *Stream) offer(item Item, bytes int) bool {
	settings := &s.feed.settings
	s.mu.Lock()
	if s.held > 0 && (s.held >= settings.QueueItemsMax || s.heldBytes+bytes > settings.QueueBytesMax ||
		s.feed.queued.Load()+int64(bytes) > int64(settings.QueuesBytesMax)) {
		s.starved = true
		s.starvedBytes = max(s.starvedBytes, bytes)
		s.mu.Unlock()
		return false
	}
	s.held++
	s.heldBytes += bytes
	s.feed.queued.Add(int64(bytes))
	s.queue.push(entry{Item: item, bytes: bytes})
	s.mu.Unlock()
	s.feed.metrics.pending.Add(float64(len(item.Events)))
	s.wake()
	return true
}

// offerProgress queues a progress item, or none where the queue is full. One
// that follows another of its kind at once replaces it.
func (s *Stream) offerProgress(w *Watcher, revision Revision) {
	s.mu.Lock()
	if last := s.queue.last(); last != nil && last.Kind == Progress && last.Watcher == w {
		last.Revision = revision
		s.mu.Unlock()
		return
	}
	full := s.held >= s.feed.settings.QueueItemsMax
	if !full {
		s.held++
		s.queue.push(entry{Item: Item{Kind: Progress, Watcher: w, Revision: revision}})
	}
	s.mu.Unlock()
	if !full {
		s.wake()
	}
}

func (s *Stream) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Next takes the next item; false means that there is none now.
func (s *Stream) Next() (Item, bool) {
	s.mu.Lock()
	e, ok := s.takeLocked()
	room := s.starved && s.roomLocked()
	if room {
		s.starved, s.starvedBytes = false, 0
	}
	s.mu.Unlock()
	if room {
		s.feed.unpark(s)
	}
	if ok && e.Kind == Events {
		s.feed.metrics.events.Add(float64(len(e.Events)))
	}
	return e.Item, ok
}

// takeLocked takes the next item that is still to be sent.
func (s *Stream) takeLocked() (entry, bool) {
	for {
		e, ok := s.queue.pop()
		if !ok {
			return e, false
		}
		if e.answers() {
			s.unreserve()
			return e, true
		}
		if e.Kind != Overtaken && e.Kind != Revoked {
			s.held--
			s.heldBytes -= e.bytes
			s.feed.queued.Add(-int64(e.bytes))
			s.feed.metrics.pending.Sub(float64(len(e.Events)))
		}
		if e.Watcher == nil || !e.Watcher.canceled {
			return e, true
		}
	}
}

// roomLocked tells whether those who were refused should try again: when half
// the queue is free, so that they do not come back for every item.
func (s *Stream) roomLocked() bool {
	settings := &s.feed.settings
	return s.held == 0 ||
		s.held <= settings.QueueItemsMax/2 &&
			s.heldBytes <= settings.QueueBytesMax/2 &&
			s.heldBytes+s.starvedBytes <= settings.QueueBytesMax
}

// discard empties the queue.
func (s *Stream) discard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if _, ok := s.takeLocked(); !ok {
			return
		}
	}
}
