package feed

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/router/feed/feedtest"
)

// elapse lets time pass inside the bubble.
func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestWatchersOutliveAnOutage(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		for i := range 3 {
			r.source.Put("k", fmt.Sprint(i))
		}
		live, past := r.open(), r.open()
		r.watch(live, all("live"))
		r.expect(live, "created:live@4")
		r.source.Fail(router.ErrUnavailable)
		created := make(chan error)
		go func() {
			request := all("past")
			request.Start = 3
			_, err := past.Watch(context.Background(), request)
			created <- err
		}()
		live.RequestProgress()
		elapse(time.Hour)
		r.expect(live)
		r.expect(past)
		r.source.Fail(nil)
		r.source.Put("k", "after")
		if err := <-created; err != nil {
			r.Fatalf("watch: %v", err)
		}
		elapse(retryMaxDefault)
		r.expect(live, "events:live@5:k=after/5")
		// Whether the put is read with the history or after it is a matter of chance.
		var got []string
		for _, item := range r.settle(past) {
			for _, e := range item.Events {
				got = append(got, fmt.Sprintf("%s/%d", e.Kv.Value, e.Kv.ModRevision))
			}
		}
		if fmt.Sprint(got) != "[1/3 2/4 after/5]" {
			r.Fatalf("the watcher from the past got %q", got)
		}
	})
}

// A source that is away is asked less and less often, down to once in RetryMax.
func TestRetriesBackOff(t *testing.T) {
	bubble(t, Settings{RetryMin: time.Second, RetryMax: 8 * time.Second}, func(r *rig) {
		s := r.open()
		r.watch(s, all("w"))
		r.settle(s)
		r.source.Fail(errors.New("away"))
		synctest.Wait()
		var gaps []time.Duration
		for range 6 {
			failures := r.source.Calls().Failed
			begin := time.Now()
			for r.source.Calls().Failed == failures {
				elapse(time.Second)
			}
			gaps = append(gaps, time.Since(begin))
		}
		if got := fmt.Sprint(gaps); got != "[1s 2s 4s 8s 8s 8s]" {
			r.Fatalf("pauses %s", got)
		}
	})
}

func TestFatalErrorsEndEveryStream(t *testing.T) {
	for _, fatal := range []error{router.ErrCorrupt, router.ErrStopped} {
		t.Run(fatal.Error(), func(t *testing.T) {
			bubble(t, Settings{}, func(r *rig) {
				watching, idle := r.open(), r.open()
				r.watch(watching, all("w"))
				synctest.Wait()
				r.source.Fail(fmt.Errorf("wait: %w", fatal))
				for _, s := range []*Stream{watching, idle} {
					<-s.Done()
					if !errors.Is(s.Err(), fatal) {
						r.Fatalf("got %v, want %v", s.Err(), fatal)
					}
				}
				late := r.open()
				if _, err := late.Watch(context.Background(), all("late")); !errors.Is(err, fatal) {
					r.Fatalf("watch: got %v, want %v", err, fatal)
				}
			})
		})
	}
}

func TestStreamsThatRequireALeaderEnd(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		strict, err := r.feed.Open(true)
		if err != nil {
			r.Fatalf("open: %v", err)
		}
		patient := r.open()
		r.watch(strict, all("strict"))
		r.watch(patient, all("patient"))
		r.source.Hold(feedtest.Events, feedtest.Wait, feedtest.Current)
		elapse(2 * electionTimeoutDefault)
		if strict.Err() != nil {
			r.Fatalf("ended too early")
		}
		if _, err := r.feed.Open(true); !errors.Is(err, ErrNoLeader) {
			r.Fatalf("open while out of reach: %v", err)
		}
		elapse(3 * electionTimeoutDefault)
		if !errors.Is(strict.Err(), ErrNoLeader) || patient.Err() != nil {
			r.Fatalf("the strict stream has %v, the patient one %v", strict.Err(), patient.Err())
		}
		r.source.Release()
		elapse(electionTimeoutDefault)
		again, err := r.feed.Open(true)
		if err != nil {
			r.Fatalf("open after the outage: %v", err)
		}
		strict.Close()
		again.Close()
		elapse(electionTimeoutDefault)
		before := r.source.Calls()
		elapse(time.Hour)
		if after := r.source.Calls(); after != before {
			r.Fatalf("nobody requires a leader, and it is asked for: %+v, %+v", before, after)
		}
	})
}

func TestAShortOutageEndsNoStream(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		s, err := r.feed.Open(true)
		if err != nil {
			r.Fatalf("open: %v", err)
		}
		// Between two questions, so that each outage swallows two of them.
		elapse(electionTimeoutDefault / 4)
		for range 5 {
			r.source.Fail(router.ErrUnavailable)
			elapse(5 * electionTimeoutDefault / 2)
			r.source.Fail(nil)
			elapse(3 * electionTimeoutDefault / 2)
		}
		if s.Err() != nil {
			r.Fatalf("ended: %v", s.Err())
		}
	})
}

// Answers that the client does not take make its requests wait, not grow.
func TestAnswersAreBounded(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		s := r.open()
		for i := range answersMax {
			if err := s.Answer(context.Background(), i); err != nil {
				r.Fatalf("answer %d: %v", i, err)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		failed := make(chan error)
		go func() {
			_, err := s.Watch(ctx, all("w"))
			failed <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			r.Fatalf("got %v", err)
		}
		go func() { failed <- s.Answer(context.Background(), "last") }()
		synctest.Wait()
		if item, ok := s.Next(); !ok || item.Note != 0 {
			r.Fatalf("got %v", item)
		}
		if err := <-failed; err != nil {
			r.Fatalf("answer: %v", err)
		}
	})
}
