package hot_test

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"testing"

	"github.com/tierd/tierd/tiers/hot"
)

// TestRevokeOutOfMemory: a revoke of a lease without keys is refused whole while memory is
// out, like anything else; a call that may put nothing does it.
func TestRevokeOutOfMemory(t *testing.T) {
	t.Parallel()
	redis := dial(t, start(t, t.TempDir()).URL())
	fleet, err := hot.NewFleet(hot.Settings{Keyspace: "test", MemberID: 1},
		hot.Components{Redis: redis, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	home, ctx := fleet.Home(), t.Context()
	if _, _, err := home.Leases(ctx, hot.EpochAny, []hot.LeaseCall{hot.GrantLease(5, 60)}); err != nil {
		t.Fatal(err)
	}
	lane, err := home.NewLane()
	if err != nil {
		t.Fatal(err)
	}
	if err := redis.ConfigSet(ctx, "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	revoke := []*hot.Transaction{{Then: []hot.Operation{hot.Revoke(5, false)}}}
	if _, err := home.Commit(ctx, lane, hot.EpochAny, 1<<30, revoke); !errors.Is(err, hot.ErrOutOfMemory) {
		t.Errorf("a revoke without memory: %v", err)
	}
	_, results, err := home.Leases(ctx, hot.EpochAny, []hot.LeaseCall{hot.DescribeLease(5, false)})
	if err != nil || results[0].Err != nil {
		t.Errorf("the lease whose revoke was refused: %v, %v", results, err)
	}
	put := &hot.Transaction{Puts: true, Then: []hot.Operation{hot.Put([]byte("k"), nil, 0, 0)}}
	done, err := home.Commit(ctx, lane, hot.EpochAny, -1, append(revoke, put))
	if err != nil || done[0].Outcome != hot.OutcomeThen || done[1].Outcome != hot.OutcomeNoSpace {
		t.Errorf("what makes room, and a put: %v, %v", done, err)
	}
}
