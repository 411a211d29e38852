// Package audit writes down who asked for what: one JSON line for each call, and for
// each watch that a stream creates or ends. It owns the audit log's file, or writes to
// the standard output.
//
// It promises:
//
//   - Values, passwords and tokens never reach it: an Entry has no place for them.
//   - Nothing is left out silently. Lines are numbered without gaps per process; what
//     could not be written is counted, and a line in the log says how many were lost.
//   - Calls wait for a slow disk, but not for a dead one: a call waits for room in the
//     queue for roomWait at most, and once that was in vain no other call waits until
//     there is room again.
//   - A file that was moved away is opened again under its name, at the latest a second
//     later, or at once on Reopen.
//
// A line is queued before its call is answered, and written some milliseconds later
// without being synced: what a crash of the process cuts off is what was queued, and
// what a crash of the machine cuts off is up to the file system.
package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// queueBytesMax bounds what waits to be written.
	queueBytesMax = 8 << 20
	// roomWait is how long one call waits for room in the queue.
	roomWait = time.Second
	// checkInterval is how often the file is looked for under its name, and how long
	// a failed one is left alone before it is tried again.
	checkInterval = time.Second
	// Stdout is the path that means the standard output.
	Stdout = "-"
)

// Settings are the values a user may change.
type Settings struct {
	// Path is the file, or Stdout.
	Path string
	// Reads says whether reads that succeeded are written, too.
	Reads bool
	// BytesMax is the size from which the file is set aside as Path.1 and begun anew;
	// 0 means never. Kept is how many such files stay.
	BytesMax int64
	Kept     int
	// Member names this frontend in every line.
	Member string
}

// Components are what a log is built from; Stdout may be nil where the path is a file.
type Components struct {
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	Now     func() time.Time
	Stdout  io.Writer
}

// Log is an open audit log. It is safe for concurrent use until Close.
type Log struct {
	settings Settings
	logger   *slog.Logger
	now      func() time.Time
	metrics  *metrics
	target   target

	// wake tells the writer that something is queued or asked for.
	wake chan struct{}
	// done is closed when the writer has ended.
	done chan struct{}

	mu struct {
		sync.Mutex
		// sequence numbers lines; queued holds those that wait, and spare is the
		// writer's other buffer.
		sequence      uint64
		queued, spare []byte
		lines         int
		// room is closed, and made anew, whenever the writer has emptied the queue.
		room chan struct{}
		// overflowing says that a call has waited in vain; lost counts the lines of
		// which no line in the log has told yet.
		overflowing    bool
		lost           uint64
		reopen, closed bool
	}
}

// Open opens the log and writes its first line. An error is the operator's to mend.
func Open(s Settings, c Components) (*Log, error) {
	m, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, err
	}
	l := &Log{
		settings: s, logger: c.Logger, now: c.Now, metrics: m,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	l.mu.room = make(chan struct{})
	if s.Path == Stdout {
		l.target = stream{c.Stdout}
	} else if l.target, err = openFile(s.Path, s.BytesMax, s.Kept); err != nil {
		return nil, err
	}
	go l.write()
	l.Record(&Entry{Event: EventBegin})
	return l, nil
}

// Reads says whether reads that succeeded belong in the log.
func (l *Log) Reads() bool { return l.settings.Reads }

// Record queues a line, waiting for room as the package says.
func (l *Log) Record(e *Entry) {
	e.member, e.time = l.settings.Member, l.now()
	var timer *time.Timer
	for {
		l.mu.Lock()
		if l.mu.closed {
			l.mu.Unlock()
			return
		}
		if len(l.mu.queued) < queueBytesMax {
			l.addLocked(e)
			l.mu.Unlock()
			l.poke()
			return
		}
		if l.mu.overflowing {
			l.loseLocked()
			l.mu.Unlock()
			return
		}
		room := l.mu.room
		l.mu.Unlock()
		if timer == nil {
			timer = time.NewTimer(roomWait)
			defer timer.Stop()
		}
		select {
		case <-room:
		case <-timer.C:
			l.overflow(room)
		}
	}
}

// addLocked numbers and queues a line.
func (l *Log) addLocked(e *Entry) {
	l.mu.sequence++
	e.sequence = l.mu.sequence
	l.mu.queued = e.appendTo(l.mu.queued)
	l.mu.lines++
}

// loseLocked counts a line that there is no room for, number and all.
func (l *Log) loseLocked() {
	l.mu.sequence++
	l.mu.lost++
	l.metrics.lost.Inc()
}

// overflow ends the waiting for a room that did not come.
func (l *Log) overflow(room chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.room != room || l.mu.overflowing {
		return // There is room by now, or another call was first.
	}
	l.mu.overflowing = true
	l.logger.Error("the audit log cannot be written fast enough: lines are left out until there is room")
}

// poke wakes the writer.
func (l *Log) poke() {
	select {
	case l.wake <- struct{}{}:
	default: // It is awake already.
	}
}

// Reopen has the file opened again under its name, for whoever has moved it.
func (l *Log) Reopen() {
	l.mu.Lock()
	l.mu.reopen = true
	l.mu.Unlock()
	l.poke()
}

// Close writes what is queued and closes the file. Entries that come later are
// ignored: no call is under way when a frontend closes its log.
func (l *Log) Close(ctx context.Context) error {
	l.Record(&Entry{Event: EventEnd})
	l.mu.Lock()
	l.mu.closed = true
	l.mu.Unlock()
	l.poke()
	select {
	case <-l.done:
	case <-ctx.Done():
		return fmt.Errorf("write the last lines of the audit log: %w", ctx.Err())
	}
	l.mu.Lock()
	left := l.mu.lines
	l.mu.Unlock()
	if err := l.target.close(); err != nil {
		return fmt.Errorf("close the audit log: %w", err)
	}
	if left > 0 {
		return errors.New("the last lines of the audit log could not be written")
	}
	return nil
}
