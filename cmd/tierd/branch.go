package main

import (
	"strings"

	"github.com/spf13/cobra"
)

const branchHelp = `Make a new keyspace that is another one as it was at some moment.

--from is KEYSPACE@MOMENT: a revision, a time such as 2026-01-31T12:30:00Z, or latest. The
branch comes from the archive, so that the keyspace may be in service, or be gone. From then
on the two have nothing to do with each other. It is tierd restore to another keyspace: see there.`

func newBranchCommand(environ []string, open placeOpener) *cobra.Command {
	t := newRestoreTool(environ, open)
	var from string
	cmd := &cobra.Command{
		Use: "branch --from KEYSPACE@MOMENT NAME", Short: "Make a new keyspace of another one at some moment, from its archive", Long: branchHelp,
		Args: func(cmd *cobra.Command, args []string) error { return wantArguments(cmd, args, []string{"NAME"}) },
		RunE: func(cmd *cobra.Command, args []string) error {
			source, moment, found := strings.Cut(from, "@")
			if !found || source == "" || moment == "" {
				return usage("--from must be KEYSPACE@REVISION, KEYSPACE@TIME or KEYSPACE@latest, not %q", from)
			}
			if err := t.check(cmd); err != nil {
				return err
			}
			target, err := parseMoment("--from", moment)
			if err != nil {
				return err
			}
			if err := cmd.Flags().Set("keyspace", source); err != nil {
				return valueError("--from", cmd.Flags().Lookup("keyspace"), source)
			}
			t.request.Target, t.toKeyspace = target, args[0]
			return t.carryOut(cmd)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	t.archives.register(fs, false)
	fs.StringVar(&from, "from", "", "the keyspace and the moment to branch from, such as default@1234")
	fs.StringVar(&t.toHotTier, "to-hot-tier", "", "where to make it, as --hot-tier (the default)")
	t.registerCommon(cmd)
	return cmd
}
