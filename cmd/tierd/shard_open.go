package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"

	"github.com/tierd/tierd/backup/vault"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/hot"
)

// openShards opens the keyspace for the shard commands.
func openShards(ctx context.Context, settings shardSettings) (shardMap, func() error, error) {
	keyspace, _, closeAll, err := openBeside(ctx, settings)
	if err != nil {
		return nil, nil, err
	}
	return keyspace, closeAll, nil
}

// openBeside opens the keyspace for a tool: beside the frontends, and not in their list. What it
// has to log goes to the error output.
func openBeside(ctx context.Context, settings shardSettings) (_ *router.Keyspace, sealing *vault.Vault, _ func() error, err error) {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	hot.UseLogger(logger)
	access, _, err := settings.HotTier.Access.open(logger, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	address, err := settings.HotTier.Endpoint.With(access)
	if err != nil {
		return nil, nil, nil, err
	}
	redis := address.NewClient()
	closers := []func() error{redis.Close}
	closeAll := func() error { return closeBackwards(closers) }
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll())
		}
	}()
	checking, cancel := context.WithTimeout(ctx, hotTierTry)
	defer cancel()
	if _, err := hot.Check(checking, redis); err != nil {
		return nil, nil, nil, fmt.Errorf("--hot-tier %s cannot be used: %w", settings.HotTier.Endpoint, err)
	}
	id, err := drawMemberID()
	if err != nil {
		return nil, nil, nil, err
	}
	sealing = newVault(settings.Keyspace, settings.DataDir, settings.Key, false)
	fleet, err := hot.NewFleet(hot.Settings{Keyspace: settings.Keyspace, MemberID: id, ReplicaAcks: settings.ReplicaAcks, Existing: true},
		hot.Components{Redis: redis, Access: access, Logger: logger, Random: rand.Reader, Sealer: sealing})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("open the hot tier: %w", err)
	}
	closers = append(closers, fleet.Close)
	keyspace, err := router.Open(ctx, router.Settings{
		Keyspace: settings.Keyspace, Name: "tierd shard", MemberID: id, QuotaBytes: math.MaxInt64, RequestTimeout: requestTimeout, Unlisted: true, Step: settings.Step,
	}, router.Components{Fleet: fleet, Logger: logger, Random: rand.Reader, Sealing: sealing})
	if err != nil {
		return nil, nil, nil, explainSealing(err)
	}
	closers = append(closers, func() error {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return keyspace.Close(closing)
	})
	return keyspace, sealing, closeAll, nil
}

// closeBackwards undoes steps, the last one first.
func closeBackwards(closers []func() error) error {
	var failures []error
	for i := len(closers) - 1; i >= 0; i-- {
		failures = append(failures, closers[i]())
	}
	return errors.Join(failures...)
}
