package hot

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Loss is what a keyspace says of what it has lost.
type Loss struct {
	// Reason is why nothing is served; empty if all is.
	Reason string
	// Revision is the one that the sequencer has, Witnessed the highest one that a
	// frontend told of; 0 for none.
	Revision, Witnessed Revision
	// Shards are those that have lost something by themselves.
	Shards []ShardLoss
}

// ShardLoss is what one shard has lost.
type ShardLoss struct {
	Shard  Shard
	Reason string
	// Ordered is the last position that had a revision, Last that revision.
	Ordered Position
	Last    Revision
}

// Loss reads what the sequencer knows of losses. No script has to run for that.
func (c *Client) Loss(ctx context.Context) (Loss, error) {
	var order, shards map[string]string
	err := repeat(ctx, "loss", notKnownDone, func(ctx context.Context) error {
		var err error
		if order, err = c.parts.Redis.HGetAll(ctx, c.names[orderKey]).Result(); err != nil {
			return classify(err)
		}
		if shards, err = c.parts.Redis.HGetAll(ctx, c.names[shardsKey]).Result(); err != nil {
			return classify(err)
		}
		return nil
	})
	if err != nil {
		return Loss{}, err
	}
	l := Loss{Reason: order["corrupt"], Revision: Revision(number(order["revision"])), Witnessed: Revision(number(order["witnessed"]))}
	for name, reason := range shards {
		text, found := strings.CutSuffix(name, ":corrupt")
		if !found {
			continue
		}
		l.Shards = append(l.Shards, ShardLoss{Shard: Shard(number(text)), Reason: reason,
			Ordered: Position(number(shards[text+":len"])), Last: Revision(number(shards[text+":last"]))})
	}
	return l, nil
}

// number reads a number that Redis keeps as text; 0 where there is none.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// AcceptLoss lets the keyspace go on from a revision, as compacted there. stamped are the
// last stamped positions of all shards but the home shard.
func (c *Client) AcceptLoss(ctx context.Context, from Revision, stamped map[Shard]Position) error {
	args := []any{decimal(int64(from))}
	for shard, position := range stamped {
		args = append(args, int(shard), int64(position))
	}
	_, err := c.unsalted(ctx, scriptAccept, args...)
	if l := c.life.Load(); l != nil {
		l.retired.Store(true) // it knows the keyspace as corrupt
	}
	return err
}

// GiveUp lets this shard go on without the positions up to ordered that it has lost. What
// it has of them is stamped first.
func (c *Client) GiveUp(ctx context.Context, ordered Position, cuts []Cut) error {
	incarnation, err := c.parts.Redis.HGet(ctx, c.names[orderKey], "incarnation").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return classify(err)
	}
	if incarnation != "" {
		if err := c.stampHere(ctx, incarnation, cuts); err != nil {
			return err
		}
	}
	_, err = c.unsalted(ctx, scriptGiveUp, int64(ordered), fmt.Sprintf("%016x", c.parts.Sequencer.ClusterID()))
	return err
}

// stampHere stamps what the shard has of cuts, on the life that it was in.
func (c *Client) stampHere(ctx context.Context, incarnation string, cuts []Cut) error {
	tail, err := c.parts.Redis.HGet(ctx, c.names[metaKey], "tail").Int64()
	if err != nil {
		return classify(err)
	}
	s := Stamp{Compacted: -1}
	for _, cut := range cuts {
		if cut.From <= Position(tail) {
			cut.To, cut.Planned = min(cut.To, Position(tail)), false
			s.Cuts = append(s.Cuts, cut)
		}
	}
	text, err := scriptText(scriptStamp, incarnation, false)
	if err != nil {
		return err
	}
	for {
		reply, err := c.eval(ctx, text, s.packed(), int64(0), int64(-1), "").Text()
		if err != nil {
			return classify(err)
		}
		d := decoder{rest: bytesOf(reply)}
		if StampStatus(d.byte()) != StampMore {
			return nil // a gap is given up with the rest
		}
	}
}

// Repair drops keys whose records are gone from the index, and names them.
func (c *Client) Repair(ctx context.Context) ([]string, error) {
	var dropped []string
	for from := ""; ; {
		reply, err := c.unsalted(ctx, scriptRepair, from)
		if err != nil {
			return dropped, err
		}
		if len(reply) == 0 {
			return dropped, fmt.Errorf("repair: %w", ErrReply)
		}
		dropped = append(dropped, reply[1:]...)
		if from = reply[0]; from == "" {
			return dropped, nil
		}
	}
}

// unsalted runs a script that no incarnation guards.
func (c *Client) unsalted(ctx context.Context, script string, args ...any) ([]string, error) {
	text, err := scriptText(script, "", c.settings.ReplicaAcks > 0)
	if err != nil {
		return nil, err
	}
	var reply *redis.Cmd
	if err := c.send(ctx, func(p redis.Pipeliner) { reply = p.Do(ctx, c.evalCommand(text, args...)...) }); err != nil {
		return nil, fmt.Errorf("%s: %w", script, classify(err))
	}
	if word, err := reply.Text(); err == nil {
		return []string{word}, nil
	}
	return reply.StringSlice()
}

// RawTail is the last position that the shard has, whatever life it is in.
func (c *Client) RawTail(ctx context.Context) (Position, error) { return c.raw(ctx, "tail") }

// RawStamped is the last position that the shard has stamped, whatever life it is in.
func (c *Client) RawStamped(ctx context.Context) (Position, error) { return c.raw(ctx, "stamped") }

// RawHorizon is the highest revision that the shard knows of, whatever life it is in.
func (c *Client) RawHorizon(ctx context.Context) (Revision, error) {
	n, err := c.rawField(ctx, orderKey, "revision")
	return Revision(n), err
}

// RawCluster is the keyspace's cluster id, whatever life its Redis is in.
func (c *Client) RawCluster(ctx context.Context) (uint64, error) {
	text, err := c.parts.Redis.HGet(ctx, c.names[orderKey], "cluster").Result()
	if err != nil {
		return 0, fmt.Errorf("read the cluster id: %w", classify(err))
	}
	id, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: cluster id: %w", ErrReply, err)
	}
	return id, nil
}

// Exists says whether Redis has the keyspace, or a restore of it that has not come to its end.
func (c *Client) Exists(ctx context.Context) (exists bool, err error) {
	err = repeat(ctx, "exists", notKnownDone, func(ctx context.Context) error {
		n, err := c.parts.Redis.Exists(ctx, c.names[orderKey]).Result()
		if err != nil {
			return classify(err)
		}
		exists = n > 0
		return nil
	})
	return exists, err
}

func (c *Client) raw(ctx context.Context, field string) (Position, error) {
	n, err := c.rawField(ctx, metaKey, field)
	return Position(n), err
}

func (c *Client) rawField(ctx context.Context, key int, field string) (int64, error) {
	text, err := c.parts.Redis.HGet(ctx, c.names[key], field).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, fmt.Errorf("read the shard's %s: %w", field, classify(err))
	}
	return number(text), nil
}
