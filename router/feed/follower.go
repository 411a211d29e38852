package feed

import (
	"context"
	"errors"
	"fmt"

	"github.com/tierd/tierd/router"
)

// errStale: the source named a revision that it does not have.
var errStale = errors.New("the source answered with an older state than it had announced")

// follower is the identity of one run of Feed.follow. There is one as long as
// there is a watcher; one that was replaced finds itself so and ends.
type follower struct {
	cancel context.CancelFunc
	// known is the highest revision that the source has named. It and pause belong
	// to the follower's goroutine.
	known Revision
	pause backoff
	// failing: the last read failed, and that has been logged.
	failing bool
}

// followLocked starts a follower at revision from.
func (f *Feed) followLocked(from Revision) {
	ctx, cancel := context.WithCancel(f.ctx)
	me := &follower{cancel: cancel, known: from - 1, pause: backoff{settings: &f.settings}}
	f.next = from
	f.window.reset(from)
	if !f.startLocked(func() { f.follow(ctx, me) }) {
		cancel()
		return
	}
	f.follower = me
}

// unfollowLocked stops the follower: nobody is watching.
func (f *Feed) unfollowLocked() {
	if f.follower != nil {
		f.follower.cancel()
		f.follower = nil
	}
	f.window.reset(0)
	f.metrics.lag.Set(0)
}

// follow reads and dispatches events until it is stopped.
func (f *Feed) follow(ctx context.Context, me *follower) {
	defer me.cancel()
	for {
		err := f.followOnce(ctx, me)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, router.ErrCompacted) {
			err = f.skipCompacted(ctx, me)
		}
		switch {
		case err == nil:
			if me.failing {
				f.logger.Info("watches follow the keyspace again")
			}
			me.failing = false
			me.pause.reset()
			continue
		case f.fail(err):
			return
		case !me.failing:
			f.logger.Warn("watches cannot follow the keyspace and wait", "cause", err)
			me.failing = true
		}
		if !me.pause.wait(ctx, nil) {
			return
		}
	}
}

// followOnce waits for news if there is none, and dispatches one page.
func (f *Feed) followOnce(ctx context.Context, me *follower) error {
	from, _ := f.position()
	if me.known < from {
		known, err := f.source.WaitRevision(ctx, from-1)
		if err != nil {
			return fmt.Errorf("wait for revision %d: %w", from, err)
		}
		me.known = known
		f.noteLag(me, known-from+1)
	}
	_, prev := f.position()
	page, err := f.source.Events(ctx, from, f.settings.PageBytes, prev)
	if err != nil {
		return fmt.Errorf("read the events from revision %d: %w", from, err)
	}
	if page.Through < from {
		me.known = from - 1
		return errStale
	}
	me.known = max(me.known, page.Current)
	if err := f.honour(ctx, page.Auth); err != nil {
		return err
	}
	f.dispatch(me, from, page, prev)
	f.noteLag(me, me.known-page.Through)
	return nil
}

// noteLag shows how many known revisions are not dispatched yet.
func (f *Feed) noteLag(me *follower, revisions Revision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.follower == me {
		f.metrics.lag.Set(float64(revisions))
	}
}

// position is where the follower reads next, and whether previous values are
// wanted.
func (f *Feed) position() (from Revision, prev bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next, f.index.wantPrev > 0
}

// dispatch gives a page that starts at Feed.next to all live watchers.
func (f *Feed) dispatch(me *follower, from Revision, page router.EventPage, prev bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.follower != me {
		return
	}
	if !prev && f.index.wantPrev > 0 {
		// Somebody who wants previous values came after the read began: again.
		return
	}
	found := f.index.match(page.Events, func(g *group) bool { return len(g.live) > 0 })
	for _, g := range found.touched {
		header := lastRevision(g.matched)
		// Backwards, because those without room leave the slice.
		for i := len(g.live) - 1; i >= 0; i-- {
			w := g.live[i]
			if !w.offerLocked(g.matched, g.bytes, header) {
				w.next = max(w.next, from)
				f.standLocked(w, parked)
				w.stream.parked = append(w.stream.parked, w)
			}
		}
	}
	found.release()
	f.next = page.Through + 1
	f.window.add(from, page, prev, f.settings.WindowBytesMax)
	f.tellProgressLocked()
}

// skipCompacted moves the follower over revisions that were compacted before it
// could read them; the live watchers that needed them are overtaken.
func (f *Feed) skipCompacted(ctx context.Context, me *follower) error {
	_, compacted, err := f.ask(ctx, nil)
	if err != nil {
		return fmt.Errorf("ask for the compacted revision: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.follower != me {
		return nil
	}
	if compacted <= f.next {
		return errStale
	}
	for _, g := range f.index.groups {
		for i := len(g.live) - 1; i >= 0; i-- {
			if w := g.live[i]; w.next < compacted {
				f.overtakeLocked(w, compacted)
			}
		}
	}
	if f.follower == me {
		f.next = compacted
		f.window.reset(compacted)
	}
	return nil
}
