// Package feed turns the history of a keyspace into live watches. One Feed
// serves all watch streams of a frontend: a single follower reads new events in
// order and hands them to every watcher whose range they touch.
//
// # Promises
//
// For every watcher, as long as its stream lives:
//
//   - ordered: events arrive by revision, and within one by sub-revision.
//   - unique: no event arrives twice.
//   - reliable: no event of the range at or above the start revision is left
//     out, up to the last one that arrived.
//   - atomic: the events of one revision arrive in one Item.
//   - resumable: any start revision that is not compacted works, the compacted
//     revision itself included; below it the watcher is told Overtaken, once.
//   - permitted: no event reaches a watcher that was committed after the watcher's
//     holder had lost the right to it (see Rights); it is told Revoked, once.
//   - bookmarkable: a Progress item at revision R comes after every event at or
//     below R, and only where the start revision is at or below R.
//
// # How a watcher is fed
//
// A watcher is live when it has been given everything that the follower has
// dispatched, and catching up when it has not: it starts in the past, or the
// queue of its stream was full. Those that catch up read history by themselves,
// from the window (the last dispatched pages, in memory) or from the Source, a
// bounded number of reads at a time, each page shared by all who need it. The
// step to live is taken under the same lock that moves the follower's position,
// so nothing falls between and nothing comes twice. A slow reader costs the
// bytes of its own queue and nobody's time.
//
// Nothing survives a crash, and nothing needs to: a client resumes on any
// frontend from the last revision it saw. Without watchers the feed reads
// nothing and keeps nothing.
//
// # Locks
//
// Feed.mu before Stream.mu; neither is held during a call to the Source.
package feed

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tierd/tierd/router"
)

// Revision is router.Revision.
type Revision = router.Revision

// Source is the part of a keyspace that the feed reads; router.API describes
// the methods.
type Source interface {
	Events(ctx context.Context, from Revision, maxBytes int, prevKV bool) (router.EventPage, error)
	WaitRevision(ctx context.Context, after Revision) (Revision, error)
	CurrentRevision(ctx context.Context) (current, compacted Revision, err error)
}

// ErrNoLeader ends the streams that asked to end when the hot tier is out of
// reach.
var ErrNoLeader = errors.New("the hot tier has been out of reach for too long")

// The limits that stand where Settings name none.
const (
	pageBytesDefault       = 1 << 20
	queueItemsMaxDefault   = 1024
	queueBytesMaxDefault   = 8 << 20
	windowBytesMaxDefault  = 4 << 20
	queuesBytesMaxDefault  = 256 << 20
	catchUpsMaxDefault     = 4
	retryMinDefault        = 10 * time.Millisecond
	retryMaxDefault        = time.Second
	electionTimeoutDefault = time.Second
)

const (
	// answersMax is how many answers to requests one stream may have queued
	// before the next request of that stream waits.
	answersMax = 64
	// leaderMissesMax is how many election timeouts the hot tier may be silent
	// before the streams that require a leader are ended.
	leaderMissesMax = 3
)

// Settings bound the feed. A zero field means the default.
type Settings struct {
	// PageBytes is about how much one read of history asks for, in bytes.
	PageBytes int
	// QueueItemsMax and QueueBytesMax bound the events that wait in one stream.
	// One Item is always taken, however large.
	QueueItemsMax, QueueBytesMax int
	// QueuesBytesMax bounds the events that wait in all streams together: beyond it a
	// stream that has any takes no more before its client has read.
	QueuesBytesMax int
	// WindowBytesMax bounds the dispatched events kept in memory.
	WindowBytesMax int
	// CatchUpsMax is how many reads of history run at once.
	CatchUpsMax int
	// RetryMin and RetryMax bound the pause after a failed read; it doubles.
	RetryMin, RetryMax time.Duration
	// ElectionTimeout is how often the hot tier is asked for a sign of life while
	// a stream requires a leader. Three missing signs end such streams.
	ElectionTimeout time.Duration
	// Rights, if set, say which watchers may go on when the auth data change.
	Rights Rights
}

