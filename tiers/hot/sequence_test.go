package hot_test

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"slices"
	"testing"

	"github.com/tierd/tierd/tiers/hot"
)

// sequencerWith begins a keyspace with two shards, and gives its sequencer and the
// incarnations of the shards by their numbers.
func sequencerWith(t *testing.T) (*hot.Client, map[hot.Shard]string) {
	t.Helper()
	server := start(t, t.TempDir())
	fleet, err := hot.NewFleet(hot.Settings{Keyspace: "test", MemberID: 1},
		hot.Components{Redis: dial(t, server.URL()), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	lives := make(map[hot.Shard]string)
	for _, number := range []hot.Shard{1, 2} {
		shard, err := fleet.Shard(number, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := shard.Stamp(t.Context(), hot.EpochAny, hot.Stamp{}); err != nil {
			t.Fatal(err)
		}
		lives[number] = ask(t, fleet.Home(), hot.Ask{Shard: number}).Shards[0].Incarnation
	}
	return fleet.Home(), lives
}

func ask(t *testing.T, sequencer *hot.Client, asks ...hot.Ask) hot.Sequence {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answer, err := sequencer.Sequence(ctx, asks)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// One call may ask for a shard several times, for shards that have nothing new, and for
// cuts from long ago: each gets the cuts after its own position, and each position one
// revision.
func TestSequence(t *testing.T) {
	t.Parallel()
	sequencer, lives := sequencerWith(t)
	first := ask(t, sequencer,
		hot.Ask{Shard: 1, Incarnation: lives[1], Tail: 3},
		hot.Ask{Shard: 2, Incarnation: lives[2], Tail: 2},
		hot.Ask{Shard: 1, Incarnation: lives[1], Tail: 5, After: 3},
		hot.Ask{Shard: 2, Incarnation: "0000000000000000", Tail: 9, After: 2},
		hot.Ask{Shard: 1})
	begin := first.Revision - 7
	one := []hot.Cut{{From: 1, To: 3, Revision: begin + 1}, {From: 4, To: 5, Revision: begin + 6}}
	two := []hot.Cut{{From: 1, To: 2, Revision: begin + 4}}
	for i, want := range [][]hot.Cut{one, two, one[1:], nil, one} {
		if got := first.Shards[i]; !slices.Equal(got.Cuts, want) || got.Superseded != (i == 3 || i == 4) {
			t.Errorf("answer %d: %+v, want the cuts %+v", i, got, want)
		}
	}
	if got := first.Shards[0]; got.Ordered != 5 || got.Last != begin+7 || got.Incarnation != lives[1] {
		t.Errorf("shard 1 is at %+v, want position 5 at revision %d", got, begin+7)
	}

	again := ask(t, sequencer, hot.Ask{Shard: 1, Incarnation: lives[1], Tail: 5, After: 5}, hot.Ask{Shard: 1, Incarnation: lives[1], Tail: 4, After: 1})
	if again.Revision != first.Revision || len(again.Shards[0].Cuts) != 0 || !slices.Equal(again.Shards[1].Cuts, one) {
		t.Errorf("ordering what is ordered gives %+v", again)
	}

	next := ask(t, sequencer, hot.Ask{Shard: 1, Incarnation: lives[1], Tail: 6, After: 3}, hot.Ask{Shard: 2, Incarnation: lives[2], Tail: 3, After: 2})
	one, two = append(one, hot.Cut{From: 6, To: 6, Revision: begin + 8}), []hot.Cut{{From: 3, To: 3, Revision: begin + 9}}
	if !slices.Equal(next.Shards[0].Cuts, one[1:]) || !slices.Equal(next.Shards[1].Cuts, two) || next.Revision != begin+9 {
		t.Errorf("the next positions are ordered as %+v, want the cuts %+v and %+v", next, one[1:], two)
	}
}

// A call wakes followers up once, with the last revision that it gave.
func TestSequenceWakesFollowers(t *testing.T) {
	t.Parallel()
	sequencer, lives := sequencerWith(t)
	last, err := sequencer.LastCut(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer := ask(t, sequencer, hot.Ask{Shard: 2, Incarnation: lives[2], Tail: 4}, hot.Ask{Shard: 1, Incarnation: lives[1], Tail: 3})
	cut, revision, err := sequencer.WaitCut(t.Context(), last)
	if err != nil || revision != answer.Revision {
		t.Fatalf("followers are told of revision %d, error %v; ordered up to %d", revision, err, answer.Revision)
	}
	if newest, err := sequencer.LastCut(t.Context()); err != nil || newest != cut {
		t.Fatalf("there is a cut %s after %s, error %v", newest, cut, err)
	}
}
