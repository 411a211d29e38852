package hottier

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// replicated is a primary and its replica, watched by a Sentinel.
type replicated struct {
	primary, replica *cluster.Redis
	frontend         *cluster.Frontend
}

// startReplicated starts them, with a frontend that finds the primary through the
// Sentinel, and waits until the Sentinel knows the replica.
func startReplicated(t *testing.T, ctx context.Context) replicated {
	t.Helper()
	var r replicated
	r.primary = cluster.StartRedis(t, cluster.RedisOptions{TCP: true})
	r.replica = cluster.StartRedis(t, cluster.RedisOptions{TCP: true, Config: []string{"--replicaof", "127.0.0.1", port(r.primary)}})
	dir, sentinelPort := cluster.Folder(t), cluster.FreePort(t)
	config := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor tierd 127.0.0.1 %s 1\n"+
		"sentinel down-after-milliseconds tierd 500\nsentinel failover-timeout tierd 5000\n", sentinelPort, dir, port(r.primary))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := cluster.NewProcess(t, cluster.Command{
		Name: "sentinel", Path: r.primary.Program(), Args: []string{config, "--sentinel"}, LogDir: dir,
	})
	sentinel.Start()
	cluster.Await(t, bound, "the sentinel knows the replica", func() error {
		if log := sentinel.Log(); !strings.Contains(log, "+slave") {
			return errors.New(log)
		}
		return nil
	})
	cluster.Await(t, bound, "the replica is in step", func() error {
		info, err := r.replica.Client().Info(ctx, "replication").Result()
		if err == nil && !strings.Contains(info, "master_link_status:up") {
			err = errors.New(info)
		}
		return err
	})
	r.frontend = cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: fmt.Sprintf("redis://127.0.0.1:%d?master_name=tierd", sentinelPort)})
	return r
}

func putRevision(t *testing.T, ctx context.Context, client *clientv3.Client, key string) int64 {
	t.Helper()
	resp, err := client.Put(ctx, key, "x")
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.Revision
}

// TestFailover: the primary dies, and a replica that has everything is promoted. The
// frontend follows, and goes on at the next revision.
func TestFailover(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	r := startReplicated(t, ctx)
	client := r.frontend.Client()
	last := putRevision(t, ctx, client, "a")
	if n, err := r.primary.Client().Wait(ctx, 1, bound).Result(); err != nil || n != 1 {
		t.Fatalf("%d replicas have the write, %v", n, err)
	}
	r.primary.Kill()
	var next int64
	cluster.Await(t, bound, "writes go on", func() error {
		resp, err := client.Put(ctx, "b", "x")
		if err == nil {
			next = resp.Header.Revision
		}
		return err
	})
	// One that failed may have been done.
	got, err := client.Get(ctx, "a")
	if err != nil || len(got.Kvs) != 1 || next <= last {
		t.Fatalf("after the failover there is %v, %v; revision %d follows %d", got, err, next, last)
	}
}

// TestFailoverThatLosesWrites: the promoted replica lacks writes that a live frontend
// has acknowledged. Nothing is served any more, and the CORRUPT alarm says why.
func TestFailoverThatLosesWrites(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	r := startReplicated(t, ctx)
	client := r.frontend.Client()
	putRevision(t, ctx, client, "a")
	// Cut off while it sleeps, the replica has nothing left to read when it wakes up.
	r.replica.Pause()
	if err := r.primary.Client().ClientKillByFilter(ctx, "TYPE", "replica").Err(); err != nil {
		t.Fatal(err)
	}
	putRevision(t, ctx, client, "lost")
	r.primary.Kill()
	r.replica.Resume()
	cluster.Await(t, bound, "the loss is noticed", func() error {
		_, err := client.Get(ctx, "a", clientv3.WithSerializable())
		if err == nil {
			t.Fatal("a read was answered although an acknowledged write is lost")
		}
		if !errors.Is(err, rpctypes.ErrCorrupt) {
			return err
		}
		return nil
	})
}
