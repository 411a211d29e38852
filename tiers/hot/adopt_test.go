package hot

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"
)

// TestFormerLifeIsNotAdopted: of a shard's Redis, a life that another one has replaced
// is refused, and nothing is ordered that it appends.
func TestFormerLifeIsNotAdopted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "tierd")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server, err := StartServer(ctx, ServerSettings{Dir: dir, Logger: slog.New(slog.DiscardHandler), Binary: os.Getenv("TIERD_TEST_REDIS_SERVER")})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close(ctx)
	endpoint, err := ParseEndpoint(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	redis := endpoint.NewClient()
	defer redis.Close()
	home, err := New(Settings{Keyspace: "test", MemberID: 1}, Components{Redis: redis, Logger: slog.New(slog.DiscardHandler), Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	const shard, first, second, third = 5, "0000000000000001", "0000000000000002", "0000000000000003"
	for _, a := range []struct{ run, offered, want string }{
		{"a:1", first, first}, {"a:1", second, first}, {"b:2", second, second}, {"b:2", third, second},
	} {
		if got, err := home.adopt(ctx, shard, a.run, a.offered); err != nil || got[0] != a.want {
			t.Fatalf("adopt life %s: %v, %v; want %s", a.run, got, err, a.want)
		}
	}
	former, giveUp := context.WithTimeout(ctx, 100*time.Millisecond)
	defer giveUp()
	if got, err := home.adopt(former, shard, "a:1", third); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("the former life was adopted: %v, %v", got, err)
	}
	answer, err := home.Sequence(ctx, []Ask{{Shard: shard, Incarnation: first, Tail: 10}, {Shard: shard, Incarnation: second, Tail: 3}})
	if err != nil || !answer.Shards[0].Superseded || answer.Shards[1].Superseded || answer.Shards[1].Ordered != 3 || answer.Revision != 4 {
		t.Fatalf("%+v, %v", answer, err)
	}
}
