// Package compact is the scheduled job that compacts the keyspace by itself, by
// the rules of etcd's --auto-compaction-mode: periodic keeps the history of a
// span of time, revision keeps a number of revisions.
//
// Every frontend runs the job and watches the revisions go by; only the one that
// the keyspace names as its leader compacts. So another takes over at once, with
// a full window, when that one goes. Two that both think they lead do no harm:
// the second finds the work done. It promises that never less history is left
// than was asked for, and that a run may be repeated, late, or left out.
//
// What a run has seen is in a State that belongs to the caller. It dies with the
// process, and a new one begins with a new window: after a restart history is
// kept for longer, not shorter.
package compact

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tierd/tierd/router"
)

const (
	// revisionInterval is how often revision mode compacts.
	revisionInterval = 5 * time.Minute
	// periodicIntervalMax is the longest time between compactions in periodic
	// mode: a period that is shorter is the time itself.
	periodicIntervalMax = time.Hour
	// samplesPerInterval is how often the revision is noted between compactions,
	// and how often a failed one is tried again.
	samplesPerInterval = 10
)

// API is the part of router.API that this job needs.
type API interface {
	CurrentRevision(ctx context.Context) (current, compacted router.Revision, err error)
	Compact(ctx context.Context, rev router.Revision, physical bool) (router.Revision, error)
	Self() router.Member
	LeaderID() uint64
}

// Settings say how much history is kept; one of them is set, or none: then there
// is nothing to do.
type Settings struct {
	// Period is the span of time whose history is kept.
	Period time.Duration
	// Revisions is the number of revisions that are kept.
	Revisions int64
}

// Off says that nothing is ever compacted.
func (s Settings) Off() bool { return s.Period <= 0 && s.Revisions <= 0 }

// Interval is how often Run should be called.
func (s Settings) Interval() time.Duration {
	if s.Period <= 0 {
		return revisionInterval
	}
	// A period of nanoseconds must not become a busy loop.
	return max(s.compactionInterval()/samplesPerInterval, time.Millisecond)
}

// compactionInterval is the least time between two compactions.
func (s Settings) compactionInterval() time.Duration {
	if s.Period <= 0 {
		return revisionInterval
	}
	return min(s.Period, periodicIntervalMax)
}

// sample is the current revision of one moment.
type sample struct {
	at       time.Time
	revision router.Revision
}

// State is what one run leaves for the next.
type State struct {
	// samples are the revisions of the last period, oldest first; there are
	// about Period/Interval of them, and never twice as many.
	samples []sample
	// compactedAt is when this frontend last compacted, or began.
	compactedAt time.Time
}

// NewState is the state of a job that begins now.
func NewState(now time.Time) *State { return &State{compactedAt: now} }

// Report is what a run did.
type Report struct {
	// Compacted is the revision that the run compacted at; 0 if it did not.
	Compacted router.Revision
	// Current is the revision that it saw.
	Current router.Revision
}

// Run notes the current revision and compacts if that is due and this frontend's
// task. After an error nothing is lost: the next run tries again.
func Run(ctx context.Context, api API, settings Settings, state *State, now time.Time) (Report, error) {
	if settings.Off() {
		return Report{}, nil
	}
	current, compacted, err := api.CurrentRevision(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("read the current revision: %w", err)
	}
	report := Report{Current: current}
	target := state.target(settings, sample{now, current})
	due := now.Sub(state.compactedAt) >= settings.compactionInterval()
	leads := api.LeaderID() == api.Self().ID
	if !due || !leads || target <= 0 || target <= compacted {
		return report, nil
	}
	_, err = api.Compact(ctx, target, false)
	if errors.Is(err, router.ErrCompacted) {
		state.compactedAt = now // another was faster
		return report, nil
	}
	if err != nil {
		return report, fmt.Errorf("compact at revision %d: %w", target, err)
	}
	state.compactedAt = now
	report.Compacted = target
	return report, nil
}

// target notes a sample and says at which revision to compact; 0 if at none yet.
func (s *State) target(settings Settings, now sample) router.Revision {
	if settings.Period <= 0 {
		return now.revision - router.Revision(settings.Revisions)
	}
	last := len(s.samples) - 1
	// A run that comes too early adds nothing to the window, which stays bounded.
	if last < 0 || now.at.Sub(s.samples[last].at) > settings.Interval()/2 {
		s.samples = append(s.samples, now)
	}
	// What matters is the youngest sample that is a period old; those before it
	// are of no more use.
	old := 0
	for old < len(s.samples) && now.at.Sub(s.samples[old].at) >= settings.Period {
		old++
	}
	if old == 0 {
		return 0
	}
	s.samples = append(s.samples[:0], s.samples[old-1:]...)
	return s.samples[0].revision
}
