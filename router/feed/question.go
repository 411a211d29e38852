package feed

import (
	"context"

	"github.com/tierd/tierd/router"
)

// question is one linearizable read of the revision that several callers share.
// It is sent after the last of them has joined, so the answer is not older than
// any of their calls.
type question struct {
	answered           chan struct{}
	current, compacted Revision
	err                error
}

// ask reads the current and the compacted revision from the source, together
// with everybody who asks while another read is under way.
func (f *Feed) ask(ctx context.Context, stop <-chan struct{}) (current, compacted Revision, err error) {
	f.mu.Lock()
	if f.question == nil {
		f.question = &question{answered: make(chan struct{})}
	}
	q := f.question
	if !f.asking {
		if !f.startLocked(f.sendQuestions) {
			f.question = nil
			f.mu.Unlock()
			return 0, 0, router.ErrStopped
		}
		f.asking = true
	}
	f.mu.Unlock()
	select {
	case <-q.answered:
		return q.current, q.compacted, q.err
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-stop:
		return 0, 0, router.ErrStopped
	}
}

// sendQuestions sends one question after the other while there are any.
func (f *Feed) sendQuestions() {
	for {
		f.mu.Lock()
		q := f.question
		f.question = nil
		f.asking = q != nil
		f.mu.Unlock()
		if q == nil {
			return
		}
		q.current, q.compacted, q.err = f.source.CurrentRevision(f.ctx)
		close(q.answered)
	}
}
