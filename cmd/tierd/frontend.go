package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tierd/tierd/backup/vault"
	"github.com/tierd/tierd/functions/archive"
	"github.com/tierd/tierd/functions/audit"
	"github.com/tierd/tierd/functions/balance"
	"github.com/tierd/tierd/functions/certs"
	"github.com/tierd/tierd/functions/compact"
	"github.com/tierd/tierd/functions/endpoint"
	"github.com/tierd/tierd/functions/expire"
	"github.com/tierd/tierd/functions/maintenance"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/hot"
)

const (
	// requestTimeout bounds a call whose client set no bound: etcd's 5 s and two
	// elections.
	requestTimeout = 7 * time.Second
	// hotTierWait is how long a Redis may stay out of reach at the start;
	// hotTierPoll is how often it is tried, and hotTierTry bounds one try.
	hotTierWait = 30 * time.Second
	hotTierPoll = 250 * time.Millisecond
	hotTierTry  = 5 * time.Second
	// tracingCloseTimeout bounds the sending of the last traces.
	tracingCloseTimeout = 2 * time.Second
)

// frontend holds the parts of a running tierd. open builds them from the bottom
// up: Redis, keyspace, endpoint, jobs; close takes down what open built, in reverse.
type frontend struct {
	config config
	logger *slog.Logger

	metrics *prometheus.Registry
	// certificates are the metrics of all certificate files.
	certificates *certs.Metrics
	tracing      trace.TracerProvider
	redis        redis.UniversalClient
	// access is how every Redis is reached.
	access   hot.Access
	keyspace *router.Keyspace
	endpoint *endpoint.Server
	// audit is nil if none is written.
	audit *audit.Log
	// archive is nil if none is written.
	archive *archiveTier
	// vault seals values.
	vault *vault.Vault

	// closers undo the steps of open, the last one first.
	closers []closer
}

// closer undoes one step.
type closer struct {
	what string
	run  func(context.Context) error
}

func (f *frontend) onClose(what string, run func(context.Context) error) {
	f.closers = append(f.closers, closer{what, run})
}

// open builds the parts. After an error, close must be called all the same.
func (f *frontend) open(ctx context.Context) error {
	f.metrics = prometheus.NewRegistry()
	// Before anything that is the whole process': what is refused here has touched nothing.
	if err := f.openCertificates(ctx); err != nil {
		return err
	}
	hot.UseLogger(f.logger)
	endpoint.UseLogger(f.logger)
	for _, step := range []func(context.Context) error{f.openTracing, f.openRedis, f.openArchive, f.openKeyspace, f.openAudit, f.openEndpoint, f.openJobs} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// close undoes open, with closeTimeout for each step.
func (f *frontend) close(ctx context.Context) error {
	var failures []error
	for _, step := range slices.Backward(f.closers) {
		if err := step.runWithin(ctx, closeTimeout); err != nil {
			failures = append(failures, fmt.Errorf("close %s: %w", step.what, err))
		}
	}
	return errors.Join(failures...)
}

func (c closer) runWithin(ctx context.Context, bound time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return c.run(ctx)
}

// serve serves until ctx ends, then drains; or until a listener fails.
func (f *frontend) serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- f.endpoint.Serve(context.WithoutCancel(ctx)) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := f.endpoint.Shutdown(draining); err != nil {
		// Clients repeat elsewhere what was cut off; stopping has not failed.
		f.logger.Warn("the drain was cut short", "cause", err)
	}
	return <-served
}

// openTracing starts the export of traces, if it is wanted.
func (f *frontend) openTracing(ctx context.Context) error {
	if f.config.Tracing == nil {
		f.tracing = noop.NewTracerProvider()
		return nil
	}
	provider, shutdown, err := endpoint.NewTracing(ctx, *f.config.Tracing)
	if err != nil {
		return fmt.Errorf("open tracing: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		f.logger.Warn("traces could not be sent", "cause", err)
	}))
	f.tracing = provider
	f.onClose("tracing", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, tracingCloseTimeout)
		defer cancel()
		if err := shutdown(ctx); err != nil {
			// A collector that is away must not turn a clean stop into a failure.
			f.logger.Warn("the last traces were not sent", "cause", err)
		}
		return nil
	})
	return nil
}

