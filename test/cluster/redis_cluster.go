package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// redisClusterSlots is how many slots a Redis Cluster has.
	redisClusterSlots = 16384
	// redisClusterPrimaries is how many primaries one needs to agree on a new one.
	redisClusterPrimaries = 3
	// redisClusterNodeTimeout is when a silent node counts as dead, unless a test says
	// otherwise.
	redisClusterNodeTimeout = time.Second
)

// RedisCluster is a Redis Cluster of three primaries with replicas.
type RedisCluster struct {
	// Nodes are all servers; the first three begin as primaries.
	Nodes []*Redis

	tb       testing.TB
	replicas int // of each primary
	ids      map[string]*Redis
}

// RedisClusterOptions are the choices a test has.
type RedisClusterOptions struct {
	// Replicas is how many each primary has; 0 is none.
	Replicas int
	// NodeTimeout is when a silent node counts as dead; default a second.
	NodeTimeout time.Duration
	// Config is added to the command line of every node.
	Config []string
	// User is that of RedisOptions.
	User string
}

// StartRedisCluster starts the nodes, joins them, and waits until each knows the
// others, all slots are served and the replicas are in step.
func StartRedisCluster(tb testing.TB, options RedisClusterOptions) *RedisCluster {
	tb.Helper()
	c := &RedisCluster{tb: tb, replicas: options.Replicas, ids: make(map[string]*Redis)}
	if options.NodeTimeout == 0 {
		options.NodeTimeout = redisClusterNodeTimeout
	}
	ports := FreePorts(tb, redisClusterPrimaries*(1+options.Replicas))
	for i, busPort := range ports {
		node := StartRedis(tb, RedisOptions{Name: fmt.Sprintf("redis-%d", i+1), TCP: true, User: options.User, Config: append(append(replicationConfig(),
			"--cluster-enabled", "yes",
			"--cluster-port", fmt.Sprint(busPort),
			"--cluster-node-timeout", fmt.Sprint(options.NodeTimeout.Milliseconds()),
			// A replica may take over however long it was cut off: what is lost then, is
			// for the test.
			"--cluster-replica-validity-factor", "0",
		), options.Config...)})
		c.Nodes = append(c.Nodes, node)
	}
	c.join(ports)
	return c
}

// join makes one cluster of the nodes, the replicas last: a node can follow only one
// that it knows.
func (c *RedisCluster) join(busPorts []int) {
	c.tb.Helper()
	ctx := context.Background()
	for i, node := range c.Nodes {
		id, err := node.control.ClusterMyID(ctx).Result()
		if err != nil {
			c.tb.Fatalf("ask a node for its id: %v", err)
		}
		c.ids[id] = node
		if i < redisClusterPrimaries {
			from, to := i*redisClusterSlots/redisClusterPrimaries, (i+1)*redisClusterSlots/redisClusterPrimaries-1
			c.must("give a node slots", node.control.ClusterAddSlotsRange(ctx, from, to))
			// Different from the start, nodes need not agree on who changes his.
			c.must("set the epoch of a node", node.control.Do(ctx, "cluster", "set-config-epoch", i+1))
		}
		if i > 0 {
			c.must("join a node", node.control.Do(ctx, "cluster", "meet", "127.0.0.1", c.Nodes[0].Port(), busPorts[0]))
		}
	}
	c.AwaitWhole()
	for i, node := range c.Nodes[redisClusterPrimaries:] {
		id := c.id(c.Nodes[i%redisClusterPrimaries])
		Await(c.tb, failoverBound, "a node follows", func() error { return node.control.ClusterReplicate(ctx, id).Err() })
	}
	c.AwaitInStep()
}

func (c *RedisCluster) must(what string, command redis.Cmder) {
	c.tb.Helper()
	if err := command.Err(); err != nil {
		c.tb.Fatalf("%s: %v", what, err)
	}
}

func (c *RedisCluster) id(node *Redis) string {
	for id, other := range c.ids {
		if other == node {
			return id
		}
	}
	return ""
}

// AwaitWhole waits until every node knows all others and that all slots are served.
func (c *RedisCluster) AwaitWhole() {
	c.tb.Helper()
	Await(c.tb, failoverBound, "the cluster is whole", func() error {
		for _, node := range c.Nodes {
			text, err := node.control.ClusterInfo(context.Background()).Result()
			if err != nil {
				return fmt.Errorf("ask %s about the cluster: %w", node.Address(), err)
			}
			info := infoFields(text)
			if info["cluster_state"] != "ok" || info["cluster_known_nodes"] != fmt.Sprint(len(c.Nodes)) {
				return fmt.Errorf("%s says %v", node.Address(), info)
			}
		}
		return nil
	})
}

