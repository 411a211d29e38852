// Package feedtest is a keyspace in memory for tests of the feed and of what
// stands on it. It keeps every event for ever, so that a test can compare what
// watchers got with what there was; it promises nothing about speed.
package feedtest

import (
	"context"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/router"
)

// Op is one change of a transaction: a put, or a deletion.
type Op struct {
	Key, Value string
	Delete     bool
}

// Call names one of the methods that the feed uses.
type Call int

// The methods of feed.Source.
const (
	Events Call = iota
	Wait
	Current
)

// Calls counts what was asked of a Source and answered, and what failed.
type Calls struct {
	Events, EventsWithPrev, Wait, Current, Failed int
}

// Source is a feed.Source with knobs. Its methods may be called from any
// goroutine; the zero value is not usable.
type Source struct {
	mu        sync.Mutex
	changed   chan struct{}
	revision  router.Revision
	compacted router.Revision
	auth      int64
	// history[r] are the events of revision r; state is the newest version of
	// each key that exists.
	history map[router.Revision][]*mvccpb.Event
	state   map[string]*mvccpb.KeyValue
	err     error
	held    map[Call]bool
	// hanging counts the calls that hang because they are held.
	hanging map[Call]int
	calls   Calls
}

// NewSource is an empty keyspace at revision 1.
func NewSource() *Source {
	return &Source{
		changed:  make(chan struct{}),
		revision: 1,
		history:  make(map[router.Revision][]*mvccpb.Event),
		state:    make(map[string]*mvccpb.KeyValue),
		held:     make(map[Call]bool),
		hanging:  make(map[Call]int),
	}
}

// Put writes one key and returns the new revision.
func (s *Source) Put(key, value string) router.Revision {
	return s.Txn(Op{Key: key, Value: value})
}

// Delete deletes one key and returns the revision, a new one if the key existed.
func (s *Source) Delete(key string) router.Revision {
	return s.Txn(Op{Key: key, Delete: true})
}

// Txn applies ops in one revision. Deleting what does not exist changes nothing.
func (s *Source) Txn(ops ...Op) router.Revision {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.revision + 1
	for _, op := range ops {
		if ev := s.applyLocked(op, int64(next)); ev != nil {
			s.history[next] = append(s.history[next], ev)
		}
	}
	if len(s.history[next]) > 0 {
		s.revision = next
		s.announceLocked()
	}
	return s.revision
}

func (s *Source) applyLocked(op Op, revision int64) *mvccpb.Event {
	old := s.state[op.Key]
	if op.Delete {
		if old == nil {
			return nil
		}
		delete(s.state, op.Key)
		kv := &mvccpb.KeyValue{Key: []byte(op.Key), ModRevision: revision}
		return &mvccpb.Event{Type: mvccpb.Event_DELETE, Kv: kv, PrevKv: old}
	}
	kv := &mvccpb.KeyValue{
		Key: []byte(op.Key), Value: []byte(op.Value),
		CreateRevision: revision, ModRevision: revision, Version: 1,
	}
	if old != nil {
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
	}
	s.state[op.Key] = kv
	return &mvccpb.Event{Type: mvccpb.Event_PUT, Kv: kv, PrevKv: old}
}

func (s *Source) announceLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Compact makes revisions below rev unreadable.
func (s *Source) Compact(rev router.Revision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compacted = max(s.compacted, rev)
}

// ChangeAuth makes the auth data of the keyspace those of a version.
func (s *Source) ChangeAuth(version int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.auth = version
}

// Fail makes every call return err, those under way included; nil heals.
func (s *Source) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	s.announceLocked()
}

// Hold makes calls of these kinds hang until Release, as a Redis that does not
// answer.
func (s *Source) Hold(kinds ...Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kind := range kinds {
		s.held[kind] = true
	}
}

// Release ends every Hold.
func (s *Source) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.held)
	s.announceLocked()
}

// Calls is what was asked so far.
func (s *Source) Calls() Calls {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Hanging is how many calls of a kind are being held.
func (s *Source) Hanging(kind Call) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hanging[kind]
}

// LastRevision is the current revision.
func (s *Source) LastRevision() router.Revision {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}

// Compacted is the compacted revision.
func (s *Source) Compacted() router.Revision {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.compacted
}

// History is every event from revision from on, compacted or not, with its
// previous value.
func (s *Source) History(from router.Revision) []*mvccpb.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var events []*mvccpb.Event
	for r := from; r <= s.revision; r++ {
		events = append(events, s.history[r]...)
	}
	return events
}

// enter waits while calls are held and returns with the lock taken, unless there
// is an error.
func (s *Source) enter(ctx context.Context, kind Call) error {
	s.mu.Lock()
	s.hanging[kind]++
	for s.held[kind] {
		if err := s.waitLocked(ctx); err != nil {
			s.hanging[kind]--
			s.mu.Unlock()
			return err
		}
	}
	s.hanging[kind]--
	if s.err != nil {
		defer s.mu.Unlock()
		s.calls.Failed++
		return s.err
	}
	return nil
}

// waitLocked waits for any change.
func (s *Source) waitLocked(ctx context.Context) error {
	changed := s.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Events implements feed.Source.
func (s *Source) Events(ctx context.Context, from router.Revision, maxBytes int, prevKV bool) (router.EventPage, error) {
	if err := s.enter(ctx, Events); err != nil {
		return router.EventPage{}, err
	}
	defer s.mu.Unlock()
	s.calls.Events++
	if prevKV {
		s.calls.EventsWithPrev++
	}
	if from < s.compacted {
		return router.EventPage{}, router.ErrCompacted
	}
	page := router.EventPage{Through: from - 1, Current: s.revision, Compacted: s.compacted, Auth: s.auth}
	for bytes := 0; page.Through < s.revision && (bytes == 0 || bytes < maxBytes); {
		page.Through++
		for _, ev := range s.history[page.Through] {
			bytes += len(ev.Kv.Key) + len(ev.Kv.Value) + 1
			page.Events = append(page.Events, s.showLocked(ev, prevKV))
		}
	}
	return page, nil
}

// showLocked is an event as the source answers it.
func (s *Source) showLocked(ev *mvccpb.Event, prevKV bool) *mvccpb.Event {
	shown := &mvccpb.Event{Type: ev.Type, Kv: ev.Kv}
	if prevKV && router.Revision(ev.Kv.ModRevision)-1 >= s.compacted {
		shown.PrevKv = ev.PrevKv
	}
	return shown
}

// WaitRevision implements feed.Source.
func (s *Source) WaitRevision(ctx context.Context, after router.Revision) (router.Revision, error) {
	if err := s.enter(ctx, Wait); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	s.calls.Wait++
	for s.revision <= after || s.held[Wait] {
		if err := s.waitLocked(ctx); err != nil {
			return 0, err
		}
		if s.err != nil {
			return 0, s.err
		}
	}
	return s.revision, nil
}

// CurrentRevision implements feed.Source.
func (s *Source) CurrentRevision(ctx context.Context) (current, compacted router.Revision, err error) {
	if err := s.enter(ctx, Current); err != nil {
		return 0, 0, err
	}
	defer s.mu.Unlock()
	s.calls.Current++
	return s.revision, s.compacted, nil
}
