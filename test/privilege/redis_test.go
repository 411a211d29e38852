package privilege

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// patience bounds each wait of a test.
const patience = 60 * time.Second

// work has a frontend do what a frontend does.
func work(t *testing.T, f *cluster.Frontend) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := f.Client()
	events := client.Watch(clientv3.WithRequireLeader(ctx), "", clientv3.WithPrefix())
	lease, err := client.Grant(ctx, 600)
	if err != nil {
		t.Fatal(err)
	}
	var revision int64
	for i := range 40 {
		put, err := client.Put(ctx, fmt.Sprintf("key%d", i%20), "value", clientv3.WithLease(lease.ID))
		if err != nil {
			t.Fatal(err)
		}
		revision = put.Header.Revision
	}
	steps := map[string]func() error{
		"range": func() error { _, err := client.Get(ctx, "", clientv3.WithPrefix(), clientv3.WithLimit(3)); return err },
		"past": func() error {
			_, err := client.Get(ctx, "k", clientv3.WithPrefix(), clientv3.WithRev(revision-3))
			return err
		},
		"txn": func() error {
			_, err := client.Txn(ctx).If(clientv3.Compare(clientv3.Version("key1"), ">", 0)).
				Then(clientv3.OpDelete("key1"), clientv3.OpPut("other", "v"), clientv3.OpTxn(nil, nil, nil)).Commit()
			return err
		},
		"delete":       func() error { _, err := client.Delete(ctx, "key2", clientv3.WithFromKey()); return err },
		"time to live": func() error { _, err := client.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys()); return err },
		"keep alive":   func() error { _, err := client.KeepAliveOnce(ctx, lease.ID); return err },
		"leases":       func() error { _, err := client.Leases(ctx); return err },
		"members":      func() error { _, err := client.MemberList(ctx); return err },
		"status":       func() error { _, err := client.Status(ctx, f.Endpoint()); return err },
		"alarms":       func() error { _, err := client.AlarmList(ctx); return err },
		"hash":         func() error { _, err := client.HashKV(ctx, f.Endpoint(), revision); return err },
	}
	for what, step := range steps {
		if err := step(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if _, err := client.Compact(ctx, revision-2, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Revoke(ctx, lease.ID); err != nil {
		t.Fatal(err)
	}
	if r := <-events; r.Err() != nil {
		t.Fatal(r.Err())
	}
}

// unrefused fails the test if a server has refused tierd anything.
func unrefused(t *testing.T, servers ...*cluster.Redis) {
	t.Helper()
	for _, server := range servers {
		unrefusedBy(t, server.Client())
	}
}

func unrefusedBy(t *testing.T, client *redis.Client) {
	t.Helper()
	refusals, err := client.Do(t.Context(), "acl", "log").Result()
	if err != nil {
		t.Fatal(err)
	}
	if all, ok := refusals.([]any); !ok || len(all) > 0 {
		t.Errorf("Redis has refused: %v", refusals)
	}
}

// One Redis, one frontend after the other, killed and paused, shards made and moved, restored
// into: all with the rights of deploy/redis/users.acl, of which Redis has refused none, for
// nothing is asked beyond them.
func TestRedisRights(t *testing.T) {
	t.Parallel()
	options := cluster.RedisOptions{User: cluster.LeastUser, Config: cluster.LeastRights(t, "{default:*")}
	server, other := cluster.StartRedis(t, options), cluster.StartRedis(t, options)
	c := cluster.Start(t, cluster.Options{Frontends: 2, HotTier: []string{server.URL()}})
	work(t, c.Frontends[0])
	for _, arguments := range [][]string{{"add", other.URL()}, {"split", "m"}, {"move", "--key", "m", "--endpoint", "1"}, {"list"}, {"status"}} {
		if _, err := c.Tool(t.Context(), nil, append([]string{"shard"}, arguments...)...); err != nil {
			t.Fatalf("shard %v: %v", arguments, err)
		}
	}
	work(t, c.Frontends[1])
	unrefused(t, server)
	server.Kill()
	server.Restart()
	c.Frontends[0].Kill()
	work(t, c.Frontends[1])
	unrefused(t, server, other)
}

// The same rights do on a Redis Cluster, with replicas that are waited for.
func TestRedisRightsInACluster(t *testing.T) {
	t.Parallel()
	rights := cluster.LeastRights(t, "{default:*")
	nodes := cluster.StartRedisCluster(t, cluster.RedisClusterOptions{Replicas: 1, User: cluster.LeastUser, Config: rights})
	f := cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: nodes.URL(), Args: []string{"--replica-acks", "1"}})
	work(t, f)
	unrefused(t, nodes.Nodes...)
}

// And behind Sentinels, who know a user of their own.
func TestRedisRightsBehindSentinels(t *testing.T) {
	t.Parallel()
	set := cluster.StartReplicaSet(t, cluster.ReplicaSetOptions{
		Replicas: 2, Sentinels: 3, User: cluster.LeastUser, Config: cluster.LeastRights(t, "{default:*"),
		SentinelUser: cluster.LeastUser, SentinelRights: cluster.Rights(t, "sentinel-users.acl")[2:],
	})
	f := cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: set.URL(), Args: []string{"--replica-acks", "1"}})
	work(t, f)
	old := set.Primary()
	old.Kill()
	set.AwaitPromotion(old)
	cluster.Await(t, patience, "the frontend is ready again", f.Ready)
	work(t, f)
	unrefused(t, without(set.Servers, old)...)
	for _, sentinel := range set.SentinelClients() {
		unrefusedBy(t, sentinel)
	}
}

func without(servers []*cluster.Redis, not *cluster.Redis) []*cluster.Redis {
	return slices.DeleteFunc(slices.Clone(servers), func(s *cluster.Redis) bool { return s == not })
}

// Another keyspace's keys, and Redis' own administration, are out of reach of the user.
func TestRightsEnd(t *testing.T) {
	t.Parallel()
	server := cluster.StartRedis(t, cluster.RedisOptions{User: cluster.LeastUser, Config: cluster.LeastRights(t, "{default:*")})
	o, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	defer client.Close()
	if err := client.HSet(t.Context(), "{default:seq}:x", "f", "v").Err(); err != nil {
		t.Fatal(err)
	}
	refused := regexp.MustCompile("^NOPERM|can't access at least one of the keys")
	for _, command := range [][]any{
		{"hset", "{defaults:seq}:order", "f", "v"}, {"hget", "other", "f"}, {"eval", "return redis.call('hset','other','f','v')", 0},
		{"config", "set", "save", ""}, {"flushall"}, {"acl", "list"}, {"keys", "*"}, {"shutdown"},
		{"script", "flush"}, {"replicaof", "127.0.0.1", "1"}, {"module", "list"}, {"publish", "c", "m"}, {"get", "{default:seq}:x"},
	} {
		if err := client.Do(t.Context(), command...).Err(); err == nil || !refused.MatchString(err.Error()) {
			t.Errorf("%v: %v", command, err)
		}
	}
}
