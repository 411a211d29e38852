package feed

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tierd/tierd/router/feed/feedtest"
)

// contents are the events that items hold, in order.
func contents(items []Item) string {
	var got []string
	for _, item := range items {
		for _, ev := range item.Events {
			got = append(got, describeEvent(ev))
		}
	}
	return strings.Join(got, " ")
}

func TestASlowStreamLosesNothingAndSlowsNobody(t *testing.T) {
	settings := Settings{QueueItemsMax: 4, WindowBytesMax: 1000, PageBytes: 20}
	bubble(t, settings, func(r *rig) {
		slow, fast := r.open(), r.open()
		r.watch(slow, all("slow"))
		r.watch(fast, all("fast"))
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprintf("k=%d/%d", i, i+2))
			r.source.Put("k", fmt.Sprint(i))
			if got := contents(r.settle(fast)); got != want[i] {
				r.Fatalf("the fast stream got %q, want %q", got, want[i])
			}
		}
		slow.mu.Lock()
		held := slow.held
		slow.mu.Unlock()
		if held > 4 {
			r.Fatalf("%d items wait in the slow stream", held)
		}
		if got := contents(r.settle(slow)); got != strings.Join(want, " ") {
			r.Fatalf("the slow stream got %q", got)
		}
	})
}

func TestTheQueueIsBoundedInBytes(t *testing.T) {
	value := strings.Repeat("v", 1000)
	bubble(t, Settings{QueueBytesMax: 5000, WindowBytesMax: 1}, func(r *rig) {
		s := r.open()
		r.watch(s, all("w"))
		for range 20 {
			r.source.Put("k", value)
			synctest.Wait()
		}
		s.mu.Lock()
		bytes := s.heldBytes
		s.mu.Unlock()
		if bytes > 5000 {
			r.Fatalf("%d bytes wait", bytes)
		}
		if n := strings.Count(contents(r.settle(s)), value); n != 20 {
			r.Fatalf("%d events came, want 20", n)
		}
	})
}

// An item above all limits still passes, alone.
func TestAnItemLargerThanTheQueuePasses(t *testing.T) {
	bubble(t, Settings{QueueBytesMax: 300, WindowBytesMax: 1}, func(r *rig) {
		s := r.open()
		r.watch(s, all("w"))
		r.source.Put("a", "1")
		synctest.Wait()
		r.source.Put("b", strings.Repeat("v", 1000))
		synctest.Wait()
		r.source.Put("c", "3")
		if got := contents(r.settle(s)); !strings.HasPrefix(got, "a=1/2 b=vvv") || !strings.HasSuffix(got, " c=3/4") {
			r.Fatalf("got %q", got)
		}
	})
}

// Watchers that start at about the same revision, as those of a client that
// reconnects, are served by the same reads.
func TestWatchersThatCatchUpShareReads(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		for i := range 30 {
			r.source.Put(fmt.Sprintf("k%02d", i), "v")
		}
		r.source.Hold(feedtest.Events)
		s := r.open()
		for i := range 30 {
			request := key(fmt.Sprintf("k%02d", i), i)
			request.Start = Revision(2 + i%3)
			r.watch(s, request)
		}
		r.settle(s)
		r.source.Release()
		if got := len(r.settle(s)); got != 30 {
			r.Fatalf("%d watchers got something, want 30", got)
		}
		// At most one read for each place in the list where a lower start follows.
		if n := r.source.Calls().Events; n > 3 {
			r.Fatalf("%d reads for 30 watchers", n)
		}
	})
}

// What is read from history may reach further than the follower has come: the
// rest is left to it, else it would tell a progress behind what was sent.
func TestCatchingUpStopsWhereTheFollowerIs(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		r.source.Put("k", "2")
		s := r.open()
		w := r.watch(s, all("live"))
		r.expect(s, "created:live@2")
		r.source.Hold(feedtest.Wait)
		r.source.Put("k", "3")
		past := all("past")
		past.Start = 2
		r.watch(s, past)
		r.expect(s, "created:past@3", "events:past@2:k=2/2")
		s.Announce(w)
		r.expect(s, "progress:live@2")
		r.source.Release()
		r.expect(s, "events:past@3:k=3/3", "events:live@3:k=3/3")
	})
}

// Watchers that are far apart do not wait for each other, up to the limit.
func TestReadsOfHistoryRunAtOnceUpToTheLimit(t *testing.T) {
	bubble(t, Settings{CatchUpsMax: 3}, func(r *rig) {
		for range 6 * overlapRevisions {
			r.source.Put("k", "v")
		}
		s := r.open()
		r.source.Hold(feedtest.Events)
		for i := range 5 {
			request := key("unwatched", i)
			request.Start = Revision(2 + i*overlapRevisions)
			r.watch(s, request)
		}
		// What the feed itself has started, whatever woke it.
		r.feed.mu.Lock()
		r.feed.wakeCatchUpLocked()
		r.feed.mu.Unlock()
		synctest.Wait()
		if n := r.source.Hanging(feedtest.Events); n != 3 {
			r.Fatalf("%d reads at once, want 3", n)
		}
		r.source.Release()
		r.settle(s)
		s.RequestProgress()
		r.expect(s, fmt.Sprintf("progress:*@%d", 6*overlapRevisions+1))
	})
}

