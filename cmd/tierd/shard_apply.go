package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/hot"
)

func (t *shardTool) removeCommand() *cobra.Command {
	cmd := t.changing("remove ENDPOINT", "Forget an endpoint on which nothing is left", []string{"ENDPOINT"}, func(ctx context.Context, args []string) error {
		_, id, err := t.numbered(ctx, args[0])
		if err != nil {
			return err
		}
		if !t.dryRun {
			if err := t.keyspace.RemoveEndpoint(ctx, id); err != nil {
				return fmt.Errorf("remove endpoint %d: %w", id, err)
			}
		}
		return t.change(changeJSON{Change: "remove", Endpoint: &id},
			fmt.Sprintf("would forget endpoint %d", id), fmt.Sprintf("endpoint %d is forgotten: its Redis can be stopped", id))
	})
	cmd.Long = `Forget an endpoint on which nothing is left.

It must have been drained, and no shard may be there any more, not even one that is kept for the
history that clients can still read: tierd shard status lists those, until that history is compacted.`
	return cmd
}

const applyHelp = `Bring the endpoints of a keyspace to a list, whatever they are now.

The first URL is the home endpoint, which --hot-tier names: it can be neither exchanged nor removed. Of
the others, those that are not known are added, those that are being drained are let in again, and
those that are known but not listed are drained, and forgotten once nothing is left there. The balancer
of the frontends moves keys on to new endpoints and off drained ones. Given again, the command goes on
where things are; when they are as listed, it changes nothing.

With --spread, endpoints that hold no keys get their share of them at once, whether or not the balancer would
see a need.

With --wait, ranges are moved off the drained endpoints at once, and the command ends when nothing is left on
any: only then may their Redis be stopped. A shard that is kept for history is left until clients
compact that history; what is there still when the time is over is an error.`

func (t *shardTool) applyCommand() *cobra.Command {
	var wait time.Duration
	var spread bool
	cmd := t.changing("apply URL...", "Bring the endpoints of a keyspace to a list", nil, func(ctx context.Context, args []string) error {
		return t.apply(ctx, args, spread, wait)
	})
	cmd.Long = applyHelp
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage("tierd shard apply wants the URLs of all endpoints, the one of --hot-tier first: see tierd shard apply --help")
		}
		return nil
	}
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if wait < 0 {
			return usage("--wait must not be negative, not %v", wait)
		}
		return nil
	}
	cmd.Flags().BoolVar(&spread, "spread", false, "give endpoints that hold no keys their share of them at once")
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to wait until nothing is left on endpoints that are not listed; 0 leaves that to the balancer, and to the next run")
	return cmd
}

// listed are the endpoints to be, by the name that the shard map shows them under.
func (t *shardTool) listed(urls []string) ([]hot.Endpoint, error) {
	all := make([]hot.Endpoint, 0, len(urls))
	for _, url := range urls {
		e, err := hot.ParseEndpoint(url)
		if err != nil {
			return nil, usage("%v", err)
		}
		if slices.ContainsFunc(all, func(other hot.Endpoint) bool { return other.String() == e.String() }) {
			return nil, usage("%s is listed twice", e)
		}
		all = append(all, e)
	}
	if first := all[0].String(); first != t.home {
		return nil, usage("the first URL must be that of the home endpoint, %s, and is %s", t.home, first)
	}
	return all, nil
}

// apply does what is to be done, and says each thing that it does.
func (t *shardTool) apply(ctx context.Context, urls []string, spread bool, wait time.Duration) error {
	endpoints, err := t.listed(urls)
	if err != nil {
		return err
	}
	topology, err := t.topology(ctx)
	if err != nil {
		return err
	}
	var changes []changeJSON
	for i, e := range endpoints {
		c, err := t.letIn(ctx, topology, e, urls[i])
		if err != nil {
			return err
		}
		changes = append(changes, c...)
	}
	left := slices.DeleteFunc(slices.Clone(topology.Endpoints), func(known router.EndpointStatus) bool {
		return known.ID == 0 || slices.ContainsFunc(endpoints, func(e hot.Endpoint) bool { return e.String() == known.URL })
	})
	if err := t.mark(ctx, left); err != nil { // all, before anything moves from one to another
		return err
	}
	deadline := t.now().Add(wait)
	for _, known := range left {
		c, err := t.letGo(ctx, topology, known, wait > 0, deadline)
		if err != nil {
			return err
		}
		changes = append(changes, c)
	}
	if spread && !t.dryRun {
		c, err := t.spread(ctx)
		if err != nil {
			return err
		}
		changes = append(changes, c...)
	}
	return t.printChanges(changes, len(endpoints))
}

