package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/backup/travel"
)

const getHelp = `Read a key, or all that begin with --prefix, as they were at a revision or a time.

It reads the archive alone: compaction hides nothing. A table shows the beginning of each
value; --print-value-only writes the values as they are, and JSON has them whole.`

// getTool is what one run of tierd get works with.
type getTool struct {
	*pastTool
	at, prefix string
	valueOnly  bool
}

func newGetCommand(environ []string) *cobra.Command {
	t := &getTool{pastTool: newPastTool(environ)}
	cmd := &cobra.Command{
		Use: "get [KEY]", Short: "Read keys as they were at a revision or a time, from the archive", Long: getHelp,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := t.keys(cmd, args, t.prefix)
			if err != nil {
				return err
			}
			return t.run(cmd, func(ctx context.Context) error { return t.get(ctx, keys) })
		},
	}
	t.register(cmd.Flags(), true)
	t.registerHex(cmd.Flags())
	cmd.Flags().StringVar(&t.prefix, "prefix", "", `read all keys that begin so; "" is all`)
	cmd.Flags().StringVar(&t.at, "at", "latest", "the revision or time, such as 2026-01-31T12:30:00Z, or latest")
	cmd.Flags().BoolVar(&t.valueOnly, "print-value-only", false, "write nothing but the values, each with a line's end behind it")
	return cmd
}

// keys are the one that is given as argument, or those with a prefix.
func (t *pastTool) keys(cmd *cobra.Command, args []string, prefix string) (travel.Keys, error) {
	byPrefix := cmd.Flags().Changed("prefix")
	if len(args) > 1 || (len(args) == 1) == byPrefix {
		return travel.Keys{}, usage("%s wants either one key or --prefix", cmd.CommandPath())
	}
	text := prefix
	if !byPrefix {
		text = args[0]
	}
	key, err := t.key(text)
	return travel.Keys{Key: key, Prefix: byPrefix}, err
}

func (t *getTool) get(ctx context.Context, keys travel.Keys) error {
	c, err := t.chosen(ctx, "--at", t.at)
	if err != nil {
		return err
	}
	plan, err := t.moment(ctx, c, "--at", t.at)
	if err != nil {
		return err
	}
	found, _, err := travel.Get(ctx, t.archive.Archive, plan, keys)
	switch {
	case err != nil:
		return err
	case t.output == "json":
		document := make([]valueJSON, len(found))
		for i, kv := range found {
			document[i] = valueOf(kv)
		}
		return encodeJSON(t.out, struct {
			Revision int64       `json:"revision"`
			Keys     []valueJSON `json:"keys"`
		}{int64(plan.Revision), document})
	case t.valueOnly:
		for _, kv := range found {
			if _, err := fmt.Fprintf(t.out, "%s\n", kv.Value); err != nil {
				return fmt.Errorf("print: %w", err)
			}
		}
		return nil
	}
	head := fmt.Sprintf("At revision %d (%s): %s %s.", plan.Revision, timeText(plan.Time), humanize.Comma(int64(len(found))), plural(len(found), "key"))
	if err := printLines(t.out, []string{head}); err != nil || len(found) == 0 {
		return err
	}
	rows := make([][]string, len(found))
	for i, kv := range found {
		rows[i] = []string{shortText(kv.Key), strconv.FormatInt(int64(kv.Mod), 10), strconv.FormatInt(kv.Version, 10), leaseText(kv.Lease), shortValue(kv.Value)}
	}
	return printTables(t.out, table{columns: []string{"KEY", "REVISION", "VERSION", "LEASE", "VALUE"}, rows: rows})
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
