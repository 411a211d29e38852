package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/travel"
	"github.com/tierd/tierd/router"
)

// pastTool is what one run of a command that looks at an archive works with.
type pastTool struct {
	archives    *sourceFlags
	output      string
	hex         bool
	out, errOut io.Writer

	archive *readArchive
}

func newPastTool(environ []string) *pastTool {
	return &pastTool{archives: newSourceFlags(environ)}
}

func (t *pastTool) register(fs *pflag.FlagSet, withFrom bool) {
	fs.SortFlags = false
	t.archives.register(fs, withFrom)
	fs.StringVarP(&t.output, "output", "o", "table", "how to print: table or json")
}

// registerHex declares --hex, of commands that have to do with keys.
func (t *pastTool) registerHex(fs *pflag.FlagSet) {
	fs.BoolVar(&t.hex, "hex", false, "keys are given as hexadecimal digits")
}

// key reads a key as it was given.
func (t *pastTool) key(text string) ([]byte, error) {
	if !t.hex {
		return []byte(text), nil
	}
	key, err := decodeHex(text)
	if err != nil {
		return nil, usage("with --hex, a key must be hexadecimal digits, not %q", text)
	}
	return key, nil
}

// run opens the archive and does what the command is for, until the first SIGINT or SIGTERM.
func (t *pastTool) run(cmd *cobra.Command, act func(ctx context.Context) error) (err error) {
	t.out, t.errOut = cmd.OutOrStdout(), cmd.ErrOrStderr()
	if t.output != "table" && t.output != "json" {
		return usage("--output must be table or json, not %q", t.output)
	}
	settings, err := t.archives.archived(cmd)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if t.archive, err = openSource(ctx, settings); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.archive.Close()) }()
	return explainArchive(ctx, act(ctx))
}

// moment plans to read the state at a moment that was given in a flag.
func (t *pastTool) moment(ctx context.Context, c *backup.Catalog, flag, text string) (backup.Plan, error) {
	target, err := parseMoment(flag, text)
	if err != nil {
		return backup.Plan{}, err
	}
	return t.archive.Plan(ctx, c, target)
}

// chosen lists the timeline that has a moment.
func (t *pastTool) chosen(ctx context.Context, flag, text string) (*backup.Catalog, error) {
	target, err := parseMoment(flag, text)
	if err != nil {
		return nil, err
	}
	return t.archive.chosen(ctx, target)
}

const historyHelp = `Show all versions of a key that the archive has, also those that were compacted.

The time is one at which the version is known to have been there, at most about a second
after it was written; "before" where only a snapshot has it.`

func newHistoryCommand(environ []string) *cobra.Command {
	t := newPastTool(environ)
	var since string
	cmd := &cobra.Command{
		Use: "history KEY", Short: "Show all versions of a key, from the archive", Long: historyHelp,
		Args: func(cmd *cobra.Command, args []string) error { return wantArguments(cmd, args, []string{"KEY"}) },
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.run(cmd, func(ctx context.Context) error { return t.history(ctx, args[0], since) })
		},
	}
	t.register(cmd.Flags(), true)
	t.registerHex(cmd.Flags())
	cmd.Flags().StringVar(&since, "since", "", "show versions from this revision or time on (default the beginning)")
	return cmd
}

// pastJSON is a version of a key for programs.
type pastJSON struct {
	valueJSON
	Deleted bool       `json:"deleted"`
	Time    *time.Time `json:"time"`
	// Older says that it was there before Time, at any time.
	Older bool `json:"older"`
	Gap   bool `json:"gap"`
}

func (t *pastTool) history(ctx context.Context, text, since string) error {
	key, err := t.key(text)
	if err != nil {
		return err
	}
	target := "latest"
	if since != "" {
		target = since
	}
	c, err := t.chosen(ctx, "--since", target)
	if err != nil {
		return err
	}
	var from router.Revision
	if since != "" {
		plan, err := t.moment(ctx, c, "--since", since)
		if err != nil {
			return err
		}
		from = plan.Revision
	}
	var all []travel.Past
	err = travel.History(ctx, t.archive.Archive, c, key, from, func(p travel.Past) error {
		all = append(all, p)
		return nil
	})
	if err != nil {
		return err
	}
	if t.output == "json" {
		document := make([]pastJSON, len(all))
		for i, p := range all {
			document[i] = pastJSON{valueJSON: valueOf(p.KeyValue), Deleted: p.Deleted, Older: p.Older, Gap: p.Gap, Time: timeJSON(p.Time)}
		}
		return encodeJSON(t.out, document)
	}
	if len(all) == 0 {
		return printLines(t.out, []string{"The archive has no version of that key."})
	}
	rows := make([][]string, len(all))
	for i, p := range all {
		rows[i] = pastRow(p)
	}
	return printTables(t.out, table{columns: []string{"REVISION", "TIME", "VERSION", "LEASE", "VALUE"}, rows: rows})
}

func pastRow(p travel.Past) []string {
	at := timeText(p.Time)
	if p.Older {
		at = "before " + at
	}
	row := []string{strconv.FormatInt(int64(p.Mod), 10), at, strconv.FormatInt(p.Version, 10), leaseText(p.Lease), shortValue(p.Value)}
	if p.Deleted {
		row[2], row[3], row[4] = "-", "-", "(deleted)"
	}
	if p.Gap {
		row[0], row[4] = "up to "+row[0], "(deleted; the archive has a gap here)"
	}
	return row
}

func leaseText(lease int64) string {
	if lease == 0 {
		return "-"
	}
	return fmt.Sprintf("%016x", uint64(lease))
}
