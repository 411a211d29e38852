package hottier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// checkNothingServed ends the load: the store has lost something, and every frontend
// has to say so instead of answering.
func (l *load) checkNothingServed() {
	l.t.Helper()
	l.end()
	l.report()
	ctx, cancel := context.WithTimeout(l.t.Context(), bound)
	defer cancel()
	for frontend, client := range l.clients {
		cluster.Await(l.t, bound, "the loss is noticed", func() error {
			_, err := client.Get(ctx, "nothing")
			if err == nil {
				return fmt.Errorf("frontend %d answers", frontend+1)
			}
			if !errors.Is(err, rpctypes.ErrCorrupt) {
				return err
			}
			return nil
		})
	}
}

// check ends the load. Every acknowledged write must be there as it was acknowledged,
// on every frontend, no revision may have been given twice or to nothing, and no read
// may have missed what was acknowledged before.
func (l *load) check() { l.t.Helper(); l.checkOn(len(l.clients)) }

// checkOn is check for the first frontends: others may have nothing to ask any more.
func (l *load) checkOn(frontends int) {
	l.t.Helper()
	l.end()
	l.report()
	if len(l.stale) > 0 && !l.mayBeStale {
		l.t.Errorf("%d stale reads, the first: %s", len(l.stale), l.stale[0])
	}
	byRevision := make(map[int64]write, len(l.writes))
	for _, w := range l.writes {
		if other, twice := byRevision[w.revision]; twice {
			l.t.Errorf("revision %d was given to %s and to %s", w.revision, other.key, w.key)
		}
		byRevision[w.revision] = w
	}
	for frontend, client := range l.clients[:frontends] {
		held, revision := l.state(client)
		l.checkState(frontend, held, revision)
	}
}

// state is what a frontend holds, by key, and its revision.
func (l *load) state(client *clientv3.Client) (map[string]int64, int64) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), bound)
	defer cancel()
	held := make(map[string]int64)
	from, revision := written, int64(0)
	for {
		page, err := client.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(written)),
			clientv3.WithLimit(checkedPage), clientv3.WithRev(revision))
		if err != nil {
			l.t.Fatalf("read all keys: %v", err)
		}
		for _, kv := range page.Kvs {
			if kv.Version != 1 {
				l.t.Errorf("%s was put %d times", kv.Key, kv.Version)
			}
			held[string(kv.Key)] = kv.ModRevision
			from = string(kv.Key) + "\x00"
		}
		if revision == 0 {
			revision = page.Header.Revision
		}
		if !page.More {
			return held, revision
		}
	}
}

func (l *load) checkState(frontend int, held map[string]int64, revision int64) {
	l.t.Helper()
	for _, w := range l.writes {
		got, found := held[w.key]
		switch {
		case !found:
			l.t.Errorf("frontend %d: lost: %s, acknowledged by frontend %d at revision %d, %v after the start",
				frontend+1, w.key, w.frontend+1, w.revision, w.at.Sub(l.began).Round(time.Millisecond))
		case got != w.revision:
			l.t.Errorf("frontend %d: %s is at revision %d, acknowledged at %d", frontend+1, w.key, got, w.revision)
		}
	}
	// An empty store is at revision 1, and each put took the next one.
	if want := int64(len(held)) + 1; revision != want {
		l.t.Errorf("frontend %d is at revision %d with %d writes", frontend+1, revision, len(held))
	}
}

// report logs what was seen: how long no frontend acknowledged anything, and when.
func (l *load) report() {
	slices.SortFunc(l.writes, func(a, b write) int { return a.at.Compare(b.at) })
	since := func(at time.Time) time.Duration { return at.Sub(l.began).Round(time.Millisecond) }
	var text strings.Builder
	fmt.Fprintf(&text, "%d writes acknowledged, refused: %v; %d stale reads", len(l.writes), l.refused, len(l.stale))
	for i, what := range l.notes {
		fmt.Fprintf(&text, "\n  %6v %s", since(l.marks[i]), what)
	}
	for frontend := range l.clients {
		for _, area := range l.areas {
			before, after := l.longestGap(frontend, area)
			fmt.Fprintf(&text, "\n  frontend %d acknowledged nothing%s for %v, from %v to %v",
				frontend+1, inArea(area), since(after)-since(before), since(before), since(after))
		}
	}
	l.t.Log(text.String())
}

func inArea(area string) string {
	if area == "" {
		return ""
	}
	return " of " + area
}

// longestGap is the longest time between two writes of a frontend to an area.
func (l *load) longestGap(frontend int, area string) (before, after time.Time) {
	var last time.Time
	for _, w := range l.writes {
		if w.frontend != frontend || w.area != area {
			continue
		}
		if !last.IsZero() && w.at.Sub(last) > after.Sub(before) {
			before, after = last, w.at
		}
		last = w.at
	}
	return before, after
}
