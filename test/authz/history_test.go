package authz

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// result is how a call was answered.
type result int

const (
	unknown result = iota
	allowed
	denied
)

// resultOf tells refusals for want of a right from calls that failed otherwise.
func resultOf(err error) result {
	if err == nil {
		return allowed
	}
	if isDenial(status.Convert(err).Message()) {
		return denied
	}
	return unknown
}

// isDenial says that a text is that of a refusal for want of a right.
func isDenial(text string) bool {
	for _, denial := range []error{rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrGRPCInvalidAuthToken, rpctypes.ErrGRPCUserEmpty} {
		if strings.Contains(text, rpctypes.ErrorDesc(denial)) {
			return true
		}
	}
	// etcd refuses calls that meet any change, also one that leaves the right alone.
	return !*selfFlag && strings.Contains(text, rpctypes.ErrorDesc(rpctypes.ErrGRPCAuthOldRevision))
}

// op is a call of a user.
type op struct {
	kind       string
	generation int
	begin, end time.Time
	result     result
	// revision is that of the answer, 0 if it has none.
	revision int64
	err      error
}

// event is what a watch told.
type event struct {
	generation int
	// opened is when the watch was there, at when the event came.
	opened, at time.Time
	revision   int64
}

// generations are the credentials that a window is about, from the first to the last.
type generations struct{ first, last int }

// always are all of them.
func always() generations { return generations{0, math.MaxInt} }

func (g generations) hold(generation int) bool { return g.first <= generation && generation <= g.last }

// window is a time during which a right was certainly there, or certainly not.
type window struct {
	there bool
	// from and to are when the change before it was answered and the next one sent.
	from, to time.Time
	// after and until bound the revisions that came during a window without the right:
	// they were read as root right after from and right before to.
	after, until int64
	of           generations
}

// forever is later than any test.
func forever() time.Time { return time.Unix(1<<40, 0) }

// history is what was seen of one right. Its methods may be called at any time.
type history struct {
	mu      sync.Mutex
	more    *sync.Cond
	windows []window
	ops     []op
	events  []event
	// cancelled counts the watches that were ended because the right had gone.
	cancelled int
}

func newHistory() *history {
	h := &history{}
	h.more = sync.NewCond(&h.mu)
	return h
}

func (h *history) note(o op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
	h.more.Broadcast()
}

func (h *history) noteEvent(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *history) noteCancelled() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cancelled++
}

func (h *history) noteWindow(w window) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.windows = append(h.windows, w)
}

// awaitOps waits until so many more calls have ended that began after now.
func (h *history) awaitOps(n int) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for seen, next := 0, len(h.ops); seen < n; {
		for ; next < len(h.ops); next++ {
			if h.ops[next].begin.After(now) {
				seen++
			}
		}
		if seen < n {
			h.more.Wait()
		}
	}
}

// summary counts what the windows say something about.
type summary struct{ ops, allowed, denied, events, cancelled int }

// check compares what was answered with what had to be, and gives each violation.
// With watches, those are judged, too.
func (h *history) check(watches bool) (summary, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := summary{ops: len(h.ops), events: len(h.events), cancelled: h.cancelled}
	var wrong []error
	for _, w := range h.windows {
		for _, o := range h.ops {
			inside := w.of.hold(o.generation) && o.begin.After(w.from) && o.end.Before(w.to)
			switch {
			case inside && w.there && o.result == denied:
				wrong = append(wrong, fmt.Errorf("%s with generation %d was denied (%w) although the right was there from %v to %v: it lasted from %v to %v",
					o.kind, o.generation, o.err, w.from, w.to, o.begin, o.end))
			case inside && !w.there && o.result == allowed:
				wrong = append(wrong, fmt.Errorf("%s with generation %d was allowed although the right was gone from %v to %v: it lasted from %v to %v",
					o.kind, o.generation, w.from, w.to, o.begin, o.end))
			case !w.there && o.result == allowed && w.holds(o.revision) && o.revision < w.until: // at until, a read may come later
				wrong = append(wrong, fmt.Errorf("%s was allowed at revision %d, the right was gone from %d to %d", o.kind, o.revision, w.after, w.until))
			case inside && w.there && o.result == allowed:
				s.allowed++
			case inside && !w.there && o.result == denied:
				s.denied++
			}
		}
		for _, e := range h.events {
			if watches && !w.there && w.of.hold(e.generation) && e.opened.Before(w.from) && e.at.Before(w.to) && w.after > 0 && e.revision > w.after {
				wrong = append(wrong, fmt.Errorf("a watch told of revision %d at %v, its right was gone since revision %d, from %v to %v", e.revision, e.at, w.after, w.from, w.to))
			}
		}
	}
	return s, errors.Join(wrong...)
}

// holds says that a revision came while the right was gone.
func (w window) holds(revision int64) bool {
	return revision > 0 && w.after > 0 && revision > w.after && revision <= w.until
}

// checkWritten looks at a revision that a user wrote, whatever it was answered.
func (h *history) checkWritten(what string, revision int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.windows {
		if !w.there && w.holds(revision) {
			return fmt.Errorf("%s was written at revision %d, the right was gone from %d to %d", what, revision, w.after, w.until)
		}
	}
	return nil
}

// isTransient says that a call of the administrator is to be made again.
func isTransient(err error) bool {
	text := status.Convert(err).Message()
	return status.Code(err) == codes.Unavailable || strings.Contains(text, rpctypes.ErrorDesc(rpctypes.ErrGRPCRequestTooManyRequests))
}