// AwaitInStep waits until the cluster is whole, every primary has its replicas, and
// these have what it has.
func (c *RedisCluster) AwaitInStep() {
	c.tb.Helper()
	c.AwaitWhole()
	Await(c.tb, failoverBound, "all replicas are in step", func() error {
		followers := make(map[*Redis]int)
		for _, node := range c.Nodes {
			said, err := node.replication()
			if err != nil {
				return err
			}
			if said.primary {
				continue
			}
			primary := c.at(said.fields["master_port"])
			if primary == nil {
				return fmt.Errorf("%s follows an unknown primary: %v", node.Address(), said.fields)
			}
			followers[primary]++
			if err := inStep(primary, node); err != nil {
				return err
			}
		}
		if c.replicas > 0 && len(followers) != redisClusterPrimaries {
			return fmt.Errorf("%d primaries have replicas", len(followers))
		}
		return nil
	})
}

// at is the node with a TCP port.
func (c *RedisCluster) at(port string) *Redis {
	for _, node := range c.Nodes {
		if fmt.Sprint(node.Port()) == port {
			return node
		}
	}
	return nil
}

// URL is the address of the cluster in the form that tierd's --hot-tier takes: that
// of all its nodes.
func (c *RedisCluster) URL() string {
	query := make(url.Values)
	for _, node := range c.Nodes[1:] {
		query.Add("addr", node.Address())
	}
	return fmt.Sprintf("redis+cluster://%s%s?%s", credentials(c.Nodes[0].user), c.Nodes[0].Address(), query.Encode())
}

// Primary is the node that serves the slot of a key: only what stands in braces
// counts, if the key has some.
func (c *RedisCluster) Primary(key string) *Redis {
	c.tb.Helper()
	var primary *Redis
	Await(c.tb, failoverBound, "a node serves "+key, func() (err error) {
		primary, err = c.serving(key, nil)
		return err
	})
	return primary
}

// serving finds the node that serves a key, in the view of the first node that
// answers. What not says of itself and of others does not count.
func (c *RedisCluster) serving(key string, not *Redis) (*Redis, error) {
	ctx := context.Background()
	err := errors.New("no node answers")
	for _, node := range c.Nodes {
		if node == not || !node.Running() {
			continue
		}
		slot, failure := node.control.ClusterKeySlot(ctx, key).Result()
		if failure != nil {
			err = failure
			continue
		}
		shards, failure := node.control.ClusterShards(ctx).Result()
		if failure != nil {
			err = failure
			continue
		}
		for _, shard := range shards {
			for _, slots := range shard.Slots {
				if slot >= slots.Start && slot <= slots.End {
					return c.confirmed(shard, not)
				}
			}
		}
		err = fmt.Errorf("%s knows nobody who serves slot %d", node.Address(), slot)
	}
	return nil, err
}

// confirmed is the primary of a shard of the cluster, if it says so itself.
func (c *RedisCluster) confirmed(shard redis.ClusterShard, not *Redis) (*Redis, error) {
	for _, node := range shard.Nodes {
		if node.Role != "master" {
			continue
		}
		primary := c.ids[node.ID]
		if primary != nil && primary != not && primary.Running() {
			return primary, saysPrimary(primary)
		}
	}
	return nil, errors.New("no other node serves it yet")
}

// ReplicasOf are the nodes that say they follow a primary.
func (c *RedisCluster) ReplicasOf(primary *Redis) []*Redis {
	c.tb.Helper()
	var replicas []*Redis
	for _, node := range without(c.Nodes, primary) {
		said, err := node.replication()
		if err != nil {
			c.tb.Fatal(err)
		}
		if !said.primary && said.fields["master_port"] == fmt.Sprint(primary.Port()) {
			replicas = append(replicas, node)
		}
	}
	return replicas
}

// AwaitPromotion waits until another node than old serves the slot of a key, and
// gives it.
func (c *RedisCluster) AwaitPromotion(key string, old *Redis) *Redis {
	c.tb.Helper()
	var primary *Redis
	Await(c.tb, failoverBound, "a replica serves "+key, func() (err error) {
		primary, err = c.serving(key, old)
		return err
	})
	return primary
}

// CutReplicasOff pauses the replicas of a primary and takes from them what it does
// from now on. To lose it, kill the primary and Resume the replicas that are given.
func (c *RedisCluster) CutReplicasOff(primary *Redis) []*Redis {
	c.tb.Helper()
	replicas := c.ReplicasOf(primary)
	if len(replicas) == 0 {
		c.tb.Fatalf("%s has no replicas: %s", primary.Address(), strings.TrimSpace(primary.Log()))
	}
	cutOff(c.tb, primary, replicas)
	return replicas
}
