package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/goleak"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/router/feed/feedtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reporter is the part of testing.T and rapid.T that the helpers need.
type reporter interface {
	Helper()
	Fatalf(format string, args ...any)
}

// rig is a feed over a keyspace in memory. Everything runs in a synctest bubble:
// settle returns when nothing moves any more.
type rig struct {
	reporter
	source *feedtest.Source
	feed   *Feed
}

func newRig(r reporter, settings Settings) *rig {
	source := feedtest.NewSource()
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	return &rig{reporter: r, source: source, feed: New(source, settings, logger, prometheus.NewRegistry())}
}

// bubble runs test with a rig.
func bubble(t *testing.T, settings Settings, test func(*rig)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, settings)
		defer r.feed.Close()
		test(r)
	})
}

func (r *rig) open() *Stream {
	r.Helper()
	s, err := r.feed.Open(false)
	if err != nil {
		r.Fatalf("open: %v", err)
	}
	return s
}

func (r *rig) watch(s *Stream, request Request) *Watcher {
	r.Helper()
	w, err := s.Watch(context.Background(), request)
	if err != nil {
		r.Fatalf("watch: %v", err)
	}
	return w
}

// settle waits until all goroutines of the feed wait, and returns what one
// stream then has for its client.
func (r *rig) settle(s *Stream) []Item {
	r.Helper()
	var items []Item
	for {
		synctest.Wait()
		item, ok := s.Next()
		if !ok {
			return items
		}
		items = append(items, item)
	}
}

// expect compares what a stream has with want, written as by describe.
func (r *rig) expect(s *Stream, want ...string) {
	r.Helper()
	var got []string
	for _, item := range r.settle(s) {
		got = append(got, describe(item))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.Fatalf("got %q, want %q", got, want)
	}
}

// describe writes an item as one word: its kind, the tag of its watcher, its
// revision, and its events with their previous values.
func describe(item Item) string {
	tag := any("*")
	if item.Watcher != nil {
		tag = item.Watcher.Tag()
	}
	switch item.Kind {
	case Answer:
		return fmt.Sprintf("answer:%v", item.Note)
	case Created:
		return fmt.Sprintf("created:%v@%d", tag, item.Revision)
	case Canceled:
		return fmt.Sprintf("canceled:%v", tag)
	case Progress:
		return fmt.Sprintf("progress:%v@%d", tag, item.Revision)
	case Revoked:
		return fmt.Sprintf("revoked:%v", tag)
	case Overtaken:
		return fmt.Sprintf("overtaken:%v<%d", tag, item.Compacted)
	}
	text := fmt.Sprintf("events:%v@%d", tag, item.Revision)
	for _, ev := range item.Events {
		text += ":" + describeEvent(ev)
	}
	return text
}

func describeEvent(ev *mvccpb.Event) string {
	text := fmt.Sprintf("%s=%s/%d", ev.Kv.Key, ev.Kv.Value, ev.Kv.ModRevision)
	if ev.Type == mvccpb.Event_DELETE {
		text = fmt.Sprintf("-%s/%d", ev.Kv.Key, ev.Kv.ModRevision)
	}
	if ev.PrevKv != nil {
		text += fmt.Sprintf("(%s)", ev.PrevKv.Value)
	}
	return text
}

func key(k string, tag any) Request { return Request{Key: []byte(k), Tag: tag} }

func all(tag any) Request { return Request{Key: []byte{0}, Range: true, Tag: tag} }

func TestDeliversLiveEventsOfTheRange(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		r.source.Put("b", "old")
		s := r.open()
		r.watch(s, key("b", "key"))
		r.watch(s, Request{Key: []byte("a"), End: []byte("c"), Range: true, Tag: "range"})
		r.watch(s, Request{Key: []byte("b"), Range: true, Tag: "from"})
		r.expect(s, "created:key@2", "created:range@2", "created:from@2")
		r.source.Put("b", "1")
		r.expect(s, "events:key@3:b=1/3", "events:range@3:b=1/3", "events:from@3:b=1/3")
		r.source.Put("c", "2")
		r.expect(s, "events:from@4:c=2/4")
		r.source.Put("a", "3")
		r.expect(s, "events:range@5:a=3/5")
		r.source.Txn(feedtest.Op{Key: "a", Delete: true}, feedtest.Op{Key: "z", Value: "4"})
		r.expect(s, "events:range@6:-a/6", "events:from@6:z=4/6")
	})
}

