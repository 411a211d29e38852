package audit

import (
	"time"
)

// write is the goroutine that empties the queue, until Close.
func (l *Log) write() {
	defer close(l.done)
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-l.wake:
			if failing && !l.urgent() {
				continue // The ticker tries again.
			}
		case <-tick.C:
		}
		closed, err := l.flush()
		if err != nil && !failing {
			l.logger.Error("the audit log cannot be written", "file", l.settings.Path, "cause", err)
		} else if err == nil && failing {
			l.logger.Info("the audit log can be written again", "file", l.settings.Path)
		}
		failing = err != nil
		if closed {
			return
		}
	}
}

// urgent says whether somebody waits for the writer itself.
func (l *Log) urgent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.reopen || l.mu.closed
}

// flush writes what is queued. After an error it is queued still.
func (l *Log) flush() (closed bool, err error) {
	batch, lines, reopen, closed := l.take()
	if err = l.target.check(reopen); err == nil && len(batch) > 0 {
		var written int
		written, err = l.target.Write(batch)
		// Whole lines only: a line of which a part is written is begun again, after
		// the newline that ends the part.
		batch = rest(batch, written, &lines)
	}
	if err != nil {
		l.metrics.failures.Inc()
		l.giveBack(batch, lines)
		return closed, err
	}
	l.emptied(batch, lines)
	return closed, nil
}

// take swaps the buffers.
func (l *Log) take() (batch []byte, lines int, reopen, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch, lines = l.mu.queued, l.mu.lines
	l.mu.queued, l.mu.spare, l.mu.lines = l.mu.spare[:0], nil, 0
	reopen, l.mu.reopen = l.mu.reopen, false
	return batch, lines, reopen, l.mu.closed
}

// emptied makes room known, and says what was lost meanwhile.
func (l *Log) emptied(batch []byte, lines int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.metrics.lines.Add(float64(lines))
	l.mu.spare = batch[:0]
	close(l.mu.room)
	l.mu.room = make(chan struct{})
	l.mu.overflowing = false
	if l.mu.lost > 0 {
		e := &Entry{Event: EventLost, Lost: l.mu.lost, member: l.settings.Member, time: l.now()}
		l.mu.lost = 0
		l.addLocked(e)
		l.poke()
	}
}

// giveBack puts what was not written before what was queued since.
func (l *Log) giveBack(batch []byte, lines int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.queued, l.mu.spare = append(batch, l.mu.queued...), l.mu.queued[:0]
	l.mu.lines += lines
}

// rest is what is left of whole lines after the first written bytes, preceded by a
// newline where those end within a line; lines counts those that are written.
func rest(batch []byte, written int, lines *int) []byte {
	if written >= len(batch) {
		return batch
	}
	start := written
	for start > 0 && batch[start-1] != '\n' {
		start--
	}
	left := batch[start:]
	if start < written {
		left = append([]byte{'\n'}, left...)
	}
	count := 0
	for _, c := range batch[start:] {
		if c == '\n' {
			count++
		}
	}
	*lines = count
	return left
}
