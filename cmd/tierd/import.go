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

	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/backup/migrate"
	"github.com/tierd/tierd/router"
)

const importHelp = `Bring a keyspace from an etcd, with its revisions, versions and leases.

tierd import FILE reads a file that etcdctl snapshot save wrote. tierd import --endpoints
URL reads a running etcd: a snapshot of it, and then what is written to it up to now, or,
with --follow, until the first SIGINT or SIGTERM or until nothing was written for
--cut-over-when-idle. Then it compares the hashes of both and says what to do next. Nothing is
written to the etcd.

The keyspace must not exist, or be empty and not served: start no tierd serve on it before
the import has ended. An import that was interrupted is gone on with by the same command;
--discard-interrupted removes what it has brought, and starts over. Where the keyspace is,
--hot-tier, --keyspace and so on say as for tierd serve, with the same environment variables.`

// importTool is what one run of tierd import works with.
type importTool struct {
	places *placeFlags
	open   placeOpener
	// now and after are the clock: time.Now and time.After outside tests.
	now   func() time.Time
	after func(time.Duration) <-chan time.Time

	output              string
	dryRun, discard     bool
	bump                int64
	markCompacted       bool
	withoutAuth, follow bool
	idle                time.Duration
	tempDir             string
	source              etcdFlags
	settings            placeSettings
	out, errOut         io.Writer
}

func newImportTool(environ []string, open placeOpener) *importTool {
	return &importTool{places: newPlaceFlags(environ), open: open, now: time.Now, after: time.After}
}

func (t *importTool) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import [FILE]", Short: "Bring a keyspace from an etcd snapshot or a running etcd", Long: importHelp,
		Args: cobra.ArbitraryArgs,
		RunE: t.run,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	t.places.register(fs)
	fs.AddFlag(t.places.serveSet.Lookup(sealValuesName))
	fs.StringVarP(&t.output, "output", "o", "table", "how to print: table or json")
	fs.BoolVar(&t.dryRun, "dry-run", false, "say what would be imported, and do nothing")
	fs.BoolVar(&t.discard, "discard-interrupted", false, "remove what an interrupted import has brought, and start over")
	fs.Int64Var(&t.bump, "bump-revision", 0, "how far to raise the revision, with --mark-compacted, so that clients read everything anew; of a file only")
	fs.BoolVar(&t.markCompacted, "mark-compacted", false, "make everything before the raised revision unreadable; needed with --bump-revision")
	fs.BoolVar(&t.withoutAuth, "without-auth", false, "leave users and roles of the source behind: whoever reaches tierd may then do everything")
	fs.BoolVar(&t.follow, "follow", false, "keep following the running etcd until a signal or --cut-over-when-idle")
	fs.DurationVar(&t.idle, "cut-over-when-idle", 0, "with --follow, end when nothing was written to the source for so long; 0 waits for a signal")
	fs.StringVar(&t.tempDir, "temp-dir", "", "folder for the snapshot of a running etcd while it is imported (default that of the system)")
	t.source.register(fs)
	return cmd
}

func (t *importTool) run(cmd *cobra.Command, args []string) (err error) {
	t.out, t.errOut = cmd.OutOrStdout(), cmd.ErrOrStderr()
	if err := t.check(cmd, args); err != nil {
		return err
	}
	if t.settings, err = t.places.settings(cmd); err != nil {
		return err
	}
	if len(t.source.endpoints) > 0 {
		return t.importLive(cmd.Context())
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return explainImport(ctx, t.importFile(ctx, args[0]))
}

// check refuses flags that do not go together.
func (t *importTool) check(cmd *cobra.Command, args []string) error {
	live := len(t.source.endpoints) > 0
	switch {
	case t.output != "table" && t.output != "json":
		return usage("--output must be table or json, not %q", t.output)
	case len(args) > 1 || (len(args) == 1) == live:
		return usage("%s wants either one file or --endpoints", cmd.CommandPath())
	case t.bump < 0:
		return usage("--bump-revision must not be negative, not %d", t.bump)
	case (t.bump > 0) != t.markCompacted:
		return usage("--bump-revision and --mark-compacted only work together")
	case live && t.bump > 0:
		return usage("--bump-revision has no meaning with --endpoints: nothing that a client has seen is lost")
	case !live && t.follow:
		return usage("--follow needs --endpoints: a file does not change")
	case t.idle < 0:
		return usage("--cut-over-when-idle must not be negative, not %v", t.idle)
	case t.idle > 0 && !t.follow:
		return usage("--cut-over-when-idle needs --follow")
	}
	return t.source.check(live)
}

// options are those of the import itself.
func (t *importTool) options() migrate.Options {
	return migrate.Options{Bump: router.Revision(t.bump), WithoutAuth: t.withoutAuth}
}

func (t *importTool) progress() migrate.Progress { return &lineProgress{out: t.errOut, now: t.now} }

// importFile imports a snapshot file.
func (t *importTool) importFile(ctx context.Context, path string) (err error) {
	progress := t.progress()
	progress.Step("verifying "+path, 0)
	file, err := etcdfile.Open(ctx, path)
	if err != nil {
		return fmt.Errorf("%s cannot be imported: %w", path, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	report := importReport{Source: path, Place: t.settings.name(), Notes: fileNotes(file.State(), t.withoutAuth)}
	if t.dryRun {
		report.Outcome, report.DryRun = migrate.Planned(file.State(), t.options()), true
		return report.print(t.out, t.output)
	}
	p, err := t.open.discarding(ctx, t.settings, t.errOut, t.discard)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if report.Outcome, err = migrate.File(ctx, file, p.Restore, t.options(), progress); err != nil {
		return err
	}
	return t.compare(ctx, p, &report)
}

// errDifferent is an import after which the hashes differ. The report says more.
var errDifferent = errors.New("the imported keyspace is not the same as its source: its HashKV differs; do not use it")

// compare computes HashKV of what was imported, and prints the report.
func (t *importTool) compare(ctx context.Context, p place, report *importReport) error {
	k, err := p.Open(ctx)
	if err != nil {
		return err
	}
	t.progress().Step("comparing the hashes", 0)
	if report.Hashes, err = migrate.Hash(ctx, k, report.Outcome); err != nil {
		return err
	}
	if err := report.print(t.out, t.output); err != nil {
		return err
	}
	if !report.equal() {
		return errDifferent
	}
	return nil
}

// explainImport tells what to do about a failure.
func explainImport(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, router.ErrKeyspaceExists):
		return usage("%v: an import needs a keyspace that does not exist, or is empty and not served; choose another name with --keyspace", err)
	case errors.Is(err, router.ErrOtherRestore):
		return usage("%v: repeat the command that was interrupted, or start over with --discard-interrupted", err)
	case errors.Is(err, migrate.ErrAuthChanged):
		return fmt.Errorf("%w; start over with --discard-interrupted", err)
	case errors.Is(err, migrate.ErrGap):
		return fmt.Errorf("%w: the source was compacted faster than the import went on; start over with --discard-interrupted, with automatic compaction of the source off or slower meanwhile", err)
	case errors.Is(err, etcdfile.ErrAltered), errors.Is(err, etcdfile.ErrNotDatabase):
		return usage("%v", err)
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted; the same command goes on with the import (%w)", err)
	default:
		return err
	}
}
