package main

import (
	"context"
	"fmt"

	"github.com/tierd/tierd/functions/balance"
	"github.com/tierd/tierd/router"
)

// spreadStepsMax bounds the splits and moves of one spread: a handful for each endpoint.
const spreadStepsMax = 256

// spread gives each endpoint without keys its share of them, and says what it moved.
func (t *shardTool) spread(ctx context.Context) ([]changeJSON, error) {
	var changes []changeJSON
	steps := 0
	_, err := t.carryOut(ctx, func(topology router.Topology) (*balance.Decision, error) {
		if steps++; steps > spreadStepsMax {
			return nil, nil
		}
		return balance.Spread(topology), nil
	}, func(d balance.Decision) {
		c := rangeChange("move", nil, d.From, d.To)
		c.Endpoint, c.Ranges, c.Keys, c.Bytes = &d.Target, 1, d.Keys, d.Bytes
		changes = append(changes, t.said(c, "", fmt.Sprintf("moved %s to endpoint %d, which held no keys", balance.Keys(d.From, d.To), d.Target)))
	})
	if err != nil {
		return changes, fmt.Errorf("spread the keys: %w (the same command goes on)", err)
	}
	return changes, nil
}
