package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/backup/restore"
	"github.com/tierd/tierd/router"
)

const restoreHelp = `Bring a keyspace back from its archive, at any revision or second.

Keys, revisions, versions, leases and the compacted revision come back as they were. The
keyspace that is written, --to-keyspace at --to-hot-tier, must not exist, or be empty and not
served: nothing is ever overwritten. Start no tierd serve on it before the restore has ended.

A restore that was interrupted is gone on with by the same command; --discard-interrupted
removes what it has brought, and starts over. --time is the state that the keyspace is known
to have had then. The archive's keyspace, place and key are given as to tierd serve, with the
same environment variables and settings file; no live server is needed.`

// restoreTool is what one run of tierd restore, or tierd branch, works with.
type restoreTool struct {
	archives *sourceFlags
	open     placeOpener
	// now and every are the clock: time.Now and time.NewTicker outside tests.
	now   func() time.Time
	every func(time.Duration) (<-chan time.Time, func())

	output                  string
	toKeyspace, toHotTier   string
	revision, bump          int64
	at                      string
	prefixes                []string
	dryRun, discard, verify bool
	markCompacted           bool

	source      sourceSettings
	place       placeSettings
	request     restore.Request
	out, errOut io.Writer
}

func newRestoreTool(environ []string, open placeOpener) *restoreTool {
	return &restoreTool{archives: newSourceFlags(environ), open: open, now: time.Now, every: ticks}
}

// ticks is time.NewTicker, with how to stop it.
func ticks(d time.Duration) (<-chan time.Time, func()) {
	ticker := time.NewTicker(d)
	return ticker.C, ticker.Stop
}

func (t *restoreTool) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore", Short: "Bring a keyspace back from its archive, at any revision or second", Long: restoreHelp,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return t.run(cmd) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	t.archives.register(fs, true)
	fs.StringVar(&t.toKeyspace, "to-keyspace", "", "name of the keyspace to make (default that of the archive)")
	fs.StringVar(&t.toHotTier, "to-hot-tier", "", "where to make it, as --hot-tier (the default)")
	fs.Int64Var(&t.revision, "revision", 0, "the revision to restore; 0 is the latest of the archive")
	fs.StringVar(&t.at, "time", "", "the time of the state to restore, such as 2026-01-31T12:30:00Z, instead of a revision")
	fs.StringArrayVar(&t.prefixes, "key-prefix", nil, "restore only keys that begin so, and leave out all others; may be given several times")
	fs.Int64Var(&t.bump, "bump-revision", 0, "how far to raise the revision, with --mark-compacted, so that clients that saw later revisions read everything anew")
	fs.BoolVar(&t.markCompacted, "mark-compacted", false, "make everything before the raised revision unreadable; needed with --bump-revision")
	t.registerCommon(cmd)
	return cmd
}

// registerCommon declares the flags that tierd branch has, too.
func (t *restoreTool) registerCommon(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.AddFlag(t.archives.serveSet.Lookup(sealValuesName))
	fs.BoolVar(&t.dryRun, "dry-run", false, "say what would be read and what would result, and do nothing")
	fs.BoolVar(&t.verify, "verify", false, "afterwards compare HashKV of the restored keyspace with that of the archive, which is read twice more for it")
	fs.BoolVar(&t.discard, "discard-interrupted", false, "remove what an interrupted restore has brought, and start over")
	fs.StringVarP(&t.output, "output", "o", "table", "how to print: table or json")
}

func (t *restoreTool) run(cmd *cobra.Command) error {
	if t.toKeyspace == "" && t.toHotTier == "" {
		return usage("say where to restore to: --to-keyspace NAME, or --to-hot-tier URL, or both")
	}
	if err := t.check(cmd); err != nil {
		return err
	}
	return t.carryOut(cmd)
}

// check reads the flags.
func (t *restoreTool) check(cmd *cobra.Command) (err error) {
	switch {
	case t.output != "table" && t.output != "json":
		return usage("--output must be table or json, not %q", t.output)
	case cmd.Flags().Changed("revision") && t.at != "":
		return usage("--revision and --time cannot be given together")
	case t.revision < 0:
		return usage("--revision must not be negative, not %d", t.revision)
	case t.bump < 0:
		return usage("--bump-revision must not be negative, not %d", t.bump)
	case (t.bump > 0) != t.markCompacted:
		return usage("--bump-revision and --mark-compacted only work together")
	}
	t.request = restore.Request{Target: backup.Target{Revision: router.Revision(t.revision)}, Prefixes: t.prefixes, Bump: router.Revision(t.bump)}
	if t.at != "" && t.at != "latest" {
		moment, err := time.Parse(time.RFC3339, t.at)
		if err != nil {
			return usage("--time must be a time such as 2026-01-31T12:30:00Z, not %q", t.at)
		}
		t.request.Target = backup.Target{Time: moment}
	}
	return nil
}

