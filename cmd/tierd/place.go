package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tierd/tierd/backup/migrate"
	"github.com/tierd/tierd/backup/vault"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/hot"
)

// placeSettings say where a keyspace is, or is to be.
type placeSettings struct {
	Keyspace    string
	HotTier     hotTier
	DataDir     string
	ReplicaAcks int
	Step        func(string)
	// Key is the master key, of sealed values too; Seal says that they are to be.
	Key  archiveSettings
	Seal bool
}

// name is the place in a sentence.
func (s placeSettings) name() string {
	if s.HotTier.Local {
		return fmt.Sprintf("keyspace %s in %s", s.Keyspace, filepath.Join(s.DataDir, "redis"))
	}
	return fmt.Sprintf("keyspace %s at %s", s.Keyspace, s.HotTier.Endpoint)
}

// placeFlags are the flags of tierd serve that say where a keyspace is, for commands that work on
// one as a tool. What tierd serve reads from its environment and its file, they read too.
type placeFlags struct {
	environ  []string
	serve    flags
	serveSet *pflag.FlagSet
}

func newPlaceFlags(environ []string) *placeFlags {
	return &placeFlags{environ: environ, serveSet: pflag.NewFlagSet("serve", pflag.ContinueOnError)}
}

// placeNames are the flags shared with tierd serve.
func placeNames() []string {
	return append([]string{"keyspace", "hot-tier", "replica-acks", "data-dir", "name", "redis-server", "config-file", "archive-key-file", "archive-kms-key"}, accessNames()...)
}

func (p *placeFlags) register(fs *pflag.FlagSet) {
	p.serve.register(p.serveSet)
	for _, name := range placeNames() {
		fs.AddFlag(p.serveSet.Lookup(name))
	}
}

// settings reads where the keyspace is. Warnings go to the error output.
func (p *placeFlags) settings(cmd *cobra.Command) (s placeSettings, err error) {
	for _, name := range append(placeNames(), sealValuesName) {
		if flag := cmd.Flags().Lookup(name); flag != nil && flag.Changed {
			if err := settle(p.serveSet, flag); err != nil {
				return s, valueError("--"+name, flag, flag.Value.String())
			}
		}
	}
	warnings, err := applySources(p.serveSet, p.environ)
	if err != nil {
		return s, err
	}
	for _, warning := range warnings {
		if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "tierd: warning: %s.\n", warning); err != nil {
			return s, fmt.Errorf("print a warning: %w", err)
		}
	}
	if !keyspacePattern.MatchString(p.serve.keyspace) {
		return s, usage("--keyspace must be 1 to 64 letters, digits, dots, underscores or hyphens, not %q", p.serve.keyspace)
	}
	if p.serve.name == "" {
		return s, usage("--name must not be empty")
	}
	var c config
	if err := p.serve.checkHotTier(&c); err != nil {
		return s, err
	}
	s = placeSettings{Keyspace: p.serve.keyspace, HotTier: c.HotTier, DataDir: p.serve.dataDir, ReplicaAcks: c.ReplicaAcks, Step: killAt(p.environ)}
	if s.DataDir == "" {
		s.DataDir = p.serve.name + ".tierd"
	}
	s.Seal = p.serve.seal.values
	s.Key, err = p.serve.archive.key(s.DataDir)
	return s, err
}

// place is where a keyspace is, or is to be: what the commands need of it.
type place interface {
	// Restore is router.Restore, Discard router.DiscardRestore.
	Restore(ctx context.Context, start router.RestoreStart) (migrate.Restoration, error)
	Discard(ctx context.Context) error
	// Open opens the keyspace that is there, beside its frontends. It is closed with the place.
	Open(ctx context.Context) (openKeyspace, error)
	// Memory says what its Redis uses and may use, in bytes, 0 for no limit.
	Memory(ctx context.Context) (used, most int64, err error)
	Close() error
}

// openKeyspace is what the commands read of a keyspace.
type openKeyspace interface {
	migrate.Keyspace
	migrate.Readable
}

// placeOpener makes a place ready.
type placeOpener func(ctx context.Context, s placeSettings, errOut io.Writer) (place, error)

// hotPlace is a place in a hot tier.
type hotPlace struct {
	settings placeSettings
	logger   *slog.Logger
	redis    redis.UniversalClient
	access   hot.Access
	vault    *vault.Vault
	// server is the private one; nil if the place is elsewhere.
	server  *hot.Server
	closers []func() error
}

// discarding makes a place ready; with discard, what an interrupted restore has left there is removed.
func (open placeOpener) discarding(ctx context.Context, s placeSettings, errOut io.Writer, discard bool) (place, error) {
	p, err := open(ctx, s, errOut)
	if err != nil {
		return nil, err
	}
	if discard {
		if err := p.Discard(ctx); err != nil && !errors.Is(err, router.ErrKeyspaceExists) {
			return nil, errors.Join(err, p.Close())
		}
	}
	return p, nil
}

