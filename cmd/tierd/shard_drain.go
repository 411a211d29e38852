package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/functions/balance"
	"github.com/tierd/tierd/router"
)

const (
	// drainPoll is how often a drain looks whether a change of the map by someone
	// else is over.
	drainPoll = time.Second
	// drainSurprisesMax bounds how often in a row a drain, or a spread, finds the map other than
	// it was when it decided: the balancer and other people change it too.
	drainSurprisesMax = 10
)

func (t *shardTool) drainCommand() *cobra.Command {
	var undo, background bool
	cmd := t.changing("drain ENDPOINT", "Move everything off an endpoint, so that it can be removed", []string{"ENDPOINT"}, func(ctx context.Context, args []string) error {
		topology, id, err := t.numbered(ctx, args[0])
		if err != nil {
			return err
		}
		if id == 0 {
			return usage("endpoint 0 holds the sequencer and cannot be drained: tierd shard move moves its ranges")
		}
		if undo {
			return t.undrain(ctx, id)
		}
		return t.drain(ctx, topology, id, background)
	})
	cmd.Long = `Move everything off an endpoint, one range after the other, under load.

The endpoint is marked first: from then on nothing is moved there. Ending the command
early is safe; it goes on where it was when it is given again, and the balancer goes
on by itself, at its own pace; with --background all of it is left to that. --undo takes
the mark away and moves nothing back.`
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if undo && background {
			return usage("--undo and --background cannot be given together")
		}
		return nil
	}
	cmd.Flags().BoolVar(&background, "background", false, "only mark it, and leave the rest to the balancer")
	cmd.Flags().BoolVar(&undo, "undo", false, "let things be moved there again")
	return cmd
}

// numbered reads the shard map, and finds the endpoint that an argument names by its number.
func (t *shardTool) numbered(ctx context.Context, argument string) (router.Topology, int, error) {
	id, err := strconv.Atoi(argument)
	if err != nil {
		return router.Topology{}, 0, usage("%q is not the number of an endpoint: see tierd shard list", argument)
	}
	topology, err := t.topology(ctx)
	if err == nil && !slices.ContainsFunc(topology.Endpoints, func(e router.EndpointStatus) bool { return e.ID == id }) {
		err = noEndpoint(topology, id)
	}
	return topology, id, err
}

// undrain takes the mark away.
func (t *shardTool) undrain(ctx context.Context, id int) error {
	if !t.dryRun {
		if err := t.keyspace.SetDraining(ctx, id, false); err != nil {
			return fmt.Errorf("stop draining endpoint %d: %w", id, err)
		}
	}
	return t.change(changeJSON{Change: "undo drain", Endpoint: &id},
		fmt.Sprintf("would let ranges be moved to endpoint %d again", id), fmt.Sprintf("ranges may be moved to endpoint %d again", id))
}

// drain marks an endpoint and empties it.
func (t *shardTool) drain(ctx context.Context, topology router.Topology, id int, background bool) error {
	c := changeJSON{Change: "drain", Endpoint: &id}
	for _, r := range topology.Ranges {
		if r.Endpoint == id {
			c.Ranges++
			c.Keys += r.Keys
			c.Bytes += r.Bytes
		}
	}
	if t.dryRun {
		return t.change(c, t.drainCost(topology, id, c), "")
	}
	if err := t.keyspace.SetDraining(ctx, id, true); err != nil {
		return fmt.Errorf("mark endpoint %d as draining: %w", id, err)
	}
	if background {
		return t.change(c, "", fmt.Sprintf("endpoint %d is marked: the balancer moves its %s off it, see tierd shard list", id, english.Plural(c.Ranges, "range", "")))
	}
	left, err := t.empty(ctx, id)
	if err != nil {
		return fmt.Errorf("drain endpoint %d: %w (it stays marked: the same command goes on, --undo ends it)", id, err)
	}
	return t.change(c, "", fmt.Sprintf("no range is left on endpoint %d; %s", id, left))
}

// drainCost says what a drain would copy, and what would stop it.
func (t *shardTool) drainCost(topology router.Topology, id int, c changeJSON) string {
	text := fmt.Sprintf("would mark endpoint %d as draining and move %s off it: %s to copy", id, english.Plural(c.Ranges, "range", ""), cost(c.Keys, c.Bytes))
	if _, blocked := balance.Drain(topology, id, balance.DefaultPolicy()); blocked != "" {
		text += "; it would stop because " + blocked
	}
	return text
}

// empty moves ranges until none is left, and says what remains on the endpoint.
func (t *shardTool) empty(ctx context.Context, id int) (remains string, err error) {
	topology, err := t.carryOut(ctx, func(topology router.Topology) (*balance.Decision, error) {
		next, blocked := balance.Drain(topology, id, balance.DefaultPolicy())
		if blocked != "" {
			return nil, errors.New(blocked)
		}
		return next, nil
	}, func(balance.Decision) {})
	if err != nil {
		return "", err
	}
	return remaining(topology, id), nil
}

// carryOut does one thing after the other as decide says, until it says nothing more; moved is told of each move. While
// someone else moves, and where the map is another than when it was decided, it looks again. It gives the map at the end.
func (t *shardTool) carryOut(ctx context.Context, decide func(router.Topology) (*balance.Decision, error), moved func(balance.Decision)) (router.Topology, error) {
	for surprises := 0; ; {
		topology, err := t.topology(ctx)
		if err != nil {
			return topology, err
		}
		next, refusal := decide(topology)
		switch {
		case topology.Move != nil:
			err = t.awaitMove(ctx)
		case refusal != nil || next == nil:
			return topology, refusal
		case next.Kind == balance.Move:
			if err = t.moveOne(ctx, next.From, next.To, next.Target); err == nil {
				moved(*next)
			}
		default:
			err = balance.Execute(ctx, t.keyspace, *next, nil)
		}
		if err == nil {
			surprises = 0
			continue
		}
		if surprises++; surprises > drainSurprisesMax || (!errors.Is(err, router.ErrBusy) && !errors.Is(err, router.ErrMap)) {
			return topology, err
		}
		if err := t.pause(ctx); err != nil {
			return topology, err
		}
	}
}

// awaitMove shows the move that someone else makes until it is over.
func (t *shardTool) awaitMove(ctx context.Context) error {
	bar := t.newProgress()
	defer bar.end()
	for {
		topology, err := t.topology(ctx)
		if err != nil || topology.Move == nil {
			return err
		}
		bar.report(*topology.Move)
		if err := t.pause(ctx); err != nil {
			return err
		}
	}
}

// pause waits a moment.
func (t *shardTool) pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.after(drainPoll):
		return nil
	}
}

// remaining says what an endpoint without ranges still holds.
func remaining(topology router.Topology, id int) string {
	shards := 0
	for _, s := range topology.Shards {
		if s.Endpoint == id && s.Role != router.RoleHome {
			shards++
		}
	}
	switch {
	case shards > 0:
		return fmt.Sprintf("%s there for history only, until that is compacted: remove it when tierd shard list shows none", english.Plural(shards, "shard is", "shards are"))
	default:
		return "no shard is left there either: it can be removed"
	}
}
