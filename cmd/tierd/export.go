package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/backup/migrate"
	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

const exportHelp = `Write a keyspace to a file that etcdutl snapshot restore makes an etcd of.

The etcd has the same keys, revisions, versions and leases, and the same HashKV. The keyspace
may be in service meanwhile; the file has its state at one revision, the current one or that of
--revision, and all that a watch or a read at an older revision needs. Every lease gets its full time
to live again; leases are those that exist now, whichever the revision.`

// exportTool is what one run of tierd export works with.
type exportTool struct {
	places   *placeFlags
	open     placeOpener
	now      func() time.Time
	output   string
	revision int64
	out      io.Writer
	errOut   io.Writer
}

func newExportTool(environ []string, open placeOpener) *exportTool {
	return &exportTool{places: newPlaceFlags(environ), open: open, now: time.Now}
}

func (t *exportTool) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: "export FILE", Short: "Write a keyspace to a file that etcdutl snapshot restore reads", Long: exportHelp,
		Args: func(cmd *cobra.Command, args []string) error { return wantArguments(cmd, args, []string{"FILE"}) },
		RunE: t.run,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	t.places.register(fs)
	fs.Int64Var(&t.revision, "revision", 0, "the revision to export; 0 is the current one")
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
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return usage("%s exists already, and is not overwritten", path)
	}
	settings, err := t.places.settings(cmd)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	p, err := t.open(ctx, settings, t.errOut)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	keyspace, err := p.Open(ctx)
	if err != nil {
		return err
	}
	content := migrate.OfKeyspace(keyspace, router.Revision(t.revision))
	exported, err := migrate.Export(ctx, content, path, wire.EtcdStorageVersion, &lineProgress{out: t.errOut, now: t.now})
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("interrupted: %w", err)
	case t.revision > 0 && (errors.Is(err, router.ErrCompacted) || errors.Is(err, router.ErrFutureRevision)):
		return usage("--revision %d cannot be exported: %v", t.revision, err)
	case err != nil:
		return err
	}
	return t.report(settings, path, exported)
}

// report prints what the file has.
func (t *exportTool) report(settings placeSettings, path string, e migrate.Exported) error {
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
		}{path, settings.name(), s.Revision, s.Compacted, s.Keys, s.Versions, s.Leases, e.Bytes, fmt.Sprintf("%x", s.Digest), e.Hash})
	}
	return printLines(t.out, []string{
		fmt.Sprintf("Exported the %s to %s.", settings.name(), path),
		field("revision", "%d, %s", s.Revision, compactedText(s.Compacted)),
		field("keys", "%s", humanize.Comma(s.Keys)),
		field("versions", "%s", humanize.Comma(s.Versions)),
		field("leases", "%s", humanize.Comma(s.Leases)),
		field("size", "%s bytes", humanize.Comma(e.Bytes)),
		field("HashKV", "%d at revision %d", e.Hash, s.Revision),
		fmt.Sprintf("Next: etcdutl snapshot restore %s --data-dir DIR, and start an etcd on DIR.", path),
	})
}
