package feed

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/tierd/tierd/router/feed/feedtest"
)

func TestProgressComesBehindTheEvents(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		s := r.open()
		r.watch(s, key("k", "k"))
		r.watch(s, key("other", "other"))
		r.source.Put("k", "1")
		r.source.Put("unwatched", "2")
		s.RequestProgress()
		r.expect(s, "created:k@1", "created:other@1", "events:k@2:k=1/2", "progress:*@3")
		s.RequestProgress()
		r.expect(s, "progress:*@3")
	})
}

// The etcd issue 15220: a requested progress is neither ahead of events that
// have not come nor behind those that have, and not behind the keyspace.
func TestProgressWaitsForTheFollower(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		s := r.open()
		w := r.watch(s, all("w"))
		r.expect(s, "created:w@1")
		r.source.Hold(feedtest.Events)
		r.source.Put("k", "1")
		s.RequestProgress()
		s.Announce(w)
		r.expect(s, "progress:w@1")
		r.source.Release()
		r.expect(s, "events:w@2:k=1/2", "progress:*@2")
	})
}

// The etcd issue 17507: a watch that starts in the past and finds nothing there
// has caught up all the same.
func TestProgressOfAFreshWatchWithoutEvents(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		r.source.Put("unwatched", "1")
		r.source.Put("unwatched", "2")
		s := r.open()
		past := key("k", "past")
		past.Start = 2
		w := r.watch(s, past)
		r.expect(s, "created:past@3")
		s.RequestProgress()
		r.expect(s, "progress:*@3")
		s.Announce(w)
		r.expect(s, "progress:past@3")
	})
}

func TestNoProgressWhileAWatcherCatchesUp(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		r.source.Put("k", "1")
		s := r.open()
		r.watch(s, key("other", "live"))
		r.source.Hold(feedtest.Events)
		past := key("k", "past")
		past.Start = 2
		w := r.watch(s, past)
		s.RequestProgress()
		s.Announce(w)
		r.expect(s, "created:live@2", "created:past@2")
		r.source.Release()
		r.expect(s, "events:past@2:k=1/2")
		s.RequestProgress()
		r.expect(s, "progress:*@2")
	})
}

// While one question is under way all requests gather in the next: a client that
// asks ten times a second on many streams costs one question at a time.
func TestProgressRequestsShareOneQuestion(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		var streams []*Stream
		for range 50 {
			s := r.open()
			r.watch(s, all("w"))
			r.settle(s)
			streams = append(streams, s)
		}
		r.source.Hold(feedtest.Current)
		before := r.source.Calls().Current
		streams[0].RequestProgress()
		synctest.Wait()
		for range 3 {
			for _, s := range streams {
				s.RequestProgress()
			}
		}
		synctest.Wait()
		r.source.Release()
		for i, s := range streams {
			if items := r.settle(s); len(items) != 1 || describe(items[0]) != "progress:*@1" {
				r.Fatalf("stream %d got %v", i, items)
			}
		}
		if asked := r.source.Calls().Current - before; asked != 2 {
			r.Fatalf("%d questions, want 2", asked)
		}
	})
}

// Progress that nobody takes does not pile up, and the latest one is kept.
func TestProgressThatIsNotTakenIsReplaced(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		s := r.open()
		r.watch(s, key("k", "w"))
		for range 5 {
			r.source.Put("unwatched", "x")
			s.RequestProgress()
			synctest.Wait()
		}
		r.expect(s, "created:w@1", "progress:*@6")
	})
}

// However often progress is asked for, the first request is answered when its
// revision is reached.
func TestProgressIsNotPutOffByLaterRequests(t *testing.T) {
	bubble(t, Settings{PageBytes: 1}, func(r *rig) {
		s := r.open()
		r.watch(s, key("k", "w"))
		r.expect(s, "created:w@1")
		r.source.Hold(feedtest.Events)
		for range 4 {
			r.source.Put("unwatched", "x")
			s.RequestProgress()
			synctest.Wait()
		}
		r.feed.mu.Lock()
		wanted := len(s.progressWanted)
		r.feed.mu.Unlock()
		if wanted != progressWantedMax {
			r.Fatalf("%d revisions are waited for, want %d", wanted, progressWantedMax)
		}
		r.source.Release()
		r.expect(s, "progress:*@5")
	})
}

func TestProgressIsSilentWithoutWatchersOrSource(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		s := r.open()
		s.RequestProgress()
		w := r.watch(s, all("w"))
		r.expect(s, "created:w@1")
		r.source.Hold(feedtest.Current)
		s.RequestProgress()
		synctest.Wait()
		if err := s.Cancel(context.Background(), w); err != nil {
			r.Fatalf("cancel: %v", err)
		}
		s.Announce(w)
		r.source.Release()
		r.expect(s, "canceled:w")
	})
}
