package router

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/tierd/tierd/tiers/hot"
)

// TestForgetLanes: a shard forgets the calls of a frontend an hour after it was last
// seen alive, and of no other.
func TestForgetLanes(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "tierd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	logger := slog.New(slog.DiscardHandler)
	server, err := hot.StartServer(t.Context(), hot.ServerSettings{Dir: dir, Logger: logger, Binary: os.Getenv("TIERD_TEST_REDIS_SERVER")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(context.Background()) })
	endpoint, err := hot.ParseEndpoint(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	redis := endpoint.NewClient()
	t.Cleanup(func() { redis.Close() })
	client, err := hot.New(hot.Settings{Keyspace: "test", MemberID: 1}, hot.Components{Redis: redis, Logger: logger, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Summary(t.Context(), hot.MemberLook, nil); err != nil {
		t.Fatal(err)
	}
	for _, lane := range []string{"\x00\x00\x00\x00\x00\x00\x00\x01lane-one", "\x00\x00\x00\x00\x00\x00\x00\x02lane-two"} {
		if err := redis.HSet(t.Context(), "{test:seq}:calls", lane, "1:2:1").Err(); err != nil {
			t.Fatal(err)
		}
	}
	o, start := oldLanes{}, time.Unix(1_000_000, 0)
	alive := &hot.Summary{Members: []hot.Member{{ID: 1}}}
	for after, want := range []struct {
		passed time.Duration
		left   []uint64
	}{{0, []uint64{1, 2}}, {30 * time.Minute, []uint64{1, 2}}, {61 * time.Minute, []uint64{1}}} {
		if err := o.forget(t.Context(), client, alive, start.Add(want.passed)); err != nil {
			t.Fatal(err)
		}
		left, err := client.ForgetLanes(t.Context(), nil)
		if slices.Sort(left); err != nil || !slices.Equal(left, want.left) {
			t.Errorf("look %d: members %v have lanes, %v; want %v", after, left, err, want.left)
		}
	}
}
