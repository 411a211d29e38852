package balance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tierd/tierd/router"
)

const (
	// intervalMin is the shortest time between two looks.
	intervalMin = 100 * time.Millisecond
	// actionsMax bounds what is remembered of the past; CoolDown and the time that
	// a plan takes keep it far below.
	actionsMax = 1024
	// noteInterval is how often the log says that something should happen and
	// cannot.
	noteInterval = 10 * time.Minute
)

// Settings say how the job runs.
type Settings struct {
	// Off says that nothing is done.
	Off bool
	// Interval is how often the shard map is looked at.
	Interval time.Duration
	// Window is the least time over which writes are counted before a decision is
	// based on them.
	Window time.Duration
	Policy Policy
}

// DefaultSettings are a look every half minute, and rates over a minute.
func DefaultSettings() Settings {
	return Settings{Interval: 30 * time.Second, Window: time.Minute, Policy: DefaultPolicy()}
}

// Components are what Loop is built from.
type Components struct {
	Topologist router.Topologist
	Logger     *slog.Logger
	// Now and After are the clock: time.Now and time.After outside tests.
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
	// Leader tells whether this frontend is the one that acts.
	Leader func() bool
}

// State is what one run leaves for the next.
type State struct {
	// first is the sample from which writes are counted; none if its time is zero.
	first Sample
	past  []Action
	// notedAt is when notes were last logged.
	notedAt time.Time
}

// Run looks at the shard map once and carries out the first of the decisions, if
// there is any and this frontend leads. It returns what it did; nil if nothing.
// After an error nothing is lost: a later run decides anew.
func Run(ctx context.Context, c Components, settings Settings, state *State) (*Action, error) {
	if !c.Leader() {
		state.first = Sample{}
		return nil, nil
	}
	topology, err := c.Topologist.Topology(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the shard map: %w", err)
	}
	now := c.Now()
	after := Sample{At: now, Topology: topology}
	outlook := Plan(now, state.before(after, settings.Window), after, state.past, settings.Policy)
	state.note(now, outlook.Notes, c.Logger)
	if len(outlook.Decisions) == 0 {
		return nil, nil
	}
	decision := outlook.Decisions[0]
	logger := c.Logger.With(decision.attributes()...)
	logger.Info("balancing", slog.String("reason", decision.Reason))
	err = Execute(ctx, c.Topologist, decision, nil)
	if errors.Is(err, router.ErrBusy) {
		// Someone else changes the map: what that leaves is looked at later.
		logger.Info("balancing waits: another change of the shard map is under way")
		return nil, nil
	}
	action := Action{Decision: decision, Ended: c.Now(), Failed: err != nil}
	state.remember(action, settings.Policy)
	if err != nil {
		return &action, fmt.Errorf("%s %s: %w", decision.Kind, Keys(decision.From, decision.To), err)
	}
	logger.Info("balanced", slog.Duration("took", action.Ended.Sub(now)))
	return &action, nil
}

// Execute carries out a decision. report, if not nil, is told how far a move is.
func Execute(ctx context.Context, t router.Topologist, d Decision, report func(router.MoveStatus)) error {
	switch d.Kind {
	case Split:
		return t.Split(ctx, d.At)
	case Merge:
		return t.Merge(ctx, d.At)
	default:
		return t.Move(ctx, d.From, d.To, d.Target, report)
	}
}

// attributes describe a decision in the log.
func (d Decision) attributes() []any {
	attributes := []any{
		slog.String("change", string(d.Kind)), slog.String("from", string(d.From)), slog.String("to", string(d.To)), slog.Int("shard", d.Shard),
	}
	if d.Kind != Move {
		return append(attributes, slog.String("at", string(d.At)))
	}
	return append(attributes, slog.Int("source", d.Source), slog.Int("target", d.Target), slog.Int64("keys", d.Keys), slog.Bool("drain", d.Drain))
}

// before is the sample to compare one with: the sample itself, which tells no rates,
// until writes have been counted for a window on one map.
func (s *State) before(after Sample, window time.Duration) Sample {
	if s.first.At.IsZero() || s.first.Topology.Epoch != after.Topology.Epoch {
		s.first = after
		return after
	}
	if after.At.Sub(s.first.At) < window {
		return after
	}
	first := s.first
	s.first = after
	return first
}

// remember keeps an action for as long as it may matter to a plan.
func (s *State) remember(a Action, policy Policy) {
	keep := max(policy.CoolDown, policy.RestAfterMove)
	kept := s.past[:0]
	for _, old := range s.past {
		// A large move may be paced for longer than any of the other times.
		paced := time.Duration(float64(old.Keys) / float64(policy.KeysPerMinute) * float64(time.Minute))
		if a.Ended.Sub(old.Ended) < max(keep, paced) {
			kept = append(kept, old)
		}
	}
	s.past = append(kept, a)
	if over := len(s.past) - actionsMax; over > 0 {
		s.past = append(s.past[:0], s.past[over:]...)
	}
}

// note logs what should happen and cannot, now and then while it stays so.
func (s *State) note(now time.Time, notes []string, logger *slog.Logger) {
	if len(notes) == 0 || (!s.notedAt.IsZero() && now.Sub(s.notedAt) < noteInterval) {
		return
	}
	s.notedAt = now
	for _, note := range notes {
		logger.Warn("balancing is held up", slog.String("reason", note))
	}
}

// Loop runs the job until ctx ends or the frontend stops, or returns at once when it
// is off. A failure is logged here; when the map cannot be read, once until it can.
func Loop(ctx context.Context, c Components, settings Settings) {
	if settings.Off {
		return
	}
	state, failing := &State{}, false
	for ctx.Err() == nil {
		action, err := Run(ctx, c, settings, state)
		if ctx.Err() != nil || errors.Is(err, router.ErrStopped) {
			return
		}
		switch {
		case err != nil && action != nil:
			c.Logger.Warn("balancing failed; it will be decided anew",
				slog.Duration("after", settings.Policy.CoolDown), slog.Any("error", err))
		case err != nil && !failing:
			c.Logger.Warn("the shards cannot be balanced until the shard map can be read", slog.Any("error", err))
			failing = true
		case err == nil && failing:
			c.Logger.Info("the shards are balanced again")
			failing = false
		}
		select {
		case <-ctx.Done():
		case <-c.After(max(settings.Interval, intervalMin)):
		}
	}
}
