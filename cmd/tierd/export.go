package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/migrate"
	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

const exportHelp = `Write a keyspace to a file that etcdutl snapshot restore makes an etcd of.

The etcd has the same keys, revisions, versions and leases, and the same HashKV. The keyspace
may be in service meanwhile; the file has its state at one revision, the current one or that of
--revision, and all that a watch or a read at an older revision needs. Every lease gets its full time
to live again; leases are those that exist now, whichever the revision.

With --from, it is the keyspace as its archive has it: at --revision, at --time, or the latest, with the
leases of then. Nothing but the archive is needed for that.`

// exportTool is what one run of tierd export works with.
type exportTool struct {
	archive  *sourceFlags
	open     placeOpener
	now      func() time.Time
	output   string
	revision int64
	time     string
	out      io.Writer
	errOut   io.Writer
}

func newExportTool(environ []string, open placeOpener) *exportTool {
	return &exportTool{archive: newSourceFlags(environ), open: open, now: time.Now}
}

func (t *exportTool) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export FILE", Short: "Write a keyspace to a file that etcdutl snapshot restore reads", Long: exportHelp,
		Args: func(cmd *cobra.Command, args []string) error { return wantArguments(cmd, args, []string{"FILE"}) },
		RunE: t.run,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	t.archive.register(fs, true)
	fs.Lookup("from").Usage = "export from the archive there instead of the keyspace in service; written as --object-tier"
	fs.Int64Var(&t.revision, "revision", 0, "the revision to export; 0 is the current one, or the latest of the archive")
	fs.StringVar(&t.time, "time", "", "with --from, export the state at a time such as 2026-01-31T12:30:00Z")
	fs.StringVarP(&t.output, "output", "o", "table", "how to print: table or json")
	return cmd
}

func (t *exportTool) run(cmd *cobra.Command, args []string) (err error) {
	t.out, t.errOut = cmd.OutOrStdout(), cmd.ErrOrStderr()
	path := args[0]
	switch {
	case t.output != "table" && t.output != "json":
		return usage("--output must be table or json, not %q", t.output)
	case t.revision < 0:
		return usage("--revision must not be negative, not %d", t.revision)
	case t.time != "" && t.archive.from == "":
		return usage("--time needs --from: only an archive knows what was when")
	case t.time != "" && t.revision > 0:
		return usage("--revision and --time are two ways to say what to export: give one of them")
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return usage("%s exists already, and is not overwritten", path)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if t.archive.from != "" {
		err = t.fromArchive(ctx, cmd, path)
	} else {
		err = t.fromKeyspace(ctx, cmd, path)
	}
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("interrupted: %w", err)
	}
	return err
}

// fromKeyspace exports a keyspace in service.
func (t *exportTool) fromKeyspace(ctx context.Context, cmd *cobra.Command, path string) (err error) {
	settings, err := t.archive.settings(cmd)
	if err != nil {
		return err
	}
	p, err := t.open(ctx, settings, t.errOut)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	keyspace, err := p.Open(ctx)
	if err != nil {
		return err
	}
	exported, err := t.export(ctx, migrate.OfKeyspace(keyspace, router.Revision(t.revision)), path)
	if t.revision > 0 && (errors.Is(err, router.ErrCompacted) || errors.Is(err, router.ErrFutureRevision)) {
		return usage("--revision %d cannot be exported: %v", t.revision, err)
	}
	if err != nil {
		return err
	}
	return t.report(settings.name(), path, exported)
}

// fromArchive exports what an archive has.
func (t *exportTool) fromArchive(ctx context.Context, cmd *cobra.Command, path string) (err error) {
	target := backup.Target{Revision: router.Revision(t.revision)}
	if t.time != "" {
		if target.Time, err = time.Parse(time.RFC3339, t.time); err != nil {
			return usage("--time must be a time such as 2026-01-31T12:30:00Z, not %q", t.time)
		}
	}
	settings, err := t.archive.archived(cmd)
	if err != nil {
		return err
	}
	archive, err := openSource(ctx, settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	catalog, err := archive.chosen(ctx, target)
	if err != nil {
		return err
	}
	plan, err := archive.Plan(ctx, catalog, target)
	if err != nil {
		return explainArchive(ctx, err)
	}
	exported, err := t.export(ctx, migrate.OfArchive(archive.Archive, plan), path)
	if err != nil {
		return explainArchive(ctx, err)
	}
	return t.report(fmt.Sprintf("keyspace %s in the archive at %s", settings.Keyspace, settings.Location), path, exported)
}

func (t *exportTool) export(ctx context.Context, content migrate.Content, path string) (migrate.Exported, error) {
	return migrate.Export(ctx, content, path, wire.EtcdStorageVersion, &lineProgress{out: t.errOut, now: t.now})
}

// report prints what the file has.
func (t *exportTool) report(place, path string, e migrate.Exported) error {
	s := e.State
	if t.output == "json" {
		return encodeJSON(t.out, struct {
			File      string          `json:"file"`
			Place     string          `json:"place"`
			Revision  router.Revision `json:"revision"`
			Compacted router.Revision `json:"compacted_revision"`
			Keys      int64           `json:"keys"`
			Versions  int64           `json:"versions"`
			Leases    int64           `json:"leases"`
			Bytes     int64           `json:"bytes"`
			SHA256    string          `json:"sha256"`
			HashKV    uint32          `json:"hash_kv"`
		}{path, place, s.Revision, s.Compacted, s.Keys, s.Versions, s.Leases, e.Bytes, fmt.Sprintf("%x", s.Digest), e.Hash})
	}
	return printLines(t.out, []string{
		fmt.Sprintf("Exported the %s to %s.", place, path),
		field("revision", "%d, %s", s.Revision, compactedText(s.Compacted)),
		field("keys", "%s", humanize.Comma(s.Keys)),
		field("versions", "%s", humanize.Comma(s.Versions)),
		field("leases", "%s", humanize.Comma(s.Leases)),
		field("size", "%s bytes", humanize.Comma(e.Bytes)),
		field("HashKV", "%d at revision %d", e.Hash, s.Revision),
		fmt.Sprintf("Next: etcdutl snapshot restore %s --data-dir DIR, and start an etcd on DIR.", path),
	})
}
