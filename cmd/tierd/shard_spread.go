package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/tierd/tierd/functions/balance"
	"github.com/tierd/tierd/router"
)

// spreadStepsMax bounds the splits and moves of one spread: a handful for each endpoint.
const spreadStepsMax = 256

// spread gives each endpoint without keys its share of them, and says what it moved.
func (t *shardTool) spread(ctx context.Context) ([]changeJSON, error) {
	var changes []changeJSON
	for surprises, steps := 0, 0; steps < spreadStepsMax; steps++ {
		topology, err := t.topology(ctx)
		if err != nil {
			return changes, err
		}
		next := balance.Spread(topology)
		switch {
		case topology.Move != nil:
			err = t.awaitMove(ctx)
		case next == nil:
			return changes, nil
		case next.Kind == balance.Move:
			if err = t.moveOne(ctx, next.From, next.To, next.Target); err == nil {
				c := rangeChange("move", nil, next.From, next.To)
				c.Endpoint, c.Ranges, c.Keys, c.Bytes = &next.Target, 1, next.Keys, next.Bytes
				changes = append(changes, t.said(c, "", fmt.Sprintf("moved %s to endpoint %d, which held no keys", balance.Keys(next.From, next.To), next.Target)))
			}
		default:
			err = balance.Execute(ctx, t.keyspace, *next, nil)
		}
		if err == nil {
			surprises = 0
			continue
		}
		if surprises++; surprises > drainSurprisesMax || (!errors.Is(err, router.ErrBusy) && !errors.Is(err, router.ErrMap)) {
			return changes, fmt.Errorf("spread the keys: %w (the same command goes on)", err)
		}
		if err := t.pause(ctx); err != nil {
			return changes, err
		}
	}
	return changes, nil
}