// All at once after a stream had no room: one wake-up starts as many as allowed.
func TestParkedWatchersAreServedAtOnce(t *testing.T) {
	bubble(t, Settings{QueueItemsMax: 2, WindowBytesMax: 1}, func(r *rig) {
		s := r.open()
		r.watch(s, key("a", "a"))
		r.watch(s, key("b", "b"))
		r.settle(s)
		r.source.Put("a", "fills")
		r.source.Put("b", "fills")
		synctest.Wait()
		r.source.Put("a", "1")
		synctest.Wait()
		for range overlapRevisions {
			r.source.Put("unwatched", "x")
		}
		synctest.Wait()
		r.source.Put("b", "2")
		synctest.Wait()
		r.source.Hold(feedtest.Events)
		r.settle(s)
		if n := r.source.Hanging(feedtest.Events); n != 2 {
			r.Fatalf("%d reads at once, want 2", n)
		}
		r.source.Release()
		if got := len(r.settle(s)); got != 2 {
			r.Fatalf("%d items, want 2", got)
		}
	})
}

// The etcd issues 18089 and 19179: a watch from the compacted revision itself
// sees that revision, a deletion included.
func TestStartAtTheCompactedRevision(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		r.source.Put("k", "2")
		r.source.Put("k", "3")
		r.source.Put("k", "4")
		r.source.Delete("k")
		r.source.Put("k", "6")
		r.source.Compact(5)
		s := r.open()
		request := key("k", "w")
		request.Start, request.PrevKV = 5, true
		r.watch(s, request)
		r.expect(s, "created:w@6", "events:w@6:-k/5:k=6/6")
	})
}

func TestStartBelowTheCompactedRevision(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		r.source.Put("k", "2")
		r.source.Put("k", "3")
		r.source.Compact(3)
		s := r.open()
		request := key("k", "w")
		request.Start = 2
		w := r.watch(s, request)
		r.expect(s, "created:w@3", "overtaken:w<3")
		r.source.Put("k", "4")
		r.watch(s, key("k", "other"))
		s.RequestProgress()
		r.expect(s, "created:other@4", "progress:*@4")
		if err := s.Cancel(context.Background(), w); err != nil {
			r.Fatalf("cancel: %v", err)
		}
		r.expect(s, "canceled:w")
	})
}

func TestASlowWatcherIsOvertakenByCompaction(t *testing.T) {
	bubble(t, Settings{QueueItemsMax: 1, WindowBytesMax: 1}, func(r *rig) {
		s := r.open()
		r.watch(s, key("k", "slow"))
		r.watch(s, key("other", "fine"))
		for i := range 5 {
			r.source.Put("k", fmt.Sprint(i))
			synctest.Wait()
		}
		r.source.Compact(5)
		r.expect(s, "created:slow@1", "created:fine@1", "events:slow@2:k=0/2", "overtaken:slow<5")
		r.source.Put("other", "x")
		r.expect(s, "events:fine@7:other=x/7")
	})
}

// The follower itself may be overtaken, when the hot tier was out of reach.
func TestTheFollowerIsOvertakenByCompaction(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		s := r.open()
		r.watch(s, all("behind"))
		future := all("future")
		future.Start = 5
		r.watch(s, future)
		r.settle(s)
		r.source.Hold(feedtest.Events, feedtest.Wait)
		for i := range 5 {
			r.source.Put("k", fmt.Sprint(i))
		}
		r.source.Compact(4)
		r.source.Release()
		r.expect(s, "overtaken:behind<4", "events:future@6:k=3/5:k=4/6")
	})
}

// What the follower skipped is a hole in the window, and must not look like
// revisions without events.
func TestTheWindowHasNoHoles(t *testing.T) {
	bubble(t, Settings{QueueItemsMax: 1}, func(r *rig) {
		s := r.open()
		r.watch(s, key("k", "slow"))
		r.watch(s, key("other", "other"))
		r.expect(s, "created:slow@1", "created:other@1")
		r.source.Put("k", "2")
		synctest.Wait()
		r.source.Put("k", "3")
		synctest.Wait()
		r.source.Hold(feedtest.Events, feedtest.Wait)
		for i := 4; i < 7; i++ {
			r.source.Put("k", fmt.Sprint(i))
		}
		r.source.Compact(6)
		r.source.Release()
		r.watch(s, key("z", "new"))
		for _, item := range r.settle(s) {
			if item.Kind == Events && item.Watcher.Tag() == "slow" && lastRevision(item.Events) > 3 {
				r.Fatalf("revisions 4 and 5 are missing before %s", describe(item))
			}
		}
	})
}

// All queues together are bounded too, and every stream still gets everything.
func TestAllQueuesAreBoundedInBytes(t *testing.T) {
	value := strings.Repeat("v", 1000)
	bubble(t, Settings{QueuesBytesMax: 8000, WindowBytesMax: 1}, func(r *rig) {
		streams := []*Stream{r.open(), r.open(), r.open()}
		for _, s := range streams {
			r.watch(s, all("w"))
		}
		for range 20 {
			r.source.Put("k", value)
			synctest.Wait()
		}
		if queued := r.feed.queued.Load(); queued > 8000+3*1200 || queued == 0 {
			r.Fatalf("%d bytes wait", queued)
		}
		for _, s := range streams {
			if n := strings.Count(contents(r.settle(s)), value); n != 20 {
				r.Fatalf("%d events came, want 20", n)
			}
		}
		if queued := r.feed.queued.Load(); queued != 0 {
			r.Fatalf("%d bytes are left", queued)
		}
	})
}