// carryOut restores what was asked for.
func (t *restoreTool) carryOut(cmd *cobra.Command) (err error) {
	t.out, t.errOut = cmd.OutOrStdout(), cmd.ErrOrStderr()
	if t.source, err = t.archives.archived(cmd); err != nil {
		return err
	}
	if t.place, err = t.archives.destination(t.source.Place, t.toKeyspace, t.toHotTier); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return explainRestore(ctx, t.restore(ctx))
}

// destination is where a keyspace is to be made, if not where the flags say.
func (f *sourceFlags) destination(place placeSettings, keyspace, hotTier string) (placeSettings, error) {
	if keyspace != "" {
		if !keyspacePattern.MatchString(keyspace) {
			return place, usage("the keyspace to make must have 1 to 64 letters, digits, dots, underscores or hyphens, not %q", keyspace)
		}
		place.Keyspace = keyspace
	}
	if hotTier == "" {
		return place, nil
	}
	f.serve.hotTier = hotTier
	if hotTier != "local" {
		f.serve.redisServer = "" // only a server of its own needs it
	}
	var c config
	if err := f.serve.checkHotTier(&c); err != nil {
		return place, fmt.Errorf("--to-hot-tier: %w", err)
	}
	place.HotTier, place.ReplicaAcks = c.HotTier, c.ReplicaAcks
	return place, nil
}

func (t *restoreTool) restore(ctx context.Context) (err error) {
	a, err := openSource(ctx, t.source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	c, err := a.chosen(ctx, t.request.Target)
	if err != nil {
		return err
	}
	plan, err := restore.New(ctx, a.Archive, c, t.request)
	if err != nil {
		return err
	}
	report := restoreReport{Source: t.source, Place: t.place, Plan: plan, DryRun: t.dryRun}
	if t.dryRun {
		return report.print(t.out, t.output)
	}
	p, err := t.open.discarding(ctx, t.place, t.errOut, t.discard)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := t.bring(ctx, a, c, p, &report); err != nil {
		return err
	}
	if t.verify {
		if err := t.compare(ctx, a, p, &report); err != nil {
			return err
		}
	}
	if err := report.print(t.out, t.output); err != nil {
		return err
	}
	if report.different() {
		return errRestoredDifferent
	}
	return nil
}

// bring carries the plan out, and shows how far it is.
func (t *restoreTool) bring(ctx context.Context, a *readArchive, c *backup.Catalog, p place, report *restoreReport) (err error) {
	meter := new(restore.Meter)
	shown := showProgress(t.errOut, meter, t.now, t.every)
	begun := t.now()
	begin := func(ctx context.Context, start router.RestoreStart) (restore.Restoration, error) {
		return p.Restore(ctx, start)
	}
	report.Outcome, err = restore.Run(ctx, a.Archive, c, report.Plan, begin, meter)
	report.Took = t.now().Sub(begun)
	shown(err == nil)
	if err == nil {
		report.Plan = report.Outcome.Plan
	}
	return err
}

// errRestoredDifferent is a restore after which the hashes differ. The report says more.
var errRestoredDifferent = errors.New("the restored keyspace is not what the archive has: its HashKV differs; do not use it, and run tierd backup verify --restore")

// compare computes HashKV of what was restored, and of the archive.
func (t *restoreTool) compare(ctx context.Context, a *readArchive, p place, report *restoreReport) error {
	fmt.Fprintln(t.errOut, "comparing the hashes ...") // nobody may be there to read it
	k, err := p.Open(ctx)
	if err != nil {
		return err
	}
	own, err := hashOf(ctx, k, report.Outcome.Revision)
	if err != nil {
		return err
	}
	want, err := report.Plan.Hash(ctx, a.Archive)
	report.Hash, report.ArchiveHash = &own, &want
	return err
}

// hashOf is HashKV of a keyspace.
func hashOf(ctx context.Context, k openKeyspace, at router.Revision) (uint32, error) {
	hasher := etcdfile.NewHasher()
	if _, err := k.HashedHistory(ctx, at, hasher.Write); err != nil {
		return 0, fmt.Errorf("hash revision %d of the restored keyspace: %w", at, err)
	}
	return hasher.Sum(), nil
}

// explainRestore tells what to do about a failure.
func explainRestore(ctx context.Context, err error) error {
	other := (*router.OtherRestore)(nil)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, router.ErrKeyspaceExists):
		return usage("%v: a restore never writes over one; choose another name with --to-keyspace, or a hot tier without it", err)
	case errors.As(err, &other):
		return usage("%s was interrupted there: repeat the command that began it, or start over with --discard-interrupted", restore.Describe(other.ID))
	case errors.Is(err, restore.ErrGone):
		return usage("%v: it was pruned meanwhile; start over with --discard-interrupted", err)
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted; the same command goes on with the restore (%w)", err)
	default:
		return explainArchive(ctx, err)
	}
}
