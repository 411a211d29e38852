package cluster_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tierd/tierd/test/cluster"
)

// bound is how long a test may wait for anything; far above what is normal.
const bound = time.Minute

// set writes a key on a server and waits until a replica has it.
func set(t *testing.T, server *cluster.Redis, key string) {
	t.Helper()
	if err := server.Client().Set(t.Context(), key, "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, server *cluster.Redis, key string) bool {
	t.Helper()
	n, err := server.Client().Exists(t.Context(), key).Result()
	if err != nil {
		t.Fatal(err)
	}
	return n == 1
}

// awaitFollowed waits until one of two servers, each of which did something behind the back of the other, has what the
// other did, and nothing of its own. As a rule that is the old primary; on a busy machine the Sentinels may take the
// new one for dead meanwhile, and give the old one its place back. (Offsets do not tell: those of two histories compare as
// numbers only.)
func awaitFollowed(t *testing.T, old, promoted *cluster.Redis) {
	t.Helper()
	cluster.Await(t, followBound, "one primary gives up what it did behind the back of the other", func() error {
		late, new := has(t, old, "late"), has(t, old, "new")
		if late == new || has(t, promoted, "late") != late || has(t, promoted, "new") != new {
			return fmt.Errorf("the old one has its own: %v; has the new one's: %v", late, new)
		}
		return nil
	})
}

// followBound bounds that.
const followBound = 20 * time.Second

// dialable checks that a client that is given the URL of a set of Sentinels reaches
// the primary.
func dialable(t *testing.T, url string) {
	t.Helper()
	options, err := redis.ParseFailoverURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewFailoverClient(options)
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Set(t.Context(), "dialled", "x", 0).Err(); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}

// A killed primary is replaced by a replica that has everything, and comes back as
// the replica of that one.
func TestReplicaSetKill(t *testing.T) {
	t.Parallel()
	s := cluster.StartReplicaSet(t, cluster.ReplicaSetOptions{Replicas: 2, Sentinels: 3})
	dialable(t, s.URL())
	old := s.Primary()
	set(t, old, "kept")
	s.AwaitInStep()
	old.Kill()
	promoted := s.AwaitPromotion(old)
	if promoted == old || promoted != s.Primary() {
		t.Fatalf("%s is promoted after %s, the sentinels name %s", promoted.Address(), old.Address(), s.Primary().Address())
	}
	if !has(t, promoted, "kept") {
		t.Fatal("the promoted replica lacks what it had")
	}
	dialable(t, s.URL())
	old.Restart()
	s.AwaitInStep()
}

// A paused primary is replaced, and still says that it is primary when it resumes:
// the fault that a service must not fall for.
func TestReplicaSetPause(t *testing.T) {
	t.Parallel()
	s := cluster.StartReplicaSet(t, cluster.ReplicaSetOptions{})
	old := s.Primary()
	old.Pause()
	promoted := s.AwaitPromotion(old)
	set(t, promoted, "new")
	old.Resume()
	set(t, old, "late") // it takes writes that nobody else will ever see
	s.AwaitInStep()
	awaitFollowed(t, old, promoted)
}

// A primary that is cut off from everyone else is replaced, and takes writes of whoever
// is on its side until it is back.
func TestReplicaSetCut(t *testing.T) {
	t.Parallel()
	s := cluster.StartReplicaSet(t, cluster.ReplicaSetOptions{Wired: true})
	dialable(t, s.URL())
	old := s.Primary()
	s.Wire.Cut()
	promoted := s.AwaitPromotion(old)
	set(t, old, "late")
	set(t, promoted, "new")
	if has(t, promoted, "late") || has(t, old, "new") {
		t.Fatal("something passes a cut wire")
	}
	s.Wire.Mend()
	s.AwaitInStep()
	awaitFollowed(t, old, promoted)
}

// What a primary does while its replicas are cut off is lost with it.
func TestReplicaSetLosesTail(t *testing.T) {
	t.Parallel()
	s := cluster.StartReplicaSet(t, cluster.ReplicaSetOptions{Replicas: 2, Sentinels: 3})
	old := s.Primary()
	set(t, old, "kept")
	s.AwaitInStep()
	cut := s.CutReplicasOff()
	set(t, old, "lost")
	old.Kill()
	for _, replica := range cut {
		replica.Resume()
	}
	promoted := s.AwaitPromotion(old)
	if !has(t, promoted, "kept") || has(t, promoted, "lost") {
		t.Fatalf("the promoted replica has kept: %v, lost: %v", has(t, promoted, "kept"), has(t, promoted, "lost"))
	}
}

// Six nodes: a killed primary is replaced, by one that lacks what was done while it
// was cut off, and a paused one is a replica when it comes back.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	c := cluster.StartRedisCluster(t, cluster.RedisClusterOptions{Replicas: 1})
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	options, err := redis.ParseClusterURL("redis://" + c.URL()[len("redis+cluster://"):])
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClusterClient(options)
	t.Cleanup(func() { _ = client.Close() })
	primaries := make(map[*cluster.Redis]bool)
	for i := range 50 {
		key := fmt.Sprintf("{%d}:key", i)
		if err := client.Set(ctx, key, "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if primary := c.Primary(key); !has(t, primary, key) {
			t.Fatalf("%s is not on %s", key, primary.Address())
		} else {
			primaries[primary] = true
		}
	}
	if len(primaries) != 3 {
		t.Fatalf("50 keys lie on %d nodes", len(primaries))
	}

	const kept, lost = "{a}:kept", "{a}:lost"
	old := c.Primary(kept)
	set(t, old, kept)
	c.AwaitInStep()
	cut := c.CutReplicasOff(old)
	set(t, old, lost)
	old.Kill()
	for _, replica := range cut {
		replica.Resume()
	}
	promoted := c.AwaitPromotion(kept, old)
	if promoted != cut[0] || !has(t, promoted, kept) || has(t, promoted, lost) {
		t.Fatalf("%s is promoted, of %s", promoted.Address(), cut[0].Address())
	}
	old.Restart()
	c.AwaitInStep()

	promoted.Pause()
	if again := c.AwaitPromotion(kept, promoted); again != old {
		t.Fatalf("%s is promoted, of %s", again.Address(), old.Address())
	}
	promoted.Resume()
	c.AwaitInStep()
	if c.Primary(kept) != old {
		t.Fatal("the one that was paused is primary again")
	}
}

// The endpoints of a hot tier go round the servers, and databases are apart.
func TestDatabases(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := cluster.StartRedis(t, cluster.RedisOptions{})
	wire := cluster.NewWire(t, server)
	for database, url := range []string{server.DatabaseURL(0), wire.DatabaseURL(1), server.DatabaseURL(2)} {
		options, err := redis.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		client := redis.NewClient(options)
		t.Cleanup(func() { _ = client.Close() })
		if err := client.Set(ctx, "k", database, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if size := client.DBSize(ctx).Val(); size != 1 {
			t.Errorf("%s holds %d keys", url, size)
		}
	}
	info, err := server.Client().InfoMap(ctx, "keyspace").Result()
	if err != nil || len(info["Keyspace"]) != 3 {
		t.Fatalf("not three databases: %v, %v", info, err)
	}
}
