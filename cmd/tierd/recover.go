package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/router"
)

// bumpRevisionDefault is how far above anything known a recovered keyspace goes on: more
// revisions than a frontend that is gone can have acknowledged unseen.
const bumpRevisionDefault = 1_000_000

const recoverHelp = `Explain what a keyspace has lost, or go on without it.

Without flags nothing is changed: the command says which writes that were acknowledged
are missing, and where. If a Redis that has them can be brought back (the old primary, a
backup of its disk), do that instead.

--accept-loss takes what is there as the truth. The revision jumps past anything that a
client may have seen and everything before it counts as compacted, so that every client
that has seen what is lost has to read everything anew. There is no way back.`

// recoverCommand is tierd recover, which works on a keyspace as the shard commands do.
func (t *shardTool) recoverCommand() *cobra.Command {
	var accept bool
	var bump int64
	cmd := t.reading("recover", "Explain what a keyspace has lost, or go on without it", nil, func(ctx context.Context, _ []string) error {
		if !accept {
			return t.explainLoss(ctx)
		}
		if bump < 1 {
			return usage("--bump-revision must be at least 1, not %d", bump)
		}
		return t.acceptLoss(ctx, router.Revision(bump))
	})
	cmd.Long = recoverHelp
	t.serve.register(t.serveFlags)
	for _, name := range sharedSettings() {
		cmd.Flags().AddFlag(t.serveFlags.Lookup(name))
	}
	cmd.Flags().StringVarP(&t.output, "output", "o", "table", "how to print: table or json")
	cmd.Flags().BoolVar(&accept, "accept-loss", false, "go on without what is missing")
	cmd.Flags().Int64Var(&bump, "bump-revision", bumpRevisionDefault, "how far above anything known the revision jumps with --accept-loss")
	return cmd
}

// explainLoss prints what is missing.
func (t *shardTool) explainLoss(ctx context.Context) error {
	loss, err := t.keyspace.Loss(ctx)
	if err != nil {
		return fmt.Errorf("find out what is missing: %w", err)
	}
	if t.output == "json" {
		return printLossJSON(t.out, loss)
	}
	lines := []string{}
	if loss.Reason == "" && len(loss.Shards) == 0 {
		lines = append(lines, "Nothing is missing.")
	}
	if loss.Reason != "" {
		lines = append(lines, "The whole keyspace is refused: "+loss.Reason+".",
			fmt.Sprintf("Redis has revision %d; the highest that a live frontend told of is %d.", loss.Revision, loss.Witnessed))
	}
	for _, s := range loss.Shards {
		lines = append(lines, fmt.Sprintf("Shard %d is refused: %s.", s.Shard, s.Reason))
		if s.MissingCount > 0 {
			lines = append(lines, fmt.Sprintf("  %d transactions are missing, of the revisions %s.", s.MissingCount, revisionList(s.Missing)))
		}
	}
	if loss.Reason != "" || len(loss.Shards) > 0 {
		lines = append(lines, "Bring the Redis back that has them, or run tierd recover --accept-loss.")
	}
	return printLines(t.out, lines)
}

// acceptLoss goes on without what is missing, and says what that took.
func (t *shardTool) acceptLoss(ctx context.Context, bump router.Revision) error {
	revision, dropped, err := t.keyspace.AcceptLoss(ctx, bump)
	if errors.Is(err, router.ErrMap) {
		return usage("there is no loss to accept: nothing is missing")
	}
	if err != nil {
		return fmt.Errorf("accept the loss: %w", err)
	}
	if t.output == "json" {
		return encodeJSON(t.out, struct {
			Revision router.Revision `json:"revision"`
			Dropped  []string        `json:"droppedKeys"`
		}{revision, append([]string{}, dropped...)})
	}
	lines := []string{fmt.Sprintf("The keyspace goes on at revision %d, compacted there.", revision)}
	for _, key := range dropped {
		lines = append(lines, fmt.Sprintf("The key %q is gone: its last version is missing.", key))
	}
	return printLines(t.out, lines)
}

// revisionListed bounds the revisions that a line names.
const revisionListed = 20

// revisionList names revisions in a line.
func revisionList(revisions []router.Revision) string {
	if len(revisions) == 0 {
		return "unknown to the sequencer"
	}
	text := ""
	for i, r := range revisions {
		if i == revisionListed {
			return fmt.Sprintf("%s and others up to %d", text, revisions[len(revisions)-1])
		}
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprint(r)
	}
	return text
}

func printLossJSON(out io.Writer, loss router.Loss) error {
	type shardLoss struct {
		Shard   int               `json:"shard"`
		Reason  string            `json:"reason"`
		Missing []router.Revision `json:"missingRevisions"`
		Count   int64             `json:"missing"`
	}
	document := struct {
		Reason    string          `json:"reason"`
		Revision  router.Revision `json:"revision"`
		Witnessed router.Revision `json:"witnessedRevision"`
		Shards    []shardLoss     `json:"shards"`
	}{loss.Reason, loss.Revision, loss.Witnessed, []shardLoss{}}
	for _, s := range loss.Shards {
		document.Shards = append(document.Shards, shardLoss{s.Shard, s.Reason, append([]router.Revision{}, s.Missing...), s.MissingCount})
	}
	return encodeJSON(out, document)
}

func encodeJSON(out io.Writer, document any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func printLines(out io.Writer, lines []string) error {
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return nil
}
