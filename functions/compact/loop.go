package compact

import (
	"context"
	"log/slog"
	"time"
)

// Components are what Loop is built from.
type Components struct {
	API    API
	Logger *slog.Logger
	// Now and After are the clock: time.Now and time.After outside tests.
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
}

// Loop runs the job until ctx ends, or returns at once when there is nothing to
// do. Failures are logged here; each is tried again after an interval.
func Loop(ctx context.Context, c Components, settings Settings) {
	if settings.Off() {
		return
	}
	state := NewState(c.Now())
	for ctx.Err() == nil {
		report, err := Run(ctx, c.API, settings, state, c.Now())
		switch {
		case err != nil && ctx.Err() == nil:
			c.Logger.Warn("automatic compaction failed; it will be tried again",
				slog.Duration("after", settings.Interval()), slog.Any("error", err))
		case report.Compacted > 0:
			c.Logger.Info("compacted automatically",
				slog.Int64("revision", int64(report.Compacted)), slog.Int64("current", int64(report.Current)))
		}
		select {
		case <-ctx.Done():
		case <-c.After(settings.Interval()):
		}
	}
}
