package cluster

import (
	"testing"
	"time"
)

// pollInterval is how often Await looks. It only decides how late a condition is
// noticed, never whether a test passes.
const pollInterval = 20 * time.Millisecond

// Await polls until check returns nil, and fails the test with the last error
// once bound is over. What names the condition in that failure.
func Await(tb testing.TB, bound time.Duration, what string, check func() error) {
	tb.Helper()
	if err := Poll(bound, check); err != nil {
		tb.Fatalf("%s: not within %v: %v", what, bound, err)
	}
}

// Poll polls until check returns nil, or returns its last error once bound is
// over. It looks at least once.
func Poll(bound time.Duration, check func() error) error {
	deadline := time.NewTimer(bound)
	defer deadline.Stop()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			return err
		}
	}
}