func TestFiltersAndPreviousValuesAreEachWatchersOwn(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		s := r.open()
		plain, prev := all("plain"), all("prev")
		prev.PrevKV = true
		noPut, noDelete := all("noput"), all("nodelete")
		noPut.NoPut, noDelete.NoDelete = true, true
		for _, request := range []Request{plain, prev, noPut, noDelete} {
			r.watch(s, request)
		}
		r.settle(s)
		r.source.Put("k", "1")
		r.source.Put("k", "2")
		r.source.Delete("k")
		got := map[any][]string{}
		for _, item := range r.settle(s) {
			for _, ev := range item.Events {
				got[item.Watcher.Tag()] = append(got[item.Watcher.Tag()], describeEvent(ev))
			}
		}
		want := map[any][]string{
			"plain":    {"k=1/2", "k=2/3", "-k/4"},
			"prev":     {"k=1/2", "k=2/3(1)", "-k/4(2)"},
			"noput":    {"-k/4"},
			"nodelete": {"k=1/2", "k=2/3"},
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			r.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestPreviousValuesAreReadOnlyWhileSomebodyWantsThem(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		s := r.open()
		r.watch(s, all("plain"))
		r.source.Put("k", "1")
		r.settle(s)
		if n := r.source.Calls().EventsWithPrev; n != 0 {
			r.Fatalf("%d reads asked for previous values that nobody wanted", n)
		}
		prev := all("prev")
		prev.PrevKV = true
		w := r.watch(s, prev)
		r.source.Put("k", "2")
		r.expect(s, "created:prev@2", "events:plain@3:k=2/3", "events:prev@3:k=2/3(1)")
		if err := s.Cancel(context.Background(), w); err != nil {
			r.Fatalf("cancel: %v", err)
		}
		before := r.source.Calls()
		r.source.Put("k", "3")
		r.settle(s)
		if after := r.source.Calls(); after.EventsWithPrev != before.EventsWithPrev || after.Events == before.Events {
			r.Fatalf("reads before %+v and after %+v the last one who wanted previous values left", before, after)
		}
	})
}

// A read that was begun before somebody wanted previous values does not serve
// that one: not a live read, not one of history, not the pages in memory.
func TestReadsWithoutPreviousValuesServeNobodyWhoWantsThem(t *testing.T) {
	prev := Request{Key: []byte("k"), Start: 3, PrevKV: true, Tag: "prev"}
	past := Request{Key: []byte("k"), Start: 2, Tag: "past"}
	t.Run("live", func(t *testing.T) {
		bubble(t, Settings{}, func(r *rig) {
			r.source.Put("k", "1")
			s := r.open()
			r.watch(s, all("plain"))
			r.expect(s, "created:plain@2")
			r.source.Hold(feedtest.Events)
			r.source.Put("k", "2")
			synctest.Wait()
			r.watch(s, prev)
			r.source.Release()
			r.expect(s, "created:prev@3", "events:prev@3:k=2/3(1)", "events:plain@3:k=2/3")
		})
	})
	t.Run("history", func(t *testing.T) {
		bubble(t, Settings{}, func(r *rig) {
			r.source.Put("k", "1")
			r.source.Put("k", "2")
			s := r.open()
			r.source.Hold(feedtest.Events)
			r.watch(s, past)
			r.expect(s, "created:past@3")
			r.watch(s, prev)
			r.source.Release()
			r.expect(s, "created:prev@3", "events:past@3:k=1/2:k=2/3", "events:prev@3:k=2/3(1)")
		})
	})
	t.Run("memory", func(t *testing.T) {
		bubble(t, Settings{}, func(r *rig) {
			s := r.open()
			r.watch(s, key("unwatched", "plain"))
			r.source.Put("k", "1")
			r.source.Put("k", "2")
			r.expect(s, "created:plain@1")
			r.watch(s, prev)
			r.expect(s, "created:prev@3", "events:prev@3:k=2/3(1)")
		})
	})
}

// One event costs one copy, however many watchers see it without its previous
// value, and watchers of one range share the slice.
func TestWatchersShareEvents(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		s := r.open()
		prev := all("prev")
		prev.PrevKV = true
		r.watch(s, prev)
		r.watch(s, all("a"))
		r.watch(s, all("b"))
		r.watch(s, key("k", "c"))
		r.source.Put("k", "0")
		r.settle(s)
		r.source.Put("k", "1")
		seen := map[any]*mvccpb.Event{}
		slices := map[any]**mvccpb.Event{}
		for _, item := range r.settle(s) {
			seen[item.Watcher.Tag()] = item.Events[0]
			slices[item.Watcher.Tag()] = &item.Events[0]
		}
		if seen["a"] != seen["b"] || seen["a"] != seen["c"] || seen["a"] == seen["prev"] {
			r.Fatalf("events are not shared: %v", seen)
		}
		if slices["a"] != slices["b"] {
			r.Fatalf("watchers of one range hold different slices")
		}
	})
}