// openPlace connects to the hot tier, or starts the private one. What it has to log goes to the
// error output.
func openPlace(ctx context.Context, s placeSettings, errOut io.Writer) (_ place, err error) {
	p := &hotPlace{settings: s, logger: slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	p.vault = newVault(s.Keyspace, s.DataDir, s.Key, false)
	hot.UseLogger(p.logger)
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if p.access, _, err = s.HotTier.Access.open(p.logger, nil); err != nil {
		return nil, err
	}
	address, err := s.HotTier.Endpoint.With(p.access)
	if err != nil {
		return nil, err
	}
	if s.HotTier.Local {
		if address, err = p.startServer(ctx); err != nil {
			return nil, err
		}
	}
	p.redis = address.NewClient()
	p.closers = append(p.closers, p.redis.Close)
	checking, cancel := context.WithTimeout(ctx, hotTierTry)
	defer cancel()
	if _, err := hot.Check(checking, p.redis); err != nil {
		return nil, fmt.Errorf("--hot-tier %s cannot be used: %w", address, err)
	}
	return p, nil
}

// startServer starts the private Redis that tierd serve --hot-tier local has.
func (p *hotPlace) startServer(ctx context.Context) (address hot.Endpoint, err error) {
	if err := os.MkdirAll(p.settings.DataDir, 0o700); err != nil {
		return address, usage("--data-dir %s cannot be used: %v", p.settings.DataDir, err)
	}
	server, err := hot.StartServer(ctx, hot.ServerSettings{
		Dir: filepath.Join(p.settings.DataDir, "redis"), Binary: p.settings.HotTier.Binary, Logger: p.logger,
	})
	if err != nil {
		return address, fmt.Errorf("start the local hot tier: %w", err)
	}
	p.server = server
	p.closers = append(p.closers, func() error {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return server.Close(closing)
	})
	if address, err = hot.ParseEndpoint(server.URL()); err != nil {
		return address, fmt.Errorf("connect to the local hot tier: %w", err)
	}
	return address, nil
}

// fleet opens the shards of the keyspace; existing says that it is not to be made.
func (p *hotPlace) fleet(member uint64, existing bool) (*hot.Fleet, error) {
	fleet, err := hot.NewFleet(hot.Settings{
		Keyspace: p.settings.Keyspace, MemberID: member, ReplicaAcks: p.settings.ReplicaAcks, Existing: existing,
	}, hot.Components{Redis: p.redis, Access: p.access, Logger: p.logger, Random: rand.Reader, Sealer: p.vault})
	if err != nil {
		return nil, fmt.Errorf("open the hot tier: %w", err)
	}
	p.closers = append(p.closers, fleet.Close)
	return fleet, nil
}

func (p *hotPlace) Restore(ctx context.Context, start router.RestoreStart) (migrate.Restoration, error) {
	fleet, err := p.restoring()
	if err != nil {
		return nil, err
	}
	start.Sealing = p.vault
	if p.settings.Seal {
		start.Seal = p.vault.TurnOn
	}
	restoration, err := router.Restore(ctx, fleet, start)
	if err != nil {
		return nil, explainSealing(err)
	}
	if p.server == nil {
		return restoration, nil
	}
	if err := p.server.Hurry(ctx, p.redis); err != nil {
		restoration.Close()
		return nil, err
	}
	return &hurried{Restoration: restoration, place: p}, nil
}

// hurried is a restoration into the private server, which does not sync before its end: what a crash of the
// machine takes is brought again.
type hurried struct {
	*router.Restoration
	place *hotPlace
}

// End is on disk when it has answered.
func (h *hurried) End(ctx context.Context, end router.RestoreEnd) error {
	if err := h.place.server.Settle(ctx, h.place.redis); err != nil {
		return err
	}
	return h.Restoration.End(ctx, end)
}

func (p *hotPlace) Discard(ctx context.Context) error {
	fleet, err := p.restoring()
	if err != nil {
		return err
	}
	return router.DiscardRestore(ctx, fleet)
}

// restoring opens the shards of a keyspace that is not there yet.
func (p *hotPlace) restoring() (*hot.Fleet, error) {
	member, err := drawMemberID()
	if err != nil {
		return nil, err
	}
	return p.fleet(member, true)
}

func (p *hotPlace) Open(ctx context.Context) (openKeyspace, error) {
	member, err := drawMemberID()
	if err != nil {
		return nil, err
	}
	fleet, err := p.fleet(member, true)
	if err != nil {
		return nil, err
	}
	keyspace, err := router.Open(ctx, router.Settings{
		Keyspace: p.settings.Keyspace, Name: "tierd tool", MemberID: member, QuotaBytes: math.MaxInt64,
		RequestTimeout: requestTimeout, Unlisted: true, Step: p.settings.Step,
	}, router.Components{Fleet: fleet, Logger: p.logger, Random: rand.Reader, Sealing: p.vault})
	if err != nil {
		return nil, fmt.Errorf("open the keyspace %s: %w", p.settings.Keyspace, explainSealing(err))
	}
	p.closers = append(p.closers, func() error {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		return keyspace.Close(closing)
	})
	return keyspace, nil
}

func (p *hotPlace) Memory(ctx context.Context) (used, most int64, err error) {
	return hot.Memory(ctx, p.redis)
}

func (p *hotPlace) Close() error { return closeBackwards(p.closers) }
