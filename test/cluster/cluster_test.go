package cluster_test

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tierd/tierd/test/cluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A server that is killed comes back with what it had acknowledged, and one whose
// file was cut comes back without it: the two faults the harness must be able to
// make for the tests of tierd to mean anything.
func TestRedisFaults(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := cluster.StartRedis(t, cluster.RedisOptions{})
	client := server.Client()
	if err := client.Set(ctx, "first", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	kept, err := os.Stat(server.TailFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Set(ctx, "second", "2", 0).Err(); err != nil {
		t.Fatal(err)
	}

	server.Kill()
	if server.Running() {
		t.Fatal("the server runs after SIGKILL")
	}
	server.Restart()
	if got := client.Exists(ctx, "first", "second").Val(); got != 2 {
		t.Fatalf("%d of 2 keys after SIGKILL", got)
	}

	server.Kill()
	cluster.CutTail(t, server.TailFile(), kept.Size())
	server.Restart()
	if got := client.Exists(ctx, "second").Val(); got != 0 {
		t.Fatal("the key survived the cut")
	}
	if got := client.Exists(ctx, "first").Val(); got != 1 {
		t.Fatal("the cut took more than the last record")
	}
}

// A paused server answers nothing and loses nothing.
func TestPause(t *testing.T) {
	t.Parallel()
	server := cluster.StartRedis(t, cluster.RedisOptions{TCP: true})
	if !strings.HasPrefix(server.TCPURL(), "redis://127.0.0.1:") {
		t.Fatalf("unexpected URL %s", server.TCPURL())
	}
	client := server.Client()
	server.Pause()
	bounded, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := client.Ping(bounded).Err(); err == nil {
		t.Fatal("a paused server answered")
	}
	server.Resume()
	if err := client.Ping(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	if code := server.Terminate(10 * time.Second); code != 0 {
		t.Fatalf("exit code %d on SIGTERM", code)
	}
}

// FreePorts never repeats a port in one call.
func TestFreePorts(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for _, port := range cluster.FreePorts(t, 50) {
		if seen[port] {
			t.Fatalf("port %d twice", port)
		}
		seen[port] = true
	}
}

// Two frontends on one Redis serve one store, through crashes of either and of
// the Redis below them.
func TestFrontends(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := cluster.Start(t, cluster.Options{Frontends: 2})
	first, second := c.Frontends[0], c.Frontends[1]
	written, err := first.Client().Put(ctx, "k", "1")
	if err != nil {
		t.Fatal(err)
	}
	first.Kill()
	got, err := second.Client().Get(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) != 1 || got.Kvs[0].ModRevision != written.Header.Revision {
		t.Fatalf("the other frontend holds %v, written at %d", got.Kvs, written.Header.Revision)
	}
	second.Stop()
	c.Redis.Kill()
	c.Redis.Restart()
	first.Restart()
	got, err = first.Client().Get(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "1" {
		t.Fatalf("after the crashes there is %v", got.Kvs)
	}
}

// A frontend with a Redis of its own keeps its data over a crash of either.
func TestLocalFrontend(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	frontend := cluster.StartFrontend(t, cluster.FrontendOptions{})
	if _, err := frontend.Client().Put(ctx, "k", "1"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(frontend.LocalRedisPID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	frontend.Kill()
	frontend.Restart()
	got, err := frontend.Client().Get(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) != 1 {
		t.Fatal("the key is gone")
	}
	frontend.Stop()
}
