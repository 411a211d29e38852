package watch

import (
	"context"
	"testing"
	"time"

	"github.com/tierd/tierd/router/feed"
)

// ticks is a ticker in the hands of a test.
type ticks struct {
	interval chan time.Duration
	c        chan time.Time
}

func (t *ticks) make(interval time.Duration) (<-chan time.Time, func()) {
	t.interval <- interval
	return t.c, func() {}
}

func newTicks() *ticks {
	return &ticks{interval: make(chan time.Duration, 1), c: make(chan time.Time)}
}

func TestRequestedProgress(t *testing.T) {
	r := newRig(t, Settings{}, feed.Settings{})
	s := r.open(context.Background())
	// Without a watch there is nothing to tell.
	s.progress()
	s.nothingElse()
	s.create(everything())
	s.expect("created id=0 rev=1")
	r.source.Put("k", "2")
	s.progress()
	s.expect("id=0 rev=2 k=2/2", "id=-1 rev=2")
	s.progress()
	s.expect("id=-1 rev=2")
}

// A watch that starts later silences the progress of its stream.
func TestNoProgressBeforeTheStartRevision(t *testing.T) {
	r := newRig(t, Settings{}, feed.Settings{})
	s := r.open(context.Background())
	s.create(everything())
	s.expect("created id=0 rev=1")
	future := everything()
	future.StartRevision = 3
	s.create(future)
	s.expect("created id=1 rev=1")
	s.progress()
	r.source.Put("k", "2")
	s.expect("id=0 rev=2 k=2/2")
	s.progress()
	s.nothingElse()
	r.source.Put("k", "3")
	for range 2 {
		if response := s.next(); len(response.Events) != 1 || response.Header.Revision != 3 {
			t.Fatalf("got %s", describe(response))
		}
	}
	s.progress()
	s.expect("id=-1 rev=3")
}

func TestPeriodicProgress(t *testing.T) {
	ticks := newTicks()
	r := newRig(t, Settings{NewTicker: ticks.make}, feed.Settings{})
	s := r.open(context.Background())
	notify := everything()
	notify.ProgressNotify = true
	s.create(everything())
	s.create(notify)
	s.expect("created id=0 rev=1", "created id=1 rev=1")
	ticks.c <- time.Time{}
	s.expect("id=1 rev=1")
	r.source.Put("k", "2")
	for range 2 {
		if response := s.next(); len(response.Events) != 1 {
			t.Fatalf("got %s", describe(response))
		}
	}
	// Events take the place of one notification.
	ticks.c <- time.Time{}
	s.nothingElse()
	ticks.c <- time.Time{}
	s.expect("id=1 rev=2")
	s.cancelWatch(1)
	s.expect("canceled id=1 rev=2")
	ticks.c <- time.Time{}
	s.nothingElse()
}

func TestProgressInterval(t *testing.T) {
	for _, c := range []struct{ asked, want time.Duration }{
		{0, 11 * time.Minute},
		{time.Millisecond, 110 * time.Millisecond},
		{time.Second, 1100 * time.Millisecond},
	} {
		t.Run(c.asked.String(), func(t *testing.T) {
			ticks := newTicks()
			r := newRig(t, Settings{
				ProgressNotifyInterval: c.asked,
				NewTicker:              ticks.make,
				Jitter:                 func(limit time.Duration) time.Duration { return limit },
			}, feed.Settings{})
			r.open(context.Background())
			if got := <-ticks.interval; got != c.want {
				t.Fatalf("got %v, want %v", got, c.want)
			}
		})
	}
}
