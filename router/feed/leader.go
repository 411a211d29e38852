package feed

import (
	"context"
	"time"
)

// watchLeaderLocked counts a stream that requires a leader and begins to look
// for signs of life of the hot tier.
func (f *Feed) watchLeaderLocked() {
	f.leaderStreams++
	if !f.leaderProbing && f.startLocked(f.probeLeader) {
		f.leaderProbing = true
	}
}

// probeLeader asks the hot tier for a sign of life as long as there is a stream
// that requires a leader, and ends those streams when too many are missing.
func (f *Feed) probeLeader() {
	tick := time.NewTicker(f.settings.ElectionTimeout)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-f.ctx.Done():
			return
		}
		err := f.signOfLife()
		if err != nil && f.fail(err) {
			err = nil
		}
		if !f.noteSignOfLife(err) {
			return
		}
	}
}

// signOfLife is nil if the hot tier answers in time.
func (f *Feed) signOfLife() error {
	ctx, cancel := context.WithTimeout(f.ctx, f.settings.ElectionTimeout)
	defer cancel()
	_, _, err := f.ask(ctx, nil)
	return err
}

// noteSignOfLife counts what is missing; false means that nobody cares any more.
func (f *Feed) noteSignOfLife(err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.leaderStreams == 0 {
		f.leaderMisses, f.leaderProbing = 0, false
		return false
	}
	if err == nil {
		f.leaderMisses = 0
		return true
	}
	if f.leaderMisses++; f.leaderMisses != leaderMissesMax {
		return true
	}
	f.logger.Warn("the hot tier is out of reach: watch streams that require a leader end", "cause", err)
	for s := range f.streams {
		if s.requireLeader {
			f.endStreamLocked(s, ErrNoLeader)
		}
	}
	return true
}
