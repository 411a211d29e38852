// Package expire is the scheduled job that ends leases whose time is over.
//
// Every frontend runs it, and whichever comes first revokes a lease; the router
// sees to it that this happens once, with the deletion of the lease's keys in one
// revision, and by the hot tier's clock alone. So nothing here needs the time, a
// leader, or a state, and a frontend that dies in the middle is not missed.
//
// It promises that a lease ends within about half a second of its time while any
// frontend reaches the hot tier, as in etcd, and that the job never spins: not
// with nothing to do, and not while the hot tier fails.
package expire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tierd/tierd/router"
)

const (
	// waitMax is the longest wait between two looks. Whatever is due next, a
	// lease granted meanwhile may be due sooner; and leases are seconds long.
	waitMax = 500 * time.Millisecond
	// waitMin is the shortest, also when a lease is due at this very moment: it
	// gathers leases that end together, and bounds the calls of an idle frontend
	// that another keeps outrunning.
	waitMin = 50 * time.Millisecond
	// backOffMax bounds the wait after failures, which begins at waitMax and
	// doubles.
	backOffMax = 8 * time.Second
)

// API is the part of router.API that this job needs.
type API interface {
	ExpireLeases(ctx context.Context) (revoked int, next time.Duration, err error)
}

// Components are what Loop is built from.
type Components struct {
	API    API
	Logger *slog.Logger
	// After is the clock: time.After outside tests.
	After func(time.Duration) <-chan time.Time
}

// Report is what a run did.
type Report struct {
	// Revoked is how many leases it ended.
	Revoked int
	// Next is how long until the next one is due; 0 if some are due already.
	Next time.Duration
}

// Run ends leases that are due, a bounded number of them.
func Run(ctx context.Context, api API) (Report, error) {
	revoked, next, err := api.ExpireLeases(ctx)
	if err != nil {
		return Report{Revoked: revoked}, fmt.Errorf("expire leases: %w", err)
	}
	return Report{Revoked: revoked, Next: next}, nil
}

// Loop runs the job until ctx ends or the frontend stops. A failure is logged
// here when it begins and when it ends, not each time.
func Loop(ctx context.Context, c Components) {
	failing := time.Duration(0) // the wait after the last failure; 0 if there was none
	for ctx.Err() == nil {
		report, err := Run(ctx, c.API)
		if ctx.Err() != nil || errors.Is(err, router.ErrStopped) {
			return
		}
		wait := pause(report)
		switch {
		case err != nil && failing == 0:
			c.Logger.Warn("leases cannot be expired; they live on until that works again", slog.Any("error", err))
			fallthrough
		case err != nil:
			failing = min(max(waitMax, 2*failing), backOffMax)
			wait = failing
		case failing > 0:
			c.Logger.Info("leases expire again")
			failing = 0
		}
		if report.Revoked > 0 {
			c.Logger.Debug("leases expired", slog.Int("leases", report.Revoked))
		}
		if wait == 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-c.After(wait):
		}
	}
}

// pause is how long to wait after a run: not at all while it makes progress and
// more leases are due.
func pause(r Report) time.Duration {
	if r.Revoked > 0 && r.Next <= 0 {
		return 0
	}
	return min(max(r.Next, waitMin), waitMax)
}
