package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/functions/balance"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/hot"
)

// change says what a command did, or with --dry-run would do: would is the sentence
// for the one, did for the other.
func (t *shardTool) change(c changeJSON, would, did string) error {
	c = t.said(c, would, did)
	if t.output == "json" {
		return t.printJSON(c)
	}
	if _, err := fmt.Fprintf(t.out, "%s.\n", c.Message); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	return nil
}

func (t *shardTool) addCommand() *cobra.Command {
	cmd := t.changing("add URL", "Make another Redis known that shards may live on", []string{"URL"}, func(ctx context.Context, args []string) error {
		address, err := hot.ParseEndpoint(args[0])
		if err != nil {
			return usage("%v", err)
		}
		would := fmt.Sprintf("would add %s as a new endpoint; nothing would be copied before ranges are moved there", address)
		if t.dryRun {
			topology, err := t.topology(ctx)
			if err != nil {
				return err
			}
			for _, e := range topology.Endpoints {
				if e.URL == address.String() {
					would = fmt.Sprintf("%s may be endpoint %d already, which would then stay the same", address, e.ID)
				}
			}
			return t.change(changeJSON{Change: "add"}, would, "")
		}
		if address.HoldsPassword() {
			if _, err := fmt.Fprintf(t.errOut, "tierd: warning: %s.\n", clearPassword(address)); err != nil {
				return fmt.Errorf("print a warning: %w", err)
			}
		}
		id, err := t.keyspace.AddEndpoint(ctx, args[0])
		if err != nil {
			return fmt.Errorf("add %s: %w", address, err)
		}
		return t.change(changeJSON{Change: "add", Endpoint: &id}, "",
			fmt.Sprintf("%s is endpoint %d; it holds nothing until the balancer, or tierd shard move, brings something there", address, id))
	})
	cmd.Long = `Make another Redis known that shards may live on.

The URL is one that --hot-tier takes, and every frontend must reach that Redis under
it. One that is known already keeps its number.`
	return cmd
}

func (t *shardTool) splitCommand() *cobra.Command {
	return t.changing("split KEY", "Divide a range before a key; nothing is copied", []string{"KEY"}, func(ctx context.Context, args []string) error {
		at, err := t.boundary(args[0])
		if err != nil {
			return err
		}
		topology, err := t.topology(ctx)
		if err != nil {
			return err
		}
		r, found := rangeOf(topology, at)
		if !found {
			return fmt.Errorf("no range holds the key %q: the shard map is incomplete", at)
		}
		if bytes.Equal(r.From, at) {
			return usage("a range begins at %q already", at)
		}
		if !t.dryRun {
			if err := t.keyspace.Split(ctx, at); err != nil {
				return fmt.Errorf("split before %q: %w", at, err)
			}
		}
		text := fmt.Sprintf("%s into %s and %s, both on shard %d", balance.Keys(r.From, r.To), balance.Keys(r.From, at), balance.Keys(at, r.To), r.Shard)
		return t.change(rangeChange("split", &at, r.From, r.To), "would divide "+text+"; nothing would be copied", "divided "+text)
	})
}

func (t *shardTool) mergeCommand() *cobra.Command {
	return t.changing("merge KEY", "Join the two ranges that meet at a key, which one shard owns; nothing is copied", []string{"KEY"}, func(ctx context.Context, args []string) error {
		at, err := t.boundary(args[0])
		if err != nil {
			return err
		}
		topology, err := t.topology(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(topology.Ranges, func(r router.RangeStatus) bool { return bytes.Equal(r.From, at) })
		if i < 1 {
			return usage("no range begins at %q: see tierd shard list", at)
		}
		left, right := topology.Ranges[i-1], topology.Ranges[i]
		if left.Shard != right.Shard {
			return usage("the ranges that meet at %q are on shards %d and %d: tierd shard move brings both onto a new one", at, left.Shard, right.Shard)
		}
		if !t.dryRun {
			if err := t.keyspace.Merge(ctx, at); err != nil {
				return fmt.Errorf("merge at %q: %w", at, err)
			}
		}
		text := fmt.Sprintf("%s and %s, on shard %d", balance.Keys(left.From, left.To), balance.Keys(right.From, right.To), left.Shard)
		return t.change(rangeChange("merge", &at, left.From, right.To), "would join "+text+"; nothing would be copied", "joined "+text)
	})
}

// rangeChange describes a change of the keys between two.
func rangeChange(name string, at *[]byte, from, to []byte) changeJSON {
	first, behind := keyJSONOf(from), keyJSONOf(to)
	c := changeJSON{Change: name, From: &first, To: &behind}
	if at != nil {
		key := keyJSONOf(*at)
		c.At = &key
	}
	return c
}

// endpointOf finds an endpoint that anything may be moved to.
func endpointOf(topology router.Topology, id int) (router.EndpointStatus, error) {
	for _, e := range topology.Endpoints {
		switch {
		case e.ID != id:
		case e.Failure != "":
			return e, fmt.Errorf("endpoint %d (%s) does not answer: %s", id, e.URL, e.Failure)
		case e.Draining:
			return e, usage("endpoint %d (%s) is being drained: tierd shard drain %d --undo ends that", id, e.URL, id)
		default:
			return e, nil
		}
	}
	return router.EndpointStatus{}, noEndpoint(topology, id)
}

func noEndpoint(topology router.Topology, id int) error {
	known := make([]string, 0, len(topology.Endpoints))
	for _, e := range topology.Endpoints {
		known = append(known, strconv.Itoa(e.ID))
	}
	return usage("there is no endpoint %d, only %s: see tierd shard list", id, strings.Join(known, ", "))
}
