package cluster_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tierd/tierd/test/cluster"
)

// Each disturbance does to the third request what its name says, and others pass.
func TestWire(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := cluster.StartRedis(t, cluster.RedisOptions{})
	direct := server.Client()
	for mode, want := range map[cluster.Disturbance]struct {
		before, after string
	}{
		cluster.LoseReplies:   {"1", "1"},
		cluster.LoseRequests:  {"", ""},
		cluster.StrayRequests: {"", "1"},
	} {
		wire := cluster.NewWire(t, server)
		options, err := redis.ParseURL(wire.URL())
		if err != nil {
			t.Fatal(err)
		}
		options.MaxRetries = -1
		client := redis.NewClient(options)
		t.Cleanup(func() { _ = client.Close() })
		key := fmt.Sprint("key", mode)
		if err := client.Ping(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		wire.Disturb(mode)
		for range 2 {
			if err := client.Ping(ctx).Err(); err != nil {
				t.Fatalf("mode %d: one of the first requests was disturbed: %v", mode, err)
			}
		}
		if err := client.Incr(ctx, key).Err(); err == nil {
			t.Fatalf("mode %d: the request was answered", mode)
		}
		if got := direct.Get(ctx, key).Val(); got != want.before {
			t.Errorf("mode %d: the key is %q, want %q", mode, got, want.before)
		}
		wire.Disturb(cluster.Calm)
		cluster.Await(t, 10*time.Second, "the request has arrived or is lost", func() error {
			if got := direct.Get(ctx, key).Val(); got != want.after {
				return fmt.Errorf("mode %d: the key is %q, want %q", mode, got, want.after)
			}
			return nil
		})
		if err := client.Ping(ctx).Err(); err != nil {
			t.Errorf("mode %d: the wire does not pass any more: %v", mode, err)
		}
		wire.Cut()
		if err := client.Ping(ctx).Err(); err == nil {
			t.Errorf("mode %d: a cut wire passes", mode)
		}
		wire.Mend()
		if err := client.Ping(ctx).Err(); err != nil {
			t.Errorf("mode %d: a mended wire does not pass: %v", mode, err)
		}
	}
}
