package router_test

import (
	"crypto/rand"
	"log/slog"
	"testing"

	"github.com/tierd/tierd/tiers/hot"
)

// shardClient reaches a shard of the keyspace by itself.
func shardClient(t *testing.T, server *hot.Server, id hot.Shard, url string) *hot.Client {
	t.Helper()
	endpoint, err := hot.ParseEndpoint(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	redis := endpoint.NewClient()
	fleet, err := hot.NewFleet(hot.Settings{Keyspace: "test", MemberID: 99},
		hot.Components{Redis: redis, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fleet.Close(); _ = redis.Close() })
	client, err := fleet.Shard(id, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestUnchangedBeforeMove: a shard that was filled by a move does not know what changed
// before, and does not say that nothing did.
func TestUnchangedBeforeMove(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	k := openFleet(t, server, 1, nil)
	read := put(t, k, "key", "read")
	changed := put(t, k, "key", "changed")
	if err := k.Move(t.Context(), []byte("k"), nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	client := shardClient(t, server, 1, "")
	span := hot.RangeSpan([]byte("k"), []byte("l"))
	for at, want := range map[hot.Revision]hot.Outcome{read: hot.OutcomeChanged, changed: hot.OutcomeThen} {
		lane, err := client.NewLane()
		if err != nil {
			t.Fatal(err)
		}
		reply, err := client.Append(t.Context(), lane, hot.EpochAny, 1<<30, hot.Stamp{}, []*hot.Transaction{{
			Conditions: []hot.Condition{hot.Unchanged(span, at)}, Then: []hot.Operation{hot.Put([]byte("other"), []byte("v"), 0, 0)},
		}})
		if err != nil || reply.Results[0].Outcome != want {
			t.Errorf("unchanged since revision %d: %v, %v, want %v", at, reply.Results, err, want)
		}
	}
}
