package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/hot"
)

// openShards opens the keyspace for the shard commands: beside the frontends, and not
// in their list. What it has to log goes to the error output.
func openShards(ctx context.Context, settings shardSettings) (_ shardMap, closeAll func() error, err error) {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	hot.UseLogger(logger)
	access, _, err := settings.HotTier.Access.open(logger, nil)
	if err != nil {
		return nil, nil, err
	}
	address, err := settings.HotTier.Endpoint.With(access)
	if err != nil {
		return nil, nil, err
	}
	redis := address.NewClient()
	closers := []func() error{redis.Close}
	closeAll = func() error { return closeBackwards(closers) }
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll())
		}
	}()
	checking, cancel := context.WithTimeout(ctx, hotTierTry)
	defer cancel()
	if _, err := hot.Check(checking, redis); err != nil {
		return nil, nil, fmt.Errorf("--hot-tier %s cannot be used: %w", settings.HotTier.Endpoint, err)
	}
	id, err := drawMemberID()
	if err != nil {
		return nil, nil, err
	}
	fleet, err := hot.NewFleet(hot.Settings{Keyspace: settings.Keyspace, MemberID: id, ReplicaAcks: settings.ReplicaAcks, Existing: true},
		hot.Components{Redis: redis, Access: access, Logger: logger, Random: rand.Reader})
	if err != nil {
		return nil, nil, fmt.Errorf("open the hot tier: %w", err)
	}
	closers = append(closers, fleet.Close)
	keyspace, err := router.Open(ctx, router.Settings{
		Keyspace: settings.Keyspace, Name: "tierd shard", MemberID: id, QuotaBytes: math.MaxInt64, RequestTimeout: requestTimeout, Unlisted: true, Step: settings.Step,
	}, router.Components{Fleet: fleet, Logger: logger, Random: rand.Reader})
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, func() error {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return keyspace.Close(closing)
	})
	return keyspace, closeAll, nil
}

// closeBackwards undoes steps, the last one first.
func closeBackwards(closers []func() error) error {
	var failures []error
	for i := len(closers) - 1; i >= 0; i-- {
		failures = append(failures, closers[i]())
	}
	return errors.Join(failures...)
}
