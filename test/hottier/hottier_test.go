// Package hottier runs a frontend on every kind of Redis that --hot-tier takes.
package hottier

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/redis/go-redis/v9"

	"github.com/tierd/tierd/test/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bound is how long a test may wait for anything; far above what is normal.
const bound = 2 * time.Minute

// uses checks that a frontend on this hot tier writes, reads, watches, keeps leases
// and tells its status: each a different way to Redis.
func uses(t *testing.T, options cluster.FrontendOptions) {
	t.Helper()
	f := cluster.StartFrontend(t, options)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	client := f.Client()
	events := client.Watch(ctx, "k", clientv3.WithPrefix())
	lease, err := client.Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	written, err := client.Put(ctx, "key", "value", clientv3.WithLease(lease.ID))
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Get(ctx, "k", clientv3.WithPrefix())
	if err != nil || len(got.Kvs) != 1 || got.Kvs[0].ModRevision != written.Header.Revision {
		t.Fatalf("read %v, %v after writing at revision %d", got, err, written.Header.Revision)
	}
	if response := <-events; len(response.Events) != 1 || string(response.Events[0].Kv.Key) != "key" {
		t.Fatalf("watched %v, %v", response.Events, response.Err())
	}
	status, err := client.Status(ctx, f.Endpoint())
	if err != nil || status.DbSize == 0 {
		t.Fatalf("status %v, %v", status, err)
	}
	f.Stop()
}

// TestCluster: a Redis Cluster of three primaries; the keyspace lies in one slot.
func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := cluster.StartRedisCluster(t, cluster.RedisClusterOptions{})
	for _, keyspace := range []string{"a", "b", "c", "d", "e", "f"} { // slots of several nodes
		uses(t, cluster.FrontendOptions{HotTier: nodes.URL(), Args: []string{"--keyspace", keyspace}})
	}
}

// TestStartsWhileRedisLoads: a Redis that loads its append-only file says of itself
// that it has none. A frontend that starts then is not misled, and waits.
func TestStartsWhileRedisLoads(t *testing.T) {
	t.Parallel()
	const keys = 30_000
	server := cluster.StartRedis(t, cluster.RedisOptions{Config: []string{
		"--key-load-delay", "100", // microseconds: three seconds in all, answering others after a thousand at a time
	}})
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	client := server.Client()
	_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range keys {
			p.Set(ctx, fmt.Sprint("other", i), "x", 0)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	server.Start()
	cluster.Await(t, bound, "redis loads its data", func() error {
		info, err := client.Info(ctx, "persistence").Result()
		if err == nil && (!strings.Contains(info, "loading:1") || !strings.Contains(info, "aof_enabled:0")) {
			err = fmt.Errorf("it says %s", info)
		}
		return err
	})
	uses(t, cluster.FrontendOptions{HotTier: server.URL()})
}

// TestSentinel: the primary is found through Sentinels.
func TestSentinel(t *testing.T) {
	t.Parallel()
	set := cluster.StartReplicaSet(t, cluster.ReplicaSetOptions{Sentinels: 3})
	uses(t, cluster.FrontendOptions{HotTier: set.URL()})
}

// TestTLSAndUser: TLS to a Redis whose certificate a private authority signed, as
// the user of deploy/redis/users.acl.
func TestTLSAndUser(t *testing.T) {
	t.Parallel()
	dir, tlsPort := cluster.Folder(t), cluster.FreePort(t)
	authority := writeCertificates(t, dir)
	cluster.StartRedis(t, cluster.RedisOptions{User: cluster.LeastUser, Config: append([]string{
		"--tls-port", fmt.Sprint(tlsPort), "--tls-auth-clients", "no",
		"--tls-cert-file", filepath.Join(dir, "server.crt"), "--tls-key-file", filepath.Join(dir, "server.key"),
		"--tls-ca-cert-file", authority,
	}, cluster.LeastRights(t, "{default:*")...)})
	uses(t, cluster.FrontendOptions{
		HotTier: fmt.Sprintf("rediss://tierd:secret@127.0.0.1:%d", tlsPort), Env: []string{"SSL_CERT_FILE=" + authority},
	})
}
