package compact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tierd/tierd/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keyspace is a fake router.API that gains a revision a second.
type keyspace struct {
	began time.Time
	now   func() time.Time

	mu        sync.Mutex
	compacted router.Revision
	leader    uint64
	failure   error
	// log says when was compacted at what.
	log []string
}

func (k *keyspace) current() router.Revision {
	return 1 + router.Revision(k.now().Sub(k.began)/time.Second)
}

func (k *keyspace) CurrentRevision(context.Context) (router.Revision, router.Revision, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current(), k.compacted, nil
}

func (k *keyspace) Compact(_ context.Context, rev router.Revision, physical bool) (router.Revision, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.log = append(k.log, fmt.Sprintf("%v: %d", k.now().Sub(k.began), rev))
	if physical {
		return 0, errors.New("a background job must not wait for the records to go")
	}
	if k.failure != nil {
		return 0, k.failure
	}
	if rev <= k.compacted {
		return 0, router.ErrCompacted
	}
	k.compacted = rev
	return k.current(), nil
}

func (k *keyspace) Self() router.Member { return router.Member{ID: 1} }

func (k *keyspace) LeaderID() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.leader
}

func (k *keyspace) change(how func(*keyspace)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	how(k)
}

// run plays the loop for a time and returns when was compacted at what. The
// function at is called at a time within.
func run(t *testing.T, settings Settings, length time.Duration, at map[time.Duration]func(*keyspace)) (compactions []string, logged string) {
	t.Helper()
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		k := &keyspace{began: time.Now(), now: time.Now, compacted: -1, leader: 1}
		for moment, change := range at {
			if moment == 0 {
				k.change(change)
				continue
			}
			time.AfterFunc(moment, func() { k.change(change) })
		}
		Loop(ctx, Components{API: k, Logger: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now, After: time.After}, settings)
		compactions = k.log
	})
	return compactions, log.String()
}

func expect(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("compacted\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestPeriodic(t *testing.T) {
	t.Parallel()
	t.Run("minutes", func(t *testing.T) {
		t.Parallel()
		// The first compaction comes after a period, and keeps exactly one.
		got, _ := run(t, Settings{Period: 10 * time.Minute}, 31*time.Minute, nil)
		expect(t, got, []string{"10m0s: 1", "20m0s: 601", "30m0s: 1201"})
	})
	t.Run("hours", func(t *testing.T) {
		t.Parallel()
		// Periods of more than an hour are compacted every hour.
		got, _ := run(t, Settings{Period: 3 * time.Hour}, 5*time.Hour+time.Minute, nil)
		expect(t, got, []string{"3h0m0s: 1", "4h0m0s: 3601", "5h0m0s: 7201"})
	})
}

func TestRevisions(t *testing.T) {
	t.Parallel()
	got, _ := run(t, Settings{Revisions: 500}, 16*time.Minute, nil)
	expect(t, got, []string{"10m0s: 101", "15m0s: 401"}) // after 5m there are not 500 yet
}

// A frontend that does not lead compacts nothing, but is ready when it must.
func TestTakesOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings Settings
		want     []string
	}{
		"periodic":  {Settings{Period: 10 * time.Minute}, []string{"17m0s: 421", "27m0s: 1021"}},
		"revisions": {Settings{Revisions: 100}, []string{"20m0s: 1101", "25m0s: 1401"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _ := run(t, c.settings, 29*time.Minute, map[time.Duration]func(*keyspace){
				0:                               func(k *keyspace) { k.leader = 2 },
				16*time.Minute + 30*time.Second: func(k *keyspace) { k.leader = 1 },
			})
			expect(t, got, c.want)
		})
	}
}

// A failure is logged and tried again after a tenth of the period.
func TestFailure(t *testing.T) {
	t.Parallel()
	got, logged := run(t, Settings{Period: 10 * time.Minute}, 13*time.Minute, map[time.Duration]func(*keyspace){
		0:                               func(k *keyspace) { k.failure = router.ErrUnavailable },
		11*time.Minute + 30*time.Second: func(k *keyspace) { k.failure = nil },
	})
	expect(t, got, []string{"10m0s: 1", "11m0s: 61", "12m0s: 121"})
	if n := strings.Count(logged, "level=WARN"); n != 2 {
		t.Errorf("%d warnings:\n%s", n, logged)
	}
	if n := strings.Count(logged, "level=INFO"); n != 1 {
		t.Errorf("%d compactions logged:\n%s", n, logged)
	}
}

// Another frontend, or a client, that compacts first has done the work.
func TestAnotherWasFaster(t *testing.T) {
	t.Parallel()
	t.Run("seen before", func(t *testing.T) {
		t.Parallel()
		got, _ := run(t, Settings{Period: 10 * time.Minute}, 23*time.Minute-1, map[time.Duration]func(*keyspace){
			19 * time.Minute: func(k *keyspace) { k.compacted = 700 },
		})
		expect(t, got, []string{"10m0s: 1", "22m0s: 721"})
	})
	t.Run("seen in the answer", func(t *testing.T) {
		t.Parallel()
		got, logged := run(t, Settings{Period: 10 * time.Minute}, 21*time.Minute, map[time.Duration]func(*keyspace){
			0: func(k *keyspace) { k.failure = fmt.Errorf("compact: %w", router.ErrCompacted) },
		})
		expect(t, got, []string{"10m0s: 1", "20m0s: 601"})
		if logged != "" {
			t.Errorf("logged:\n%s", logged)
		}
	})
}

func TestOff(t *testing.T) {
	t.Parallel()
	Loop(t.Context(), Components{Now: time.Now}, Settings{}) // would never return, or fail
	if got, err := Run(t.Context(), nil, Settings{}, NewState(time.Time{}), time.Time{}); err != nil || got != (Report{}) {
		t.Errorf("%v, %v", got, err)
	}
}

// Runs that come too often, or late, keep the window bounded and the history
// that was asked for.
func TestOddTimes(t *testing.T) {
	t.Parallel()
	settings := Settings{Period: 10 * time.Minute}
	began := time.Unix(0, 0)
	now := began
	k := &keyspace{began: began, now: func() time.Time { return now }, compacted: -1, leader: 1}
	state := NewState(began)
	for i := range 3000 {
		now = now.Add(time.Duration(i%7) * time.Second)
		if i%500 == 499 {
			now = now.Add(25 * time.Minute)
		}
		if _, err := Run(t.Context(), k, settings, state, now); err != nil {
			t.Fatal(err)
		}
		if n := len(state.samples); n > 2*samplesPerInterval+2 {
			t.Fatalf("%d samples after run %d", n, i)
		}
		if kept := k.current() - k.compacted; k.compacted > 0 && kept < 600 {
			t.Fatalf("only %d seconds of history are left after run %d", kept, i)
		}
	}
	if len(k.log) < 10 {
		t.Errorf("only %d compactions in %v", len(k.log), now.Sub(began))
	}
}
