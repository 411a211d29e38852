package expire

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tierd/tierd/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is what one call of ExpireLeases gives.
type answer struct {
	revoked int
	next    time.Duration
	err     error
}

// script is a fake router.API that gives its answers in order and then ends the
// loop; it notes when it was called.
type script struct {
	answers []answer
	end     context.CancelFunc
	began   time.Time
	called  []time.Duration
}

func (s *script) ExpireLeases(context.Context) (int, time.Duration, error) {
	s.called = append(s.called, time.Since(s.began))
	if len(s.called) > len(s.answers) {
		s.end()
		return 0, 0, context.Canceled
	}
	a := s.answers[len(s.called)-1]
	return a.revoked, a.next, a.err
}

// play runs the loop on a script, and returns when it called and what it logged.
func play(t *testing.T, answers ...answer) (called []time.Duration, logged string) {
	t.Helper()
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := &script{answers: answers, end: cancel, began: time.Now()}
		Loop(ctx, Components{API: s, Logger: slog.New(slog.NewTextHandler(&log, nil)), After: time.After})
		called = s.called
	})
	return called, log.String()
}

func ms(times ...int) []time.Duration {
	var durations []time.Duration
	for _, t := range times {
		durations = append(durations, time.Duration(t)*time.Millisecond)
	}
	return durations
}

func TestWaits(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection refused")
	for name, c := range map[string]struct {
		answers []answer
		called  []time.Duration
	}{
		"nothing to do":       {[]answer{{next: time.Minute}, {next: time.Minute}}, ms(0, 500, 1000)},
		"the next is near":    {[]answer{{next: 120 * time.Millisecond}, {next: time.Minute}}, ms(0, 120, 620)},
		"more are due":        {[]answer{{revoked: 100}, {revoked: 3, next: time.Minute}}, ms(0, 0, 500)},
		"due, but no success": {[]answer{{}, {next: time.Microsecond}}, ms(0, 50, 100)},
		"failures back off":   {[]answer{{err: broken}, {err: broken}, {err: broken}, {next: time.Minute}}, ms(0, 500, 1500, 3500, 4000)},
		"success resets":      {[]answer{{err: broken}, {next: time.Minute}, {err: broken}}, ms(0, 500, 1000, 1500)},
		"the frontend stops":  {[]answer{{err: router.ErrStopped}}, ms(0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if called, _ := play(t, c.answers...); !slices.Equal(called, c.called) {
				t.Errorf("called after %v, want %v", called, c.called)
			}
		})
	}
}

func TestBackOffIsBounded(t *testing.T) {
	t.Parallel()
	answers := make([]answer, 10)
	for i := range answers {
		answers[i].err = router.ErrUnavailable
	}
	called, logged := play(t, answers...)
	if last := called[len(called)-1] - called[len(called)-2]; last != backOffMax {
		t.Errorf("the last wait is %v, want %v", last, backOffMax)
	}
	if n := strings.Count(logged, "\n"); n != 1 {
		t.Errorf("an outage is logged in %d lines:\n%s", n, logged)
	}
}

func TestRecoveryIsLogged(t *testing.T) {
	t.Parallel()
	_, logged := play(t, answer{err: router.ErrUnavailable}, answer{next: time.Minute}, answer{next: time.Minute})
	if n := strings.Count(logged, "\n"); n != 2 || !strings.Contains(logged, "again") {
		t.Errorf("an outage and its end are logged as:\n%s", logged)
	}
}

// The end of ctx ends a wait at once.
func TestEndsInAWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &script{answers: []answer{{next: time.Minute}}, end: cancel, began: time.Now()}
		done := make(chan struct{})
		go func() {
			Loop(ctx, Components{API: s, Logger: slog.New(slog.DiscardHandler), After: time.After})
			close(done)
		}()
		synctest.Wait()
		cancel()
		<-done
		if took := time.Since(s.began); took != 0 || len(s.called) != 1 {
			t.Errorf("ended after %v and %d calls", took, len(s.called))
		}
	})
}