func TestStartInThePastGoesOnLiveWithoutGapOrRepeat(t *testing.T) {
	bubble(t, Settings{PageBytes: 1}, func(r *rig) {
		for i := range 5 {
			r.source.Put("k", fmt.Sprint(i))
		}
		s := r.open()
		past := all("past")
		past.Start = 4
		r.watch(s, past)
		r.source.Put("k", "live")
		var got []string
		for _, item := range r.settle(s)[1:] {
			for _, ev := range item.Events {
				got = append(got, describeEvent(ev))
			}
		}
		want := []string{"k=2/4", "k=3/5", "k=4/6", "k=live/7"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			r.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestHistoryThatIsInMemoryIsNotReadAgain(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		s := r.open()
		r.watch(s, key("other", "first"))
		for i := range 3 {
			r.source.Put("k", fmt.Sprint(i))
		}
		r.expect(s, "created:first@1")
		before := r.source.Calls().Events
		past := key("k", "past")
		past.Start = 3
		r.watch(s, past)
		r.expect(s, "created:past@4", "events:past@4:k=1/3:k=2/4")
		if after := r.source.Calls().Events; after != before {
			r.Fatalf("%d reads of history that was in memory", after-before)
		}
	})
}

// The etcd issue 20221: nothing below a start revision in the future arrives, no
// event and no progress, also where the stream falls behind meanwhile.
func TestFutureStartSeesNothingEarlier(t *testing.T) {
	bubble(t, Settings{QueueItemsMax: 1, WindowBytesMax: 1}, func(r *rig) {
		s := r.open()
		future := all("future")
		future.Start = 6
		w := r.watch(s, future)
		r.watch(s, all("now"))
		s.RequestProgress()
		s.Announce(w)
		r.expect(s, "created:future@1", "created:now@1")
		for i := range 4 {
			r.source.Put("k", fmt.Sprint(i))
			synctest.Wait()
		}
		s.RequestProgress()
		s.Announce(w)
		for _, item := range r.settle(s) {
			if item.Kind != Events || item.Watcher == w {
				r.Fatalf("below the start revision: %s", describe(item))
			}
		}
		r.source.Put("k", "6")
		r.source.Put("k", "7")
		var got []string
		for _, item := range r.settle(s) {
			if item.Watcher == w {
				for _, ev := range item.Events {
					got = append(got, describeEvent(ev))
				}
			}
		}
		if fmt.Sprint(got) != "[k=6/6 k=7/7]" {
			r.Fatalf("got %q", got)
		}
	})
}

func TestAnIdleFeedAsksNothing(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		s := r.open()
		s.RequestProgress()
		r.source.Put("k", "1")
		r.expect(s)
		if calls := r.source.Calls(); calls != (feedtest.Calls{}) {
			r.Fatalf("without watchers: %+v", calls)
		}
		w := r.watch(s, all("w"))
		r.settle(s)
		if err := s.Cancel(context.Background(), w); err != nil {
			r.Fatalf("cancel: %v", err)
		}
		before := r.source.Calls()
		r.source.Put("k", "2")
		r.expect(s, "canceled:w")
		if after := r.source.Calls(); after != before {
			r.Fatalf("after the last watcher left: %+v, then %+v", before, after)
		}
		r.watch(s, all("again"))
		r.source.Put("k", "3")
		r.expect(s, "created:again@3", "events:again@4:k=3/4")
	})
}

func TestCancelDropsWhatIsQueued(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		s := r.open()
		w := r.watch(s, all("w"))
		r.settle(s)
		r.source.Put("k", "1")
		synctest.Wait()
		if err := s.Cancel(context.Background(), w); err != nil {
			r.Fatalf("cancel: %v", err)
		}
		r.source.Put("k", "2")
		r.expect(s, "canceled:w")
	})
}

func TestGaugesFollowTheWatchers(t *testing.T) {
	bubble(t, Settings{QueueItemsMax: 1}, func(r *rig) {
		m := r.feed.metrics
		expect := func(watchers, streams, slow, pending float64) {
			r.Helper()
			for gauge, want := range map[prometheus.Gauge]float64{m.watchers: watchers, m.streams: streams, m.slow: slow, m.pending: pending} {
				var got dto.Metric
				if err := gauge.Write(&got); err != nil || got.GetGauge().GetValue() != want {
					r.Fatalf("%s is %v, want %v (%v)", gauge.Desc(), got.GetGauge().GetValue(), want, err)
				}
			}
		}
		s := r.open()
		r.watch(s, all("a"))
		r.watch(s, all("b"))
		expect(2, 1, 0, 0)
		r.source.Put("k", "1")
		synctest.Wait()
		expect(2, 1, 1, 1)
		s.Close()
		expect(0, 0, 0, 0)
	})
}

func TestCloseEndsStreams(t *testing.T) {
	bubble(t, Settings{}, func(r *rig) {
		s := r.open()
		w := r.watch(s, all("w"))
		r.feed.Close()
		<-s.Done()
		_, watchErr := s.Watch(context.Background(), all("late"))
		_, openErr := r.feed.Open(false)
		for _, err := range []error{s.Err(), watchErr, openErr, s.Answer(context.Background(), nil), s.Cancel(context.Background(), w)} {
			if err != nil && !errors.Is(err, router.ErrStopped) {
				r.Fatalf("got %v, want %v", err, router.ErrStopped)
			}
		}
		if s.Err() == nil || watchErr == nil || openErr == nil {
			r.Fatalf("the feed works after Close")
		}
		s.Close()
		s.Close()
	})
}
