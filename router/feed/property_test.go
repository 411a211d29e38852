package feed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/router/feed/feedtest"
)

// TestGuarantees drives random histories, compactions, outages, watchers of all
// sorts, and readers that take what is queued at random moments, with limits so
// small that every watcher falls behind now and then. Every item is held against
// the promises of the package as it arrives; at the end every watcher must have
// had everything.
func TestGuarantees(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// One check of rapid's is a hundred histories unless a flag says otherwise.
		for range 10 {
			rapid.Check(inBubble{t}, guarantees)
		}
	})
}

// guarantees is one history.
func guarantees(rt *rapid.T) {
	settings := Settings{
		PageBytes:      rapid.IntRange(1, 60).Draw(rt, "pageBytes"),
		QueueItemsMax:  rapid.IntRange(1, 6).Draw(rt, "queueItems"),
		QueueBytesMax:  rapid.IntRange(1, 4000).Draw(rt, "queueBytes"),
		WindowBytesMax: rapid.IntRange(1, 3000).Draw(rt, "windowBytes"),
		CatchUpsMax:    rapid.IntRange(1, 3).Draw(rt, "catchUps"),
	}
	w := &world{rig: newRig(rt, settings), T: rt}
	defer w.feed.Close()
	for range rapid.IntRange(1, 4).Draw(rt, "streams") {
		w.streams = append(w.streams, &client{stream: w.open()})
	}
	actions := []func(*rapid.T){
		w.write, w.write, w.write, w.watchSomething, w.watchSomething, w.take, w.take, w.settleAll, w.settleAll,
		w.askProgress, w.askProgress, w.cancelSomething, w.compact, w.hold, w.release, w.outage,
	}
	for range rapid.IntRange(40, 80).Draw(rt, "steps") {
		actions[rapid.IntRange(0, len(actions)-1).Draw(rt, "action")](rt)
	}
	w.finish()
}

// inBubble hides from rapid that a test has a deadline, which may not be asked
// for inside a bubble.
type inBubble struct{ *testing.T }

// world is the state of one run: every stream with what its watchers must get.
type world struct {
	*rig
	*rapid.T
	streams []*client
	away    bool
}

func (w *world) Helper()                           { w.T.Helper() }
func (w *world) Fatalf(format string, args ...any) { w.T.Fatalf(format, args...) }

// client is one stream and its reader.
type client struct {
	stream  *Stream
	watches []*expectation
}

// expectation is what one watcher must get. next is the first revision that it
// has not seen, pending the events of its range that it has not seen.
type expectation struct {
	watcher             *Watcher
	request             Request
	start, seen         Revision
	created, over, gone bool
}

func (w *world) write(rt *rapid.T) {
	for range rapid.IntRange(1, 6).Draw(rt, "revisions") {
		keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), 1, 3, rapid.ID[string]).Draw(rt, "keys")
		var ops []feedtest.Op
		for _, k := range keys {
			value := strings.Repeat("v", rapid.IntRange(0, 30).Draw(rt, "size"))
			ops = append(ops, feedtest.Op{Key: k, Value: value, Delete: rapid.IntRange(0, 3).Draw(rt, "kind") == 0})
		}
		w.source.Txn(ops...)
	}
}

func (w *world) compact(rt *rapid.T) {
	if rapid.IntRange(0, 2).Draw(rt, "often") == 0 {
		w.source.Compact(w.source.LastRevision() - Revision(rapid.IntRange(0, 12).Draw(rt, "back")))
	}
}

// outage begins one, or ends it and lets the pauses of the feed pass.
func (w *world) outage(*rapid.T) {
	w.away = !w.away
	if w.away {
		w.source.Fail(errors.New("away"))
		return
	}
	w.source.Fail(nil)
	<-time.After(2 * retryMaxDefault)
}

// hold makes one kind of read hang until release.
func (w *world) hold(rt *rapid.T) {
	if rapid.Bool().Draw(rt, "events") {
		w.source.Hold(feedtest.Events)
	} else {
		w.source.Hold(feedtest.Wait)
	}
}

func (w *world) release(*rapid.T) { w.source.Release() }

func (w *world) settleAll(*rapid.T) { synctest.Wait() }

func (w *world) anyStream(rt *rapid.T) *client {
	return w.streams[rapid.IntRange(0, len(w.streams)-1).Draw(rt, "stream")]
}

func (w *world) watchSomething(rt *rapid.T) {
	c := w.anyStream(rt)
	if w.away || len(c.watches) == 8 || len(c.stream.room) == answersMax {
		return // the watch would wait
	}
	key := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "key")
	request := Request{
		Key: []byte(key), Range: rapid.Bool().Draw(rt, "range"),
		End:    []byte(rapid.SampledFrom([]string{"", "e"}).Draw(rt, "end")),
		PrevKV: rapid.Bool().Draw(rt, "prev"),
		NoPut:  rapid.IntRange(0, 5).Draw(rt, "noput") == 0, NoDelete: rapid.IntRange(0, 5).Draw(rt, "nodelete") == 0,
	}
	if !request.Range {
		request.End = nil
	}
	current := w.source.LastRevision()
	if rapid.Bool().Draw(rt, "explicit") {
		request.Start = Revision(rapid.Int64Range(1, int64(current)+4).Draw(rt, "start"))
	}
	e := &expectation{request: request, start: request.Start}
	if e.start == 0 {
		e.start = current + 1
	}
	request.Tag = e
	e.watcher = w.watch(c.stream, request)
	c.watches = append(c.watches, e)
}

