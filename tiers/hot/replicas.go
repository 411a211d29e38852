package hot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// replicaWait is how long a call waits for the replicas to have what it is answered
// from; then its outcome is unknown.
const replicaWait = 2 * time.Second

// Every script ends with a write where replicas are awaited: Redis' WAIT covers what the
// connection itself has written, and with it all that was written before. So a call that
// only reads writes something too, and is answered only from what the replicas have.
// (The expiry of a key that is there is replicated each time, and not refused when memory
// is out. It comes last, because Redis refuses only scripts that have not written yet.)
const (
	touchBefore = "local function main()\n"
	touchAfter  = "\nend\nlocal reply = main()\nredis.call('PEXPIREAT', KEYS[23], '4102444800000')\nreturn reply\n"
)

// ErrNotReplicated: the replicas did not have it in time. It comes with ErrUnknown.
var ErrNotReplicated = errors.New("not enough replicas have it")

// send makes commands in one round trip on one connection, and waits for the replicas
// if that is wanted.
func (c *Client) send(ctx context.Context, commands func(redis.Pipeliner)) error {
	if c.settings.ReplicaAcks == 0 {
		_, err := c.parts.Redis.Pipelined(ctx, func(p redis.Pipeliner) error {
			commands(p)
			return nil
		})
		return err
	}
	// WAIT names no key: in a Redis Cluster it would go to any node.
	primary, err := c.primary(ctx)
	if err != nil {
		return err
	}
	var replicas *redis.Cmd
	_, err = primary.Pipelined(ctx, func(p redis.Pipeliner) error {
		commands(p)
		replicas = p.Do(ctx, "wait", c.settings.ReplicaAcks, replicaWait.Milliseconds())
		return nil
	})
	if err != nil {
		c.lookAround(ctx)
		return err
	}
	n, err := replicas.Int64()
	if err != nil {
		return fmt.Errorf("wait for replicas: %w", err)
	}
	if n < int64(c.settings.ReplicaAcks) {
		return fmt.Errorf("%w: %d of %d within %v", ErrNotReplicated, n, c.settings.ReplicaAcks, replicaWait)
	}
	return nil
}

// lookAround finds out anew who has the slots of a Redis Cluster, after a node has not
// answered as one that does.
func (c *Client) lookAround(ctx context.Context) {
	if cluster, ok := c.parts.Redis.(*redis.ClusterClient); ok {
		cluster.ReloadState(context.WithoutCancel(ctx))
	}
}
