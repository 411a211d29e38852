package feed

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/tierd/tierd/router"
)

const (
	// overlapRevisions is how far behind the start of a read under way a watcher
	// may be and still wait for that page rather than have its own read.
	overlapRevisions = 1000
	// scanWatchersMax is up to how many watchers a page is looked through for each
	// of them, rather than once with the index of all.
	scanWatchersMax = 8
)

// wakeCatchUpLocked sees to it that somebody serves the watchers that wait.
func (f *Feed) wakeCatchUpLocked() {
	if len(f.ready) == 0 || f.catchUps >= f.settings.CatchUpsMax {
		return
	}
	if f.startLocked(f.catchUp) {
		f.catchUps++
	}
}

// unpark gives a turn to the watchers of s that had found no room.
func (f *Feed) unpark(s *Stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range s.parked {
		if w.standing == parked {
			f.standLocked(w, waiting)
			f.ready = append(f.ready, w)
		}
	}
	s.parked = nil
	f.wakeCatchUpLocked()
}

// step is what a catch-up does next.
type step int

const (
	stepNone step = iota
	// stepServed: somebody was served from memory; there may be more.
	stepServed
	// stepRead: a page is to be read from the source.
	stepRead
)

// history names one page to be read.
type history struct {
	from Revision
	prev bool
}

// catchUp serves the watchers that wait until none is left to serve.
func (f *Feed) catchUp() {
	pause := backoff{settings: &f.settings}
	for {
		next, want := f.nextStep()
		switch next {
		case stepNone:
			return
		case stepServed:
			continue
		}
		err := f.readHistory(want)
		switch {
		case err == nil:
			pause.reset()
		case f.ctx.Err() != nil:
		case f.fail(err):
		default:
			f.logger.Debug("history for a watch cannot be read and is tried again", "cause", err)
			pause.wait(f.ctx, nil)
		}
		f.finishRead(want)
	}
}

// nextStep serves somebody from the window or chooses a page to read. With
// stepNone the caller is no longer counted and must end.
func (f *Feed) nextStep() (step, history) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready = slices.DeleteFunc(f.ready, func(w *Watcher) bool { return w.standing != waiting })
	if f.closed {
		f.ready = nil
	}
	for _, w := range f.ready {
		if f.window.covers(w) {
			f.serveFromWindowLocked(w)
			return stepServed, history{}
		}
		if f.coveredByReadLocked(w) {
			continue
		}
		f.reading = append(f.reading, w.next)
		f.wakeCatchUpLocked()
		return stepRead, history{from: w.next, prev: f.index.wantPrev > 0}
	}
	f.catchUps--
	return stepNone, history{}
}

// coveredByReadLocked tells whether a read under way is likely to serve w.
func (f *Feed) coveredByReadLocked(w *Watcher) bool {
	return slices.ContainsFunc(f.reading, func(from Revision) bool {
		return from <= w.next && w.next < from+overlapRevisions
	})
}

// finishRead makes room for other reads from about the same revision.
func (f *Feed) finishRead(done history) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.reading, done.from)
	f.reading = slices.Delete(f.reading, i, i+1)
}

// readHistory reads a page and gives it to all who need it.
func (f *Feed) readHistory(want history) error {
	page, err := f.source.Events(f.ctx, want.from, f.settings.PageBytes, want.prev)
	if errors.Is(err, router.ErrCompacted) {
		return f.overtake(want.from)
	}
	if err != nil {
		return fmt.Errorf("read history from revision %d: %w", want.from, err)
	}
	if page.Through < want.from {
		return errStale
	}
	if err := f.honour(f.ctx, page.Auth); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shareLocked(want.from, page, want.prev)
	return nil
}

// overtake ends the waiting watchers that need what has been compacted; one at
// from is known to.
func (f *Feed) overtake(from Revision) error {
	_, compacted, err := f.ask(f.ctx, nil)
	if err != nil {
		return fmt.Errorf("ask for the compacted revision: %w", err)
	}
	if compacted <= from {
		return errStale
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.ready {
		if w.standing == waiting && w.next < compacted {
			f.overtakeLocked(w, compacted)
		}
	}
	return nil
}

// serveFromWindowLocked gives w, and who else needs it, what the window holds.
func (f *Feed) serveFromWindowLocked(w *Watcher) {
	from := w.next
	page := f.window.read(from, f.settings.PageBytes)
	f.shareLocked(from, page, from >= f.window.prevFrom)
}

// shareLocked gives the revisions from..page.Through to every waiting watcher
// that needs one of them next. Who has then caught up with the follower is live.
// What the follower has not dispatched yet is left to it: nobody is ever ahead
// of it, so that the progress it tells is never behind events already sent.
func (f *Feed) shareLocked(from Revision, page router.EventPage, prev bool) {
	page = before(f.next, page)
	isServed := func(w *Watcher) bool {
		return w.standing == waiting && w.next >= from && w.next <= page.Through && (prev || !w.group.prevKV)
	}
	var served, rest []*Watcher
	for _, w := range f.ready {
		if isServed(w) {
			served = append(served, w)
		} else {
			rest = append(rest, w)
		}
	}
	found := f.findLocked(page, served)
	for _, w := range served {
		events, bytes := found.found(w.group)
		switch {
		case !w.offerLocked(events, bytes, page.Through):
			f.standLocked(w, parked)
			w.stream.parked = append(w.stream.parked, w)
		case page.Through+1 == f.next:
			w.next = page.Through + 1
			f.standLocked(w, live)
		default:
			// The others go first now.
			w.next = page.Through + 1
			rest = append(rest, w)
		}
	}
	found.release()
	f.ready = rest
}

// findLocked looks through a page for all the watchers given.
func (f *Feed) findLocked(page router.EventPage, watchers []*Watcher) *pass {
	if len(watchers) <= scanWatchersMax {
		p := f.index.begin(page.Events)
		for _, w := range watchers {
			p.scan(w.group)
		}
		return p
	}
	wanted := make(map[*group]struct{}, len(watchers))
	for _, w := range watchers {
		wanted[w.group] = struct{}{}
	}
	return f.index.match(page.Events, func(g *group) bool {
		_, ok := wanted[g]
		return ok
	})
}

// before is the part of a page below revision end.
func before(end Revision, page router.EventPage) router.EventPage {
	if page.Through < end {
		return page
	}
	page.Through = end - 1
	n := sort.Search(len(page.Events), func(i int) bool { return Revision(page.Events[i].Kv.ModRevision) >= end })
	page.Events = page.Events[:n]
	return page
}