// letIn makes a listed endpoint known, and ends its drain.
func (t *shardTool) letIn(ctx context.Context, topology router.Topology, e hot.Endpoint, url string) ([]changeJSON, error) {
	i := slices.IndexFunc(topology.Endpoints, func(known router.EndpointStatus) bool { return known.URL == e.String() })
	switch {
	case i >= 0 && !topology.Endpoints[i].Draining:
		return nil, nil
	case i >= 0:
		id := topology.Endpoints[i].ID
		c := t.said(changeJSON{Change: "undo drain", Endpoint: &id}, fmt.Sprintf("would let ranges be moved to endpoint %d (%s) again", id, e),
			fmt.Sprintf("ranges may be moved to endpoint %d (%s) again", id, e))
		if t.dryRun {
			return []changeJSON{c}, nil
		}
		if err := t.keyspace.SetDraining(ctx, id, false); err != nil {
			return nil, fmt.Errorf("stop draining endpoint %d (%s): %w", id, e, err)
		}
		return []changeJSON{c}, nil
	case t.dryRun:
		return []changeJSON{t.said(changeJSON{Change: "add"}, fmt.Sprintf("would add %s as a new endpoint", e), "")}, nil
	}
	if e.HoldsPassword() {
		if _, err := fmt.Fprintf(t.errOut, "tierd: warning: %s.\n", clearPassword(e)); err != nil {
			return nil, fmt.Errorf("print a warning: %w", err)
		}
	}
	id, err := t.keyspace.AddEndpoint(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("add %s: %w", e, err)
	}
	return []changeJSON{t.said(changeJSON{Change: "add", Endpoint: &id}, "", fmt.Sprintf("%s is endpoint %d; the balancer brings ranges there when they are large or busy enough", e, id))}, nil
}

// mark begins to drain endpoints.
func (t *shardTool) mark(ctx context.Context, endpoints []router.EndpointStatus) error {
	for _, e := range endpoints {
		if e.Draining || t.dryRun {
			continue
		}
		if err := t.keyspace.SetDraining(ctx, e.ID, true); err != nil {
			return fmt.Errorf("mark endpoint %d (%s) as draining: %w", e.ID, e.URL, err)
		}
	}
	return nil
}

// letGo looks after an endpoint that is being drained, and forgets it when nothing is left there. With now, the ranges
// are moved off it here.
func (t *shardTool) letGo(ctx context.Context, topology router.Topology, e router.EndpointStatus, now bool, deadline time.Time) (changeJSON, error) {
	c := changeJSON{Change: "drain", Endpoint: &e.ID}
	if t.dryRun {
		return t.said(c, fmt.Sprintf("would drain endpoint %d (%s), and forget it when nothing is left there", e.ID, e.URL), ""), nil
	}
	if now {
		if _, err := t.empty(ctx, e.ID); err != nil {
			return c, fmt.Errorf("drain endpoint %d (%s): %w (it stays marked: the same command goes on)", e.ID, e.URL, err)
		}
	}
	left, err := t.awaitNothing(ctx, topology, e.ID, now, deadline)
	switch {
	case err != nil:
		return c, err
	case left != "" && now:
		return c, fmt.Errorf("endpoint %d (%s) holds something still, and its Redis must go on: %s", e.ID, e.URL, left)
	case left != "":
		return t.said(c, "", fmt.Sprintf("endpoint %d (%s) is being drained: %s", e.ID, e.URL, left)), nil
	}
	c.Change = "remove"
	if err := t.keyspace.RemoveEndpoint(ctx, e.ID); err != nil && !errors.Is(err, router.ErrBusy) {
		return c, fmt.Errorf("remove endpoint %d (%s): %w", e.ID, e.URL, err)
	} else if err != nil {
		return t.said(c, "", fmt.Sprintf("endpoint %d (%s) is empty, and is forgotten by the next run: the map is being changed", e.ID, e.URL)), nil
	}
	return t.said(c, "", fmt.Sprintf("endpoint %d (%s) is forgotten: its Redis can be stopped", e.ID, e.URL)), nil
}

// awaitNothing says what is left on an endpoint, with now once nothing is, or when the time is over.
func (t *shardTool) awaitNothing(ctx context.Context, topology router.Topology, id int, now bool, deadline time.Time) (string, error) {
	for {
		if now {
			var err error
			if topology, err = t.topology(ctx); err != nil {
				return "", err
			}
		}
		left := holds(topology, id)
		if left == "" || !now || !t.now().Before(deadline) {
			return left, nil
		}
		if err := t.pause(ctx); err != nil {
			return "", err
		}
	}
}

// holds says what lives on an endpoint; nothing if it is empty.
func holds(topology router.Topology, id int) string {
	ranges, shards := 0, 0
	for _, r := range topology.Ranges {
		if r.Endpoint == id {
			ranges++
		}
	}
	for _, s := range topology.Shards {
		if s.Endpoint == id {
			shards++
		}
	}
	switch {
	case ranges > 0:
		return english.Plural(ranges, "range is", "ranges are") + " there"
	case shards > 0:
		return english.Plural(shards, "shard is", "shards are") + " there for history, until that is compacted"
	default:
		return ""
	}
}

// said is a change with its sentence.
func (t *shardTool) said(c changeJSON, would, did string) changeJSON {
	c.DryRun, c.Message = t.dryRun, did
	if t.dryRun {
		c.Message = would
	}
	return c
}

// printChanges prints all that was done to bring the keyspace to so many endpoints.
func (t *shardTool) printChanges(changes []changeJSON, endpoints int) error {
	if t.output == "json" {
		if changes == nil {
			changes = []changeJSON{}
		}
		return t.printJSON(changes)
	}
	lines := make([]string, 0, len(changes)+1)
	for _, c := range changes {
		lines = append(lines, c.Message+".")
	}
	if len(lines) == 0 {
		lines = append(lines, fmt.Sprintf("The keyspace has %s, as listed.", english.Plural(endpoints, "endpoint", "")))
	}
	return printLines(t.out, lines)
}
