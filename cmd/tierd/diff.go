package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/travel"
	"github.com/tierd/tierd/router"
)

const diffHelp = `Show what is different between two moments, from the archive.

A key that was made and deleted again between the two is not shown; tierd history KEY has all
versions of one. --from and --to are a revision or a time; where the archive is, --object-tier
says.`

func newDiffCommand(environ []string) *cobra.Command {
	t := newPastTool(environ)
	var from, to, prefix string
	cmd := &cobra.Command{
		Use: "diff --from REV|TIME [--to REV|TIME]", Short: "Show what is different between two moments, from the archive", Long: diffHelp,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return usage("--from is needed: a revision, or a time such as 2026-01-31T12:30:00Z")
			}
			return t.run(cmd, func(ctx context.Context) error { return t.diff(ctx, from, to, prefix) })
		},
	}
	t.register(cmd.Flags(), false)
	t.registerHex(cmd.Flags())
	cmd.Flags().StringVar(&from, "from", "", "the earlier moment: a revision or a time")
	cmd.Flags().StringVar(&to, "to", "latest", "the later one: a revision, a time, or latest")
	cmd.Flags().StringVar(&prefix, "prefix", "", "compare only keys that begin so")
	return cmd
}

func (t *pastTool) diff(ctx context.Context, from, to, prefix string) error {
	key, err := t.key(prefix)
	if err != nil {
		return err
	}
	c, err := t.chosen(ctx, "--from", from)
	if err != nil {
		return err
	}
	before, err := t.moment(ctx, c, "--from", from)
	if err != nil {
		return err
	}
	after, err := t.moment(ctx, c, "--to", to)
	if err != nil {
		return err
	}
	if before.Revision > after.Revision {
		return usage("--from is revision %d, which is after --to, revision %d", before.Revision, after.Revision)
	}
	changes, err := travel.Diff(ctx, t.archive.Archive, c, before, after, travel.Keys{Key: key, Prefix: true})
	if err != nil {
		return err
	}
	if t.output == "json" {
		return encodeJSON(t.out, struct {
			From    momentJSON   `json:"from"`
			To      momentJSON   `json:"to"`
			Changes []changeItem `json:"changes"`
		}{momentOf(before), momentOf(after), changeItems(changes)})
	}
	head := fmt.Sprintf("From revision %d (%s) to %d (%s): %s %s different.", before.Revision, timeText(before.Time),
		after.Revision, timeText(after.Time), humanize.Comma(int64(len(changes))), plural(len(changes), "key"))
	return printChanges(t.out, head, changes)
}

// momentJSON is a moment for programs.
type momentJSON struct {
	Revision router.Revision `json:"revision"`
	Time     *time.Time      `json:"time"`
}

func momentOf(p backup.Plan) momentJSON { return momentJSON{p.Revision, timeJSON(p.Time)} }

// changeItem is a change for programs.
type changeItem struct {
	Change string     `json:"change"`
	Key    bytesJSON  `json:"key"`
	Old    *valueJSON `json:"old,omitempty"`
	New    *valueJSON `json:"new,omitempty"`
}

// kindOf names what happened to a key.
func kindOf(c travel.Change) string {
	switch {
	case c.Old == nil:
		return "created"
	case c.New == nil:
		return "deleted"
	case c.Rewritten():
		return "rewritten"
	default:
		return "changed"
	}
}

func changeItems(changes []travel.Change) []changeItem {
	items := make([]changeItem, len(changes))
	for i, c := range changes {
		items[i] = changeItem{Change: kindOf(c), Key: bytesOf(c.Key), Old: side(c.Old), New: side(c.New)}
	}
	return items
}

func side(kv *travel.KeyValue) *valueJSON {
	if kv == nil {
		return nil
	}
	v := valueOf(*kv)
	return &v
}

// printChanges prints a table of changes under a line.
func printChanges(out io.Writer, head string, changes []travel.Change) error {
	if err := printLines(out, []string{head}); err != nil || len(changes) == 0 {
		return err
	}
	rows := make([][]string, len(changes))
	for i, c := range changes {
		rows[i] = []string{kindOf(c), shortText(c.Key), cell(c.Old), cell(c.New)}
	}
	return printTables(out, table{columns: []string{"CHANGE", "KEY", "BEFORE", "AFTER"}, rows: rows})
}

func cell(kv *travel.KeyValue) string {
	if kv == nil {
		return "-"
	}
	text := shortValue(kv.Value)
	if kv.Lease != 0 {
		text += fmt.Sprintf(" (lease %s)", leaseText(kv.Lease))
	}
	return text
}
