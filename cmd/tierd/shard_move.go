package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/functions/balance"
	"github.com/tierd/tierd/router"
)

// moveTarget is what tierd shard move was asked for.
type moveTarget struct {
	key, from, to string
	endpoint      int
	// byKey and byEnds say which of the three ways to name a range was taken, if
	// not two arguments.
	byKey, byEnds bool
}

func (t *shardTool) moveCommand() *cobra.Command {
	var want moveTarget
	cmd := t.changing("move FROM TO --endpoint N", "Move ranges to a new shard on an endpoint", nil, func(ctx context.Context, args []string) error {
		return t.move(ctx, want, args)
	})
	cmd.Long = `Move ranges to a new shard on an endpoint, under load.

All ranges from FROM to TO become one range of a new shard. FROM and TO must be
boundaries of ranges, "" is the beginning and the end of all keys. Instead of them,
--key names the range that holds a key, and --from and --to each default to "".
Ending the command early is safe: the move is then finished or undone by a frontend.`
	cmd.Args = func(_ *cobra.Command, args []string) error { return want.check(cmd, args) }
	cmd.Flags().StringVar(&want.key, "key", "", "move the range that holds this key")
	cmd.Flags().StringVar(&want.from, "from", "", "first key to move")
	cmd.Flags().StringVar(&want.to, "to", "", "first key not to move")
	cmd.Flags().IntVar(&want.endpoint, "endpoint", -1, "number of the endpoint to move to, see tierd shard list")
	return cmd
}

// check wants the range to be named in one way, and an endpoint.
func (w *moveTarget) check(cmd *cobra.Command, args []string) error {
	w.byKey = cmd.Flags().Changed("key")
	w.byEnds = cmd.Flags().Changed("from") || cmd.Flags().Changed("to")
	ways := 0
	for _, way := range []bool{len(args) > 0, w.byKey, w.byEnds} {
		if way {
			ways++
		}
	}
	switch {
	case ways != 1 || (len(args) > 0 && len(args) != 2):
		return usage("%s wants one of FROM TO, --key KEY, and --from KEY --to KEY", cmd.CommandPath())
	case w.endpoint < 0:
		return usage("%s wants --endpoint, the number of the endpoint to move to", cmd.CommandPath())
	}
	return nil
}

// ends are the boundaries of what is to be moved.
func (t *shardTool) ends(topology router.Topology, want moveTarget, args []string) (from, to []byte, err error) {
	if want.byKey {
		key, err := t.key(want.key)
		if err != nil {
			return nil, nil, err
		}
		r, found := rangeOf(topology, key)
		if !found {
			return nil, nil, fmt.Errorf("no range holds the key %q: the shard map is incomplete", key)
		}
		return r.From, r.To, nil
	}
	texts := [2]string{want.from, want.to}
	if !want.byEnds {
		texts = [2]string(args)
	}
	if from, err = t.key(texts[0]); err != nil {
		return nil, nil, err
	}
	if to, err = t.key(texts[1]); err != nil {
		return nil, nil, err
	}
	for _, key := range [][]byte{from, to} {
		if !isBoundary(topology, key) {
			return nil, nil, usage("no range begins at %q: tierd shard split makes one begin there", key)
		}
	}
	if len(to) > 0 && bytes.Compare(from, to) >= 0 {
		return nil, nil, usage("FROM must be below TO, and %q is not below %q", from, to)
	}
	return from, to, nil
}

// move checks what was asked for, tells the cost, and moves.
func (t *shardTool) move(ctx context.Context, want moveTarget, args []string) error {
	topology, err := t.topology(ctx)
	if err != nil {
		return err
	}
	target, err := endpointOf(topology, want.endpoint)
	if err != nil {
		return err
	}
	from, to, err := t.ends(topology, want, args)
	if err != nil {
		return err
	}
	c := rangeChange("move", nil, from, to)
	c.Endpoint = &target.ID
	for _, r := range rangesBetween(topology, from, to) {
		c.Ranges++
		c.Keys += r.Keys
		c.Bytes += r.Bytes
	}
	if !t.dryRun {
		if err := t.moveOne(ctx, from, to, target.ID); err != nil {
			return err
		}
	}
	where := fmt.Sprintf("%s to a new shard on endpoint %d (%s)", balance.Keys(from, to), target.ID, target.URL)
	return t.change(c, fmt.Sprintf("would move %s: %s to copy", where, cost(c.Keys, c.Bytes)), "moved "+where)
}

// moveOne moves ranges and shows how far it is.
func (t *shardTool) moveOne(ctx context.Context, from, to []byte, endpoint int) error {
	bar := t.newProgress()
	err := t.keyspace.Move(ctx, from, to, endpoint, bar.report)
	bar.end()
	if err != nil {
		return fmt.Errorf("move %s to endpoint %d: %w", balance.Keys(from, to), endpoint, err)
	}
	return nil
}