// withDefaults fills in what is zero.
func (s Settings) withDefaults() Settings {
	fill(&s.PageBytes, pageBytesDefault)
	fill(&s.QueueItemsMax, queueItemsMaxDefault)
	fill(&s.QueueBytesMax, queueBytesMaxDefault)
	fill(&s.QueuesBytesMax, queuesBytesMaxDefault)
	fill(&s.WindowBytesMax, windowBytesMaxDefault)
	fill(&s.CatchUpsMax, catchUpsMaxDefault)
	fill(&s.RetryMin, retryMinDefault)
	fill(&s.RetryMax, retryMaxDefault)
	fill(&s.ElectionTimeout, electionTimeoutDefault)
	return s
}

func fill[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Feed serves the watch streams of one frontend. Its methods may be called from
// any goroutine.
type Feed struct {
	source   Source
	settings Settings
	logger   *slog.Logger
	metrics  *metrics

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	// queued are the bytes of events in the queues of all streams.
	queued atomic.Int64

	mu      sync.Mutex
	closed  bool
	streams map[*Stream]struct{}
	index   *index
	// watchers counts those that are live or catching up.
	watchers int

	// follower is nil while there is no watcher. next is the first revision not
	// dispatched yet; it means something only while there is a follower.
	follower *follower
	next     Revision
	window   window

	// ready are the watchers that catch up and have room in their queue, in the
	// order of their turns; some may have moved on. reading are the first
	// revisions of the reads of history under way.
	ready    []*Watcher
	reading  []Revision
	catchUps int

	// auth is the version of the auth data by which all watchers may watch.
	auth int64

	// question is the next linearizable read of the revision, not yet sent.
	question *question
	asking   bool

	// progressAsked wait for a revision, progressDue for the follower to reach it.
	progressAsked   map[*Stream]struct{}
	progressDue     map[*Stream]struct{}
	progressRunning bool

	// leaderStreams counts the open streams that require a leader.
	leaderStreams, leaderMisses int
	leaderProbing               bool
}

// New makes a feed that reads from source. It starts nothing until the first
// watcher comes. Close ends it.
func New(source Source, settings Settings, logger *slog.Logger, registerer prometheus.Registerer) *Feed {
	ctx, cancel := context.WithCancel(context.Background())
	return &Feed{
		source:        source,
		settings:      settings.withDefaults(),
		logger:        logger,
		metrics:       newMetrics(registerer),
		ctx:           ctx,
		cancel:        cancel,
		streams:       make(map[*Stream]struct{}),
		index:         newIndex(),
		progressAsked: make(map[*Stream]struct{}),
		progressDue:   make(map[*Stream]struct{}),
	}
}

// Close ends all streams with router.ErrStopped and waits for everything that
// the feed has started.
func (f *Feed) Close() {
	f.mu.Lock()
	f.closed = true
	f.endLocked(router.ErrStopped)
	f.mu.Unlock()
	f.cancel()
	f.running.Wait()
}

// startLocked runs work in the background, unless the feed is closed.
func (f *Feed) startLocked(work func()) bool {
	if f.closed {
		return false
	}
	f.running.Go(work)
	return true
}

// endLocked ends every stream with err.
func (f *Feed) endLocked(err error) {
	for s := range f.streams {
		f.endStreamLocked(s, err)
	}
}

// fatal tells whether an error of the source is not worth another try.
func fatal(err error) bool {
	return errors.Is(err, router.ErrStopped) || errors.Is(err, router.ErrCorrupt)
}

// fail ends every stream if err is fatal, and tells whether it was.
func (f *Feed) fail(err error) bool {
	if !fatal(err) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.streams) > 0 && !errors.Is(err, router.ErrStopped) {
		f.logger.Error("all watch streams end: the keyspace cannot be served", "cause", err)
	}
	f.endLocked(err)
	return true
}

// backoff is the pause before the next try of something that failed.
type backoff struct {
	settings *Settings
	delay    time.Duration
}

// wait pauses, longer each time; false means that ctx or stop came first.
func (b *backoff) wait(ctx context.Context, stop <-chan struct{}) bool {
	b.delay = min(max(2*b.delay, b.settings.RetryMin), b.settings.RetryMax)
	timer := time.NewTimer(b.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-stop:
		return false
	}
}

// reset makes the next pause short again.
func (b *backoff) reset() { b.delay = 0 }
