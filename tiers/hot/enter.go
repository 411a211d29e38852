package hot

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// enter takes a shard other than the home shard into service: it asks the Redis which
// life it is in, has the sequencer adopt that, and compares what Redis holds with what
// has been ordered. It gives nil if another frontend was faster; then it is tried
// again.
func (c *Client) enter(ctx context.Context) (*life, error) {
	first, err := c.askEnter(ctx, "", "", "0", "0", "", "0", "")
	if err != nil {
		return nil, err
	}
	random := make([]byte, 8)
	if _, err := io.ReadFull(c.parts.Random, random); err != nil {
		return nil, fmt.Errorf("read random numbers: %w", err)
	}
	adopted, err := c.parts.Sequencer.adopt(ctx, c.settings.Shard, first[0], hex.EncodeToString(random))
	if err != nil {
		return nil, err
	}
	incarnation, ordered, before, cluster, gate := adopted[0], adopted[1], adopted[2], adopted[3], adopted[4]
	for refilled := false; ; refilled = true {
		reply, err := c.askEnter(ctx, first[0], incarnation, ordered, before, cluster, "0", gate)
		if err != nil {
			return nil, err
		}
		switch {
		case len(reply) == 2 && reply[1] == "run":
			return nil, nil // Redis has begun yet another life
		case len(reply) == 2 && reply[1] == "foreign":
			return nil, fmt.Errorf("shard %d: %w: its place holds another keyspace of the same name", c.settings.Shard, ErrCorrupt)
		case len(reply) == 4 && reply[1] == "missing":
			if !refilled && c.refill(ctx, reply[3], reply[2], ordered) {
				continue
			}
			if c.missing.mayCome(reply[2], time.Now()) {
				return nil, nil // another frontend may have it
			}
			return nil, c.lost(ctx, reply[2], ordered)
		case len(reply) != 5 || reply[1] != "ready":
			return nil, fmt.Errorf("%w: enter answered %q", ErrReply, reply)
		}
		c.missing.over()
		if adopted[5] != "" { // a Redis is back that has it, or it is there again
			if err := c.parts.Sequencer.MarkFound(ctx, c.settings.Shard); err != nil {
				return nil, err
			}
			c.parts.Logger.Warn("a shard has again what it had lost, or goes on without it",
				"keyspace", c.settings.Keyspace, "shard", int(c.settings.Shard), "lost", adopted[5])
		}
		return c.entered(ctx, incarnation, cluster, reply)
	}
}

// entered turns the answer into a life with loaded scripts.
func (c *Client) entered(ctx context.Context, incarnation, clusterText string, reply []string) (*life, error) {
	horizon, err := strconv.ParseInt(reply[3], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: enter answered %q: %w", ErrReply, reply, err)
	}
	cluster, err := strconv.ParseUint(clusterText, 16, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: adopt answered cluster %q: %w", ErrReply, clusterText, err)
	}
	shas, err := c.load(ctx, incarnation)
	if err != nil {
		return nil, classify(err)
	}
	return c.begin(&life{incarnation: incarnation, cluster: cluster, term: c.parts.Sequencer.Term(), corrupt: reply[4], scripts: shas}, horizon), nil
}

// refill asks this frontend to bring back what it has of the positions that a shard has
// lost, on the life that is ending. It says whether it brought any.
func (c *Client) refill(ctx context.Context, incarnation, tailText, orderedText string) bool {
	tail, errTail := strconv.ParseInt(tailText, 10, 64)
	ordered, errOrdered := strconv.ParseInt(orderedText, 10, 64)
	text, errText := scriptText(scriptApply, incarnation, false)
	if c.parts.Refill == nil || incarnation == "" || errors.Join(errTail, errOrdered, errText) != nil {
		return false
	}
	return c.parts.Refill(ctx, c.settings.Shard, Position(tail), Position(ordered), func(ctx context.Context, r Revision, p Part, s Stamp) error {
		var err error
		if p.Effects, err = c.SealEffects(ctx, p.Effects); err != nil {
			return err
		}
		started := time.Now()
		reply, err := c.eval(ctx, text, applyArguments("", r, p, s)...).Text()
		c.observe(ctx, scriptApply, started, err)
		if err != nil {
			return classify(err)
		}
		return applied(bytesOf(reply))
	})
}

// askEnter runs lua/enter.lua.
func (c *Client) askEnter(ctx context.Context, args ...any) ([]string, error) {
	text, err := scriptText(scriptEnter, "", false)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	reply, err := c.eval(ctx, text, args...).StringSlice()
	c.observe(ctx, scriptEnter, started, err)
	if err != nil {
		return nil, classify(err)
	}
	if len(reply) == 0 {
		return nil, fmt.Errorf("%w: enter answered nothing", ErrReply)
	}
	return reply, nil
}

// adopt runs lua/adopt.lua on the sequencer.
func (c *Client) adopt(ctx context.Context, shard Shard, run, incarnation string) ([]string, error) {
	var reply []string
	err := repeat(ctx, scriptAdopt, notKnownDone, func(ctx context.Context) error {
		l, err := c.alive(ctx)
		if err != nil {
			return err
		}
		started := time.Now()
		var call *redis.Cmd
		err = c.send(ctx, func(p redis.Pipeliner) { call = p.Do(ctx, c.command(l, scriptAdopt, int(shard), run, incarnation)...) })
		c.observe(ctx, scriptAdopt, started, err)
		if err != nil {
			return c.failed(l, err)
		}
		if reply, err = call.StringSlice(); err != nil {
			return fmt.Errorf("adopt: %w: %w", ErrReply, err)
		}
		if l.retired.Load() {
			return errStale
		}
		return nil
	})
	if err == nil && len(reply) != 6 {
		err = fmt.Errorf("%w: adopt answered %q", ErrReply, reply)
	}
	return reply, err
}

// lost says that ordered positions are gone.
func (c *Client) lost(ctx context.Context, tail, ordered string) error {
	reason := fmt.Sprintf("shard %d has lost positions: %s were ordered, Redis came back with %s", c.settings.Shard, ordered, tail)
	if err := c.parts.Sequencer.MarkLost(ctx, c.settings.Shard, reason); err != nil {
		return fmt.Errorf("%s: %w: %w", reason, ErrCorrupt, err)
	}
	return fmt.Errorf("%s: %w", reason, ErrCorrupt)
}
