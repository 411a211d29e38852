package balance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/router"
)

// fake is a Topologist with one hot range that is split once, and one endpoint that
// drains; it notes when it was asked to do what.
type fake struct {
	router.Topologist
	began    time.Time
	topology router.Topology
	// writes are per second on the range.
	writes  int64
	failure error // of changes
	unread  error // of the map
	looks   int
	log     []string
}

func (f *fake) Topology(context.Context) (router.Topology, error) {
	f.looks++
	if f.unread != nil {
		return router.Topology{}, f.unread
	}
	t := f.topology
	t.Ranges, t.Shards = slices.Clone(t.Ranges), slices.Clone(t.Shards)
	seconds := int64(time.Since(f.began) / time.Second)
	t.Ranges[0].Writes, t.Shards[0].Tail = f.writes*seconds, f.writes*seconds
	return t, nil
}

func (f *fake) note(format string, arguments ...any) error {
	f.log = append(f.log, fmt.Sprintf("%v: %s", time.Since(f.began), fmt.Sprintf(format, arguments...)))
	return f.failure
}

func (f *fake) Split(_ context.Context, at []byte) error { return f.note("split at %s", at) }

func (f *fake) Move(ctx context.Context, from, to []byte, endpoint int, _ func(router.MoveStatus)) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(10 * time.Second):
	}
	return f.note("move %s..%s to %d", from, to, endpoint)
}

// play runs the loop for a time with the default settings.
func play(t *testing.T, length time.Duration, leads func() bool, prepare func(*fake)) (f *fake, logged string) {
	t.Helper()
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		f = &fake{began: time.Now(), writes: 12_000, topology: router.Topology{
			Endpoints: []router.EndpointStatus{{ID: 0}, {ID: 1}},
			Shards:    []router.ShardStatus{{ID: 0, Role: router.RoleHome}},
			Ranges:    []router.RangeStatus{{Keys: 1000, Bytes: 1 << 20, Middle: []byte("m"), WrittenMiddle: []byte("n")}},
		}}
		prepare(f)
		Loop(ctx, Components{Topologist: f, Logger: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now, After: time.After, Leader: leads}, DefaultSettings())
	})
	return f, log.String()
}

func yes() bool { return true }

func expect(t *testing.T, f *fake, want ...string) {
	t.Helper()
	if !slices.Equal(f.log, want) {
		t.Errorf("did\n  %s\nwant\n  %s", strings.Join(f.log, "\n  "), strings.Join(want, "\n  "))
	}
}

// Nothing is decided before writes were counted for a window; every decision is in
// the log with its reason.
func TestLoopActs(t *testing.T) {
	t.Parallel()
	f, logged := play(t, 61*time.Second, yes, func(*fake) {})
	expect(t, f, "1m0s: split at n")
	for _, want := range []string{"msg=balancing ", "change=split", "at=n", "all keys take 12,000 writes/s, more than 10,000 writes/s", "msg=balanced "} {
		if !strings.Contains(logged, want) {
			t.Errorf("the log says nothing of %q:\n%s", want, logged)
		}
	}
}

// A frontend that does not lead does not even look, and begins anew when it leads.
func TestLoopFollowsTheLeader(t *testing.T) {
	t.Parallel()
	f, logged := play(t, 5*time.Minute, func() bool { return false }, func(*fake) {})
	if expect(t, f); f.looks > 0 || logged != "" {
		t.Errorf("%d looks, log:\n%s", f.looks, logged)
	}
	var began time.Time
	f, _ = play(t, 4*time.Minute+time.Second, func() bool { return time.Since(began) >= 3*time.Minute }, func(f *fake) { began = f.began })
	expect(t, f, "4m0s: split at n")
}

// What drains is emptied at once.
func TestLoopDrains(t *testing.T) {
	t.Parallel()
	f, _ := play(t, 15*time.Second, yes, func(f *fake) { f.topology.Endpoints[0].Draining = true })
	expect(t, f, "10s: move .. to 1")
}

// A move under way ends with the loop.
func TestLoopEndsInAMove(t *testing.T) {
	t.Parallel()
	f, logged := play(t, 5*time.Second, yes, func(f *fake) { f.topology.Endpoints[0].Draining = true })
	if expect(t, f); strings.Contains(logged, "level=WARN") {
		t.Errorf("log:\n%s", logged)
	}
}

// A failure is logged and holds the next act back; another's change of the map is
// waited for.
func TestLoopFails(t *testing.T) {
	t.Parallel()
	f, logged := play(t, 6*time.Minute+time.Second, yes, func(f *fake) { f.failure = errors.New("no such luck") })
	expect(t, f, "1m0s: split at n", "6m0s: split at n")
	if n := strings.Count(logged, "no such luck"); n != 2 {
		t.Errorf("logged %d times:\n%s", n, logged)
	}
	f, logged = play(t, 2*time.Minute+time.Second, yes, func(f *fake) { f.failure = router.ErrBusy })
	expect(t, f, "1m0s: split at n", "2m0s: split at n")
	if strings.Contains(logged, "level=WARN") {
		t.Errorf("log:\n%s", logged)
	}
}

// A map that cannot be read is told once; a frontend that stops ends the loop.
func TestLoopCannotRead(t *testing.T) {
	t.Parallel()
	f, logged := play(t, 5*time.Minute-time.Second, yes, func(f *fake) { f.unread = router.ErrUnavailable })
	if f.looks != 10 || strings.Count(logged, "\n") != 1 {
		t.Errorf("%d looks, log:\n%s", f.looks, logged)
	}
	f, logged = play(t, 5*time.Minute, yes, func(f *fake) { f.unread = router.ErrStopped })
	if f.looks != 1 || logged != "" {
		t.Errorf("%d looks, log:\n%s", f.looks, logged)
	}
}

// What is held up is told now and then, not at every look.
func TestLoopTellsWhatIsHeldUp(t *testing.T) {
	t.Parallel()
	_, logged := play(t, 25*time.Minute-time.Second, yes, func(f *fake) {
		f.writes = 0
		f.topology.Endpoints[0].Draining = true
		f.topology.Endpoints[1] = router.EndpointStatus{ID: 1, MemoryBytes: 9, MemoryMaxBytes: 10}
	})
	if n := strings.Count(logged, "balancing is held up"); n != 3 {
		t.Errorf("told %d times:\n%s", n, logged)
	}
}

func TestLoopIsOff(t *testing.T) {
	t.Parallel()
	Loop(t.Context(), Components{}, Settings{Off: true}) // would never return, or fail
}

// What is remembered stays bounded.
func TestPastIsBounded(t *testing.T) {
	t.Parallel()
	state, policy := &State{}, DefaultPolicy()
	for i := range 10_000 {
		state.remember(Action{Ended: began().Add(time.Duration(i) * time.Millisecond)}, policy)
	}
	if len(state.past) != actionsMax {
		t.Errorf("%d actions are remembered", len(state.past))
	}
	state.remember(Action{Ended: began().Add(24 * time.Hour)}, policy)
	if len(state.past) != 1 {
		t.Errorf("%d actions are remembered after a day", len(state.past))
	}
}