// openRedis starts the private server, if it is wanted, and connects.
func (f *frontend) openRedis(ctx context.Context) error {
	address := f.config.HotTier.Endpoint
	var err error
	if f.access, err = f.openAccess(ctx); err != nil {
		return err
	}
	if address, err = address.With(f.access); err != nil {
		return err
	}
	if f.config.HotTier.Local {
		server, err := hot.StartServer(ctx, hot.ServerSettings{
			Dir:    filepath.Join(f.config.DataDir, "redis"),
			Binary: f.config.HotTier.Binary,
			Logger: f.logger,
		})
		if err != nil {
			return fmt.Errorf("start the local hot tier: %w", err)
		}
		f.onClose("redis-server", server.Close)
		if address, err = hot.ParseEndpoint(server.URL()); err != nil {
			return fmt.Errorf("connect to the local hot tier: %w", err)
		}
	}
	f.redis = address.NewClient()
	f.onClose("the connections to Redis", func(context.Context) error { return f.redis.Close() })
	return f.checkRedis(ctx, address)
}

// checkRedis waits for the Redis to answer, and refuses one that is not fit.
func (f *frontend) checkRedis(ctx context.Context, address hot.Endpoint) error {
	waiting, cancel := context.WithTimeoutCause(ctx, hotTierWait, fmt.Errorf("no answer within %v", hotTierWait))
	defer cancel()
	tick := time.NewTicker(hotTierPoll)
	defer tick.Stop()
	for first := true; ; first = false {
		report, err := f.checkOnce(waiting)
		if err == nil {
			f.logger.Info("hot tier", "endpoint", address.String(), "server", report.Server, "version", report.Version)
			return nil
		}
		if errors.Is(err, hot.ErrUnfit) {
			return fmt.Errorf("--hot-tier %s cannot be used: %w", address, err)
		}
		if first {
			f.logger.Warn("waiting for the hot tier", "endpoint", address.String(), "cause", err)
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
			return fmt.Errorf("reach the hot tier %s: %w (%w)", address, context.Cause(waiting), err)
		}
	}
}

// checkOnce asks once, and passes the warnings on to the log.
func (f *frontend) checkOnce(ctx context.Context) (hot.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, hotTierTry)
	defer cancel()
	report, err := hot.Check(ctx, f.redis)
	if err == nil {
		for _, warning := range report.Warnings {
			f.logger.Warn(warning)
		}
	}
	return report, err
}

// openKeyspace joins the keyspace as a new member.
func (f *frontend) openKeyspace(ctx context.Context) error {
	memberID, err := f.memberID()
	if err != nil {
		return err
	}
	tracer := f.tracing.Tracer("github.com/tierd/tierd")
	observe, err := observeRoundTrips(f.metrics, tracer)
	if err != nil {
		return err
	}
	f.vault = newVault(f.config.Keyspace, f.config.DataDir, f.config.Archive, f.config.Seal.Values)
	fleet, err := hot.NewFleet(hot.Settings{Keyspace: f.config.Keyspace, MemberID: memberID, RecordCacheBytes: f.config.RecordCacheBytes, ReplicaAcks: f.config.ReplicaAcks},
		hot.Components{Redis: f.redis, Access: f.access, Logger: f.logger, Random: rand.Reader, Observe: observe, Sealer: f.vault})
	if err != nil {
		return fmt.Errorf("open the hot tier: %w", err)
	}
	f.onClose("the connections to other endpoints", func(context.Context) error { return fleet.Close() })
	if err := f.refuseForgotten(ctx, fleet.Home()); err != nil {
		return err
	}
	var archived func(context.Context, uint64) (router.Revision, error)
	if f.archive != nil {
		archived = f.archive.archived
	}
	f.keyspace, err = router.Open(ctx, router.Settings{
		Keyspace: f.config.Keyspace, Name: f.config.Name, ClientURLs: f.config.AdvertiseClientURLs,
		MemberID: memberID, QuotaBytes: f.config.QuotaBytes, DeletesMax: f.config.DeletesMax, KeepNoSpace: f.config.KeepNoSpace, RequestTimeout: requestTimeout,
		Step: f.config.Step,
	}, router.Components{Fleet: fleet, Logger: f.logger, Metrics: f.metrics, Random: rand.Reader, Archived: archived, Sealing: f.vault})
	if err != nil {
		return explainSealing(err)
	}
	f.onClose("the keyspace", f.keyspace.Close)
	if err := f.sealValues(ctx); err != nil {
		return err
	}
	for _, url := range f.config.HotTier.Others {
		if _, err := f.keyspace.AddEndpoint(ctx, url); err != nil {
			return fmt.Errorf("add an endpoint of --hot-tier: %w", err)
		}
	}
	return nil
}

