package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/tierd/tierd/router/feed/feedtest"
)

// grants are rights of which a test says, per version, which are gone.
type grants struct {
	mu    sync.Mutex
	known int64
	// gone are the "holder key end" that have no right from a version on.
	gone map[int64][]string
	err  error
	asks int
}

func (g *grants) Know(_ context.Context, version int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asks++
	if g.err == nil {
		g.known = max(g.known, version)
	}
	return g.err
}

func (g *grants) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

func (g *grants) MayWatch(holder string, key, end []byte) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for version, gone := range g.gone {
		if version <= g.known && slices.Contains(gone, fmt.Sprintf("%s %s %q", holder, key, end)) {
			return false
		}
	}
	return true
}

func held(holder string, r Request) Request {
	r.Holder = holder
	return r
}

func TestWhoHasLostTheRightSeesNoLaterEvent(t *testing.T) {
	g := &grants{gone: map[int64][]string{2: {`alice b ""`, `alice a "c"`, `alice b "\x00"`}}}
	bubble(t, Settings{Rights: g}, func(r *rig) {
		s := r.open()
		for _, holder := range []string{"alice", "bob"} {
			r.watch(s, held(holder, key("b", holder+" key")))
			r.watch(s, held(holder, Request{Key: []byte("a"), End: []byte("c"), Range: true, Tag: holder + " range"}))
			r.watch(s, held(holder, Request{Key: []byte("b"), Range: true, Tag: holder + " from"}))
		}
		r.watch(s, held("alice", key("c", "alice other")))
		r.settle(s)
		r.source.Put("b", "1")
		if got := len(r.settle(s)); got != 6 {
			r.Fatalf("%d items while all may watch, want 6", got)
		}
		r.source.ChangeAuth(2)
		r.source.Put("b", "2")
		var revoked, events []string
		for _, item := range r.settle(s) {
			if item.Kind == Revoked {
				revoked = append(revoked, fmt.Sprint(item.Watcher.Tag()))
			} else {
				events = append(events, describe(item))
			}
		}
		slices.Sort(revoked)
		if want := []string{"alice from", "alice key", "alice range"}; !slices.Equal(revoked, want) {
			r.Fatalf("revoked: %q, want %q", revoked, want)
		}
		slices.Sort(events)
		if want := []string{"events:bob from@3:b=2/3", "events:bob key@3:b=2/3", "events:bob range@3:b=2/3"}; !slices.Equal(events, want) {
			r.Fatalf("events: %q, want %q", events, want)
		}
		asks := g.asks
		r.source.Put("c", "3")
		if got := len(r.settle(s)); got != 2 { // alice's other watch, and bob's
			r.Fatalf("%d items of a key that both may watch, want 2", got)
		}
		if g.asks != asks {
			r.Fatalf("the rights of one version were asked for again")
		}
	})
}

// A watcher that reads history is checked before it sees what was read.
func TestHistoryIsForThoseWhoHaveTheRight(t *testing.T) {
	g := &grants{gone: map[int64][]string{2: {`alice b ""`}}}
	bubble(t, Settings{Rights: g}, func(r *rig) {
		r.source.Put("b", "1")
		s := r.open()
		r.source.Hold(feedtest.Events)
		r.watch(s, held("alice", Request{Key: []byte("b"), Start: 2, Tag: "past"}))
		r.watch(s, held("bob", Request{Key: []byte("b"), Start: 2, Tag: "other"}))
		r.expect(s, "created:past@2", "created:other@2")
		r.source.ChangeAuth(2)
		r.source.Release()
		r.expect(s, "revoked:past", "events:other@2:b=1/2")
	})
}

// A watcher that was permitted by older auth data than those that all others were
// checked by is checked when it comes.
func TestLateWatcherIsChecked(t *testing.T) {
	g := &grants{gone: map[int64][]string{2: {`alice b ""`}}}
	bubble(t, Settings{Rights: g}, func(r *rig) {
		s := r.open()
		r.watch(s, key("x", "first"))
		r.source.ChangeAuth(2)
		r.source.Put("y", "1")
		r.expect(s, "created:first@1")
		late := held("alice", key("b", "late"))
		late.Auth = 1
		r.watch(s, late)
		r.expect(s, "created:late@2", "revoked:late")
		late.Auth = 3 // the right has come back meanwhile
		r.watch(s, late)
		r.source.Put("b", "1")
		r.expect(s, "created:late@2", "events:late@3:b=1/3")
	})
}

// While nobody can say who may watch, nobody sees anything; nothing is lost.
func TestRightsOutOfReach(t *testing.T) {
	g := &grants{}
	bubble(t, Settings{Rights: g}, func(r *rig) {
		s := r.open()
		r.watch(s, key("b", "w"))
		r.expect(s, "created:w@1")
		g.fail(errors.New("out of reach"))
		r.source.ChangeAuth(2)
		r.source.Put("b", "1")
		r.expect(s)
		select {
		case <-s.Ready(): // of what came before
		default:
		}
		g.fail(nil)
		<-s.Ready() // after the next try, by the bubble's clock
		r.expect(s, "events:w@2:b=1/2")
	})
}