func (w *world) cancelSomething(rt *rapid.T) {
	c := w.anyStream(rt)
	if len(c.watches) == 0 || len(c.stream.room) == answersMax {
		return
	}
	e := c.watches[rapid.IntRange(0, len(c.watches)-1).Draw(rt, "watch")]
	if e.gone {
		return
	}
	if err := c.stream.Cancel(context.Background(), e.watcher); err != nil {
		rt.Fatalf("cancel: %v", err)
	}
	e.gone = true
}

func (w *world) askProgress(rt *rapid.T) {
	c := w.anyStream(rt)
	if len(c.watches) > 0 && rapid.Bool().Draw(rt, "one") {
		c.stream.Announce(c.watches[rapid.IntRange(0, len(c.watches)-1).Draw(rt, "watch")].watcher)
		return
	}
	c.stream.RequestProgress()
}

// take takes a few items from one stream and checks them.
func (w *world) take(rt *rapid.T) {
	c := w.anyStream(rt)
	for range rapid.IntRange(1, 20).Draw(rt, "items") {
		item, ok := c.stream.Next()
		if !ok {
			return
		}
		w.check(c, item)
	}
}

// check holds one item against the promises.
func (w *world) check(c *client, item Item) {
	if item.Kind == Progress && item.Watcher == nil {
		for _, e := range c.watches {
			if e.created && !e.over && !e.gone {
				w.checkProgress(e, item.Revision)
			}
		}
		return
	}
	e := item.Watcher.Tag().(*expectation)
	if item.Kind == Canceled {
		e.over = true
		return
	}
	if e.over || e.gone && item.Kind != Created {
		w.Fatalf("after the end of the watch: %s", describe(item))
	}
	if (item.Kind == Created) == e.created {
		w.Fatalf("created twice, or something before created: %s", describe(item))
	}
	switch item.Kind {
	case Created:
		e.created = true
	case Progress:
		w.checkProgress(e, item.Revision)
	case Overtaken:
		e.over = true
		if item.Compacted > w.source.Compacted() || max(e.start, e.seen+1) >= item.Compacted {
			w.Fatalf("overtaken without need: %s", describe(item))
		}
	case Events:
		w.checkEvents(e, item)
	}
}

// missing are the events that e has not got yet.
func (w *world) missing(e *expectation) []*mvccpb.Event {
	v := e.request.view()
	var events []*mvccpb.Event
	for _, ev := range w.source.History(max(e.start, e.seen+1)) {
		if v.covers(ev) {
			events = append(events, ev)
		}
	}
	return events
}

// checkEvents: the item holds the next missing events, whole revisions of them.
func (w *world) checkEvents(e *expectation, item Item) {
	missing := w.missing(e)
	if len(item.Events) == 0 || len(item.Events) > len(missing) {
		w.Fatalf("%d events came, %d are missing: %s", len(item.Events), len(missing), describe(item))
	}
	for i, got := range item.Events {
		want := missing[i]
		if got.Kv != want.Kv || got.Type != want.Type {
			w.Fatalf("event %d is %s, want %s", i, describeEvent(got), describeEvent(want))
		}
		compacted := Revision(got.Kv.ModRevision)-1 < w.source.Compacted()
		if (got.PrevKv != nil && !e.request.PrevKV) || (e.request.PrevKV && got.PrevKv != want.PrevKv && !compacted) {
			w.Fatalf("previous value of %s, want %s (prevKV %v)", describeEvent(got), describeEvent(want), e.request.PrevKV)
		}
	}
	e.seen = lastRevision(item.Events)
	if rest := missing[len(item.Events):]; len(rest) > 0 && Revision(rest[0].Kv.ModRevision) == e.seen {
		w.Fatalf("a revision was split: %s", describe(item))
	}
	if item.Revision < e.seen || item.Revision > w.source.LastRevision() {
		w.Fatalf("the header does not fit: %s", describe(item))
	}
}

// checkProgress: nothing at or below the revision is missing, and nothing above
// it has come.
func (w *world) checkProgress(e *expectation, revision Revision) {
	if revision < e.seen || revision < e.request.Start {
		w.Fatalf("progress at %d, behind %d or the start %d", revision, e.seen, e.request.Start)
	}
	if missing := w.missing(e); len(missing) > 0 && Revision(missing[0].Kv.ModRevision) <= revision {
		w.Fatalf("progress at %d, and %s has not come", revision, describeEvent(missing[0]))
	}
}

// finish heals everything and takes what there is: nobody may miss anything, and
// everybody who asks is told the current revision.
func (w *world) finish() {
	w.source.Fail(nil)
	w.source.Release()
	<-time.After(10 * retryMaxDefault)
	for _, c := range w.streams {
		for _, item := range w.settle(c.stream) {
			w.check(c, item)
		}
		ask := false
		for _, e := range c.watches {
			if e.over || e.gone {
				continue
			}
			if missing := w.missing(e); !e.created || len(missing) > 0 {
				w.Fatalf("a watcher misses %d events", len(missing))
			}
			ask = e.request.Start <= w.source.LastRevision()
			if !ask {
				break
			}
		}
		c.stream.RequestProgress()
		items := w.settle(c.stream)
		if want := fmt.Sprintf("progress:*@%d", w.source.LastRevision()); ask && (len(items) != 1 || describe(items[0]) != want) {
			w.Fatalf("asked for progress, got %d items, want %s", len(items), want)
		}
	}
}