// openEndpoint opens the listeners; serve accepts on them and closes them, and
// nothing that is opened later can fail.
func (f *frontend) openEndpoint(context.Context) error {
	if err := f.openSnapshotDir(); err != nil {
		return err
	}
	components := endpoint.Components{API: f.keyspace, Audit: f.audit, Logger: f.logger, Metrics: f.metrics, Now: time.Now, Jitter: mathrand.N[time.Duration]}
	if f.config.Tracing != nil {
		components.Tracing = f.tracing
	}
	var err error
	f.endpoint, err = endpoint.New(f.config.Endpoint, components)
	for _, taken := range []error{syscall.EADDRINUSE, syscall.EADDRNOTAVAIL, syscall.EACCES} {
		if errors.Is(err, taken) {
			return usage("an address cannot be listened on: %v", err)
		}
	}
	if err != nil {
		return fmt.Errorf("open the endpoint: %w", err)
	}
	return nil
}

// openSnapshotDir prepares the place where snapshots are built before they are
// sent: in the data directory where that is this frontend's alone, so that what a
// killed process left there can be removed; else where temporary files go.
func (f *frontend) openSnapshotDir() error {
	if !f.config.HotTier.Local {
		return nil
	}
	dir := filepath.Join(f.config.DataDir, "snapshots")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of snapshots: %w", err)
	}
	if err := maintenance.RemoveLeftovers(dir); err != nil {
		return fmt.Errorf("clear the directory of snapshots: %w", err)
	}
	f.config.Endpoint.SnapshotDir = dir
	return nil
}

// openJobs starts the scheduled jobs, which run until the drain is over.
func (f *frontend) openJobs(ctx context.Context) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	if f.archive != nil {
		metrics, err := archive.NewMetrics(f.metrics, time.Now)
		if err != nil {
			cancel()
			return err
		}
		running.Go(func() { f.archiveLoop(ctx, metrics) })
	}
	running.Go(func() {
		expire.Loop(ctx, expire.Components{API: f.keyspace, Logger: f.logger, After: time.After})
	})
	running.Go(func() {
		compact.Loop(ctx, compact.Components{API: f.keyspace, Logger: f.logger, Now: time.Now, After: time.After}, f.config.Compaction)
	})
	running.Go(func() {
		leads := func() bool { return f.keyspace.LeaderID() == f.keyspace.Self().ID }
		balance.Loop(ctx, balance.Components{Topologist: f.keyspace, Logger: f.logger, Now: time.Now, After: time.After, Leader: leads}, f.config.Balance)
	})
	if err := f.startReseal(ctx, &running); err != nil {
		cancel()
		return err
	}
	f.onClose("the scheduled jobs", func(context.Context) error {
		cancel()
		running.Wait()
		return nil
	})
	return nil
}
