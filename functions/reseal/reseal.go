// Package reseal is the job that brings the values of a keyspace to how its setting says that
// they are kept in Redis: sealed with the newest data key, or plain. It takes a new data key when the
// newest has become old. One frontend does it, the one that is shown as the leader; with two at
// once nothing would break.
package reseal

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/tierd/tierd/backup/vault"
	"github.com/tierd/tierd/router"
)

const (
	// Interval is the time between two looks at the setting.
	Interval = 2 * time.Second
	// Grace is how long after the last value was sealed anew all are looked at once more, before a
	// key that nothing needs is dropped: a Redis that comes back without its last moments, because a
	// replica was behind or its file was not synced, has values again that need it.
	Grace = 5 * time.Second
)

// Keyspace is what the job asks of a keyspace. *router.Keyspace is the one implementation.
type Keyspace interface {
	LeaderID() uint64
	Self() router.Member
	SealingText(ctx context.Context) (string, error)
	ChangeSealing(ctx context.Context, binding bool, change func(context.Context, string) (string, error)) (bool, error)
	RenewSeals(ctx context.Context, report func(router.SealProgress)) (bool, error)
}

// Rotator makes data keys. *vault.Vault is the one implementation.
type Rotator interface {
	Rotate(ctx context.Context, text string) (string, error)
}

// Settings are the values a user may change.
type Settings struct {
	// KeyAge is how old a data key may become before there is another one; 0 for any age.
	KeyAge time.Duration
}

// Components are what Loop is built from.
type Components struct {
	Keyspace Keyspace
	Vault    Rotator
	Logger   *slog.Logger
	Metrics  *Metrics
	// Now and After are the clock: time.Now and time.After outside tests.
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
}

// State is what the job remembers from one run to the next. The zero value begins.
type State struct {
	// text is the setting that values were last sealed anew by, at a time.
	text string
	at   time.Time
}

// Loop runs the job until ctx ends. Failures are logged here, the first of a row of them; each is tried again
// after Interval.
func Loop(ctx context.Context, c Components, settings Settings) {
	failing := false
	var state State
	for ctx.Err() == nil {
		err := Run(ctx, c, settings, &state)
		if err != nil && !failing && ctx.Err() == nil {
			c.Logger.Warn("values cannot be sealed anew; it will be tried again", slog.Duration("after", Interval), slog.Any("error", err))
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-c.After(Interval):
		}
	}
}

// Run looks once, and does what is to be done.
func Run(ctx context.Context, c Components, settings Settings, last *State) error {
	text, err := c.Keyspace.SealingText(ctx)
	if err != nil {
		return fmt.Errorf("read the setting of sealed values: %w", err)
	}
	state, err := vault.Describe(text)
	if err != nil {
		return err
	}
	c.Metrics.show(state)
	if c.Keyspace.LeaderID() != c.Keyspace.Self().ID {
		return nil
	}
	if state.On && state.Settled && old(state, settings, c.Now()) {
		return c.rotate(ctx, text)
	}
	if state.Settled || last.text == text && c.Now().Sub(last.at) < Grace {
		return nil
	}
	return c.renew(ctx, text, state, last)
}

// old says that the key that seals has had its time.
func old(s vault.State, settings Settings, now time.Time) bool {
	for _, k := range s.Keys {
		if k.ID == s.Current {
			return settings.KeyAge > 0 && now.Sub(k.Made) >= settings.KeyAge
		}
	}
	return false
}

// rotate takes a new data key, unless the setting has changed since.
func (c Components) rotate(ctx context.Context, seen string) error {
	_, err := c.Keyspace.ChangeSealing(ctx, true, func(ctx context.Context, now string) (string, error) {
		if now != seen {
			return now, nil
		}
		return c.Vault.Rotate(ctx, now)
	})
	if err != nil {
		return fmt.Errorf("take a new data key: %w", err)
	}
	c.Logger.Info("values are sealed with a new data key, because the last one has become old")
	return nil
}

// renew goes over all values once. Where others are left at its end, the next run goes on; where
// none was to be sealed anew, some time after the last one was, that is all.
func (c Components) renew(ctx context.Context, seen string, state vault.State, last *State) error {
	var done router.SealProgress
	all, err := c.Keyspace.RenewSeals(ctx, func(p router.SealProgress) {
		c.Metrics.progress(p, done)
		done = p
	})
	c.Metrics.progress(router.SealProgress{}, done)
	if last.text != seen || done.Renewed > 0 {
		*last = State{text: seen, at: c.Now()}
		return err
	}
	if err != nil || !all {
		return err
	}
	settled, err := c.Keyspace.ChangeSealing(ctx, false, func(_ context.Context, now string) (string, error) {
		if now != seen {
			return now, nil // there is more to do
		}
		return vault.Settle(now)
	})
	if err != nil {
		return fmt.Errorf("drop what is no data key any more: %w", err)
	}
	if settled {
		c.Logger.Info("all values are as the keyspace says", "sealed", state.On, "data-key", state.Current, "records", done.Looked)
	}
	return nil
}
