package feed

import (
	"sort"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/router"
)

// window is the last pages that the follower dispatched, without a hole, up to
// Feed.next. From it a watcher that fell behind a little, or starts a little in
// the past, catches up without a read, and so even under steady writes.
type window struct {
	pages []windowPage
	bytes int
	// prevFrom is the revision from which on previous values are there.
	prevFrom Revision
}

type windowPage struct {
	from, through Revision
	events        []*mvccpb.Event
	bytes         int
}

// reset empties the window; pages from next on will follow.
func (w *window) reset(next Revision) {
	w.pages, w.bytes, w.prevFrom = nil, 0, next
}

// windowPageOverheadBytes is about what a page costs beside its events.
const windowPageOverheadBytes = 128

// add appends a page that starts at from, and drops the oldest ones above limit.
func (w *window) add(from Revision, page router.EventPage, prev bool, limit int) {
	bytes := windowPageOverheadBytes
	for _, ev := range page.Events {
		bytes += eventBytes(ev)
	}
	if !prev {
		w.prevFrom = page.Through + 1
	}
	w.pages = append(w.pages, windowPage{from: from, through: page.Through, events: page.Events, bytes: bytes})
	w.bytes += bytes
	drop := 0
	for ; w.bytes > limit; drop++ {
		w.bytes -= w.pages[drop].bytes
		w.pages[drop] = windowPage{}
	}
	w.pages = w.pages[drop:]
}

// covers tells whether the window holds what watcher needs next.
func (w *window) covers(watcher *Watcher) bool {
	return len(w.pages) > 0 && watcher.next >= w.pages[0].from &&
		watcher.next <= w.pages[len(w.pages)-1].through &&
		(!watcher.group.prevKV || watcher.next >= w.prevFrom)
}

// read is the revisions from on, up to about maxBytes, as one page. The window
// must hold from.
func (w *window) read(from Revision, maxBytes int) router.EventPage {
	first := sort.Search(len(w.pages), func(i int) bool { return w.pages[i].through >= from })
	bytes, last := 0, first
	for ; last < len(w.pages) && (last == first || bytes+w.pages[last].bytes <= maxBytes); last++ {
		bytes += w.pages[last].bytes
	}
	page := router.EventPage{Through: w.pages[last-1].through}
	if last == first+1 {
		page.Events = w.pages[first].events
		return page
	}
	for _, p := range w.pages[first:last] {
		page.Events = append(page.Events, p.events...)
	}
	return page
}
