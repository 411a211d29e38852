package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/functions/balance"
)

// sampleMin is the shortest time between the two samples of shard plan.
const sampleMin = time.Second

func (t *shardTool) listCommand() *cobra.Command {
	return t.reading("list", "List endpoints and key ranges", nil, func(ctx context.Context, _ []string) error {
		topology, err := t.topology(ctx)
		if err != nil {
			return err
		}
		if t.output == "json" {
			return t.printJSON(topologyJSONOf(topology, false, nil))
		}
		return t.printTables(t.endpointTable(topology), t.rangeTable(topology))
	})
}

func (t *shardTool) statusCommand() *cobra.Command {
	return t.reading("status", "Show endpoints, shards, ranges, the move under way and alarms", nil, func(ctx context.Context, _ []string) error {
		topology, err := t.topology(ctx)
		if err != nil {
			return err
		}
		alarms, err := t.keyspace.Alarms(ctx)
		if err != nil {
			return fmt.Errorf("read the alarms: %w", err)
		}
		if t.output == "json" {
			return t.printJSON(topologyJSONOf(topology, true, alarms))
		}
		return t.printTables(t.headTable(topology, alarms), t.endpointTable(topology), t.shardTable(topology), t.rangeTable(topology), statusLegend())
	})
}

func (t *shardTool) planCommand() *cobra.Command {
	var between time.Duration
	cmd := t.reading("plan", "Show what the balancer would do now, and why", nil, func(ctx context.Context, _ []string) error {
		outlook, err := t.lookTwice(ctx, between)
		if err != nil {
			return err
		}
		if t.output == "json" {
			return t.printJSON(planJSONOf(outlook))
		}
		return t.printPlan(outlook)
	})
	cmd.Long = `Show what the balancer would do now, and why.

The shard map is read twice, --sample apart, to see how much is written where. The
balancer itself counts for a minute or more, rests between acts, and looks anew after
each: see docs/operations.md.`
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if between < sampleMin {
			return usage("--sample must be at least %v, not %v", sampleMin, between)
		}
		return nil
	}
	cmd.Flags().DurationVar(&between, "sample", 5*time.Second, "how long to count writes, at least 1s")
	return cmd
}

// lookTwice plans from two samples.
func (t *shardTool) lookTwice(ctx context.Context, between time.Duration) (balance.Outlook, error) {
	var samples [2]balance.Sample
	for i := range samples {
		if i > 0 {
			select {
			case <-ctx.Done():
				return balance.Outlook{}, fmt.Errorf("count writes: %w", context.Cause(ctx))
			case <-t.after(between):
			}
		}
		topology, err := t.topology(ctx)
		if err != nil {
			return balance.Outlook{}, err
		}
		samples[i] = balance.Sample{At: t.now(), Topology: topology}
	}
	before, after := samples[0], samples[1]
	outlook := balance.Plan(after.At, before, after, nil, balance.DefaultPolicy())
	if before.Topology.Epoch != after.Topology.Epoch {
		outlook.Notes = append(outlook.Notes, "the shard map changed while writes were counted, so the load is not known: try again")
	}
	return outlook, nil
}

func (t *shardTool) printPlan(o balance.Outlook) error {
	var text strings.Builder
	if len(o.Decisions) == 0 {
		text.WriteString("Nothing is to be done.\n")
	}
	for i, d := range o.Decisions {
		fmt.Fprintf(&text, "%d. %s\n   because %s.\n", i+1, t.decisionText(d), d.Reason)
	}
	for _, note := range o.Notes {
		fmt.Fprintf(&text, "Note: %s.\n", note)
	}
	if _, err := fmt.Fprint(t.out, text.String()); err != nil {
		return fmt.Errorf("print the plan: %w", err)
	}
	return nil
}

// decisionText is a decision as the command that does the same.
func (t *shardTool) decisionText(d balance.Decision) string {
	if d.Kind == balance.Move {
		return fmt.Sprintf("move %s %s --endpoint %d (%s to copy)", t.keyText(d.From), t.keyText(d.To), d.Target, cost(d.Keys, d.Bytes))
	}
	return fmt.Sprintf("%s %s (nothing to copy)", d.Kind, t.keyText(d.At))
}
