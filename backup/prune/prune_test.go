package prune_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/archivetest"
	"github.com/tierd/tierd/backup/prune"
	"github.com/tierd/tierd/backup/verify"
	"github.com/tierd/tierd/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// errCrash stands for a crash of whoever prunes.
var errCrash = errors.New("crashed")

func plan(t *rapid.T, a *backup.Archive, policy prune.Policy, now time.Time) prune.Result {
	t.Helper()
	catalogs, err := prune.Catalogs(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	return prune.Plan(catalogs, policy, now)
}

// applyTo applies a plan up to a crash after so many calls of the store; -1 for none.
func applyTo(t *rapid.T, w *archivetest.Written, result prune.Result, calls int) {
	t.Helper()
	w.Store.Before = func(call, _ string) error {
		if call != "create" && call != "remove" {
			return nil
		}
		if calls--; calls == -1 {
			return errCrash
		}
		return nil
	}
	err := prune.Apply(context.Background(), w.Archive, result)
	w.Store.Before = nil
	if err != nil && !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
}

// check reads what a policy promises, and verifies the archive.
func check(t *rapid.T, w *archivetest.Written, current bool, policy prune.Policy, now time.Time, kept []prune.Kept) {
	t.Helper()
	ctx := context.Background()
	c, err := w.Archive.Catalog(ctx, w.Timeline)
	if err != nil {
		t.Fatal(err)
	}
	last := w.Blocks[len(w.Blocks)-1].To
	from := now.Add(-policy.KeepAge)
	if from.Before(w.Began) {
		from = w.Began
	}
	if from.After(last) && current {
		from = last
	}
	if !from.After(last) {
		// All that was current then or later.
		for revision := w.RevisionAt(from); revision <= w.End(); revision++ {
			expect(t, w, c, backup.Target{Revision: revision}, revision, backup.BlockMax)
		}
		expect(t, w, c, backup.Target{Time: from}, w.RevisionAt(from), backup.BlockMax)
	}
	for _, k := range kept {
		if k.Base.Timeline.ID() == w.Timeline.ID() {
			expect(t, w, c, backup.Target{Revision: k.Base.Revision}, k.Base.Revision, k.Base.Block)
		}
	}
}

// expect reads a target. If what followed the block is gone, leases and compaction are those after
// that one; a later block without a change may tell more.
func expect(t *rapid.T, w *archivetest.Written, c *backup.Catalog, target backup.Target, revision router.Revision, block int64) {
	t.Helper()
	plan, err := w.Archive.Plan(context.Background(), c, target)
	if err != nil {
		t.Fatalf("%+v was promised: %v", target, err)
	}
	state := archivetest.NewState()
	end, err := w.Archive.Read(context.Background(), plan, func(it backup.Item) error {
		if it.Kind == backup.KindChange {
			state.Apply(&it)
		}
		return nil
	})
	if err != nil || end.Revision != revision {
		t.Fatalf("%+v was promised: revision %d, %v", target, end.Revision, err)
	}
	for _, lease := range end.Leases {
		state.Leases[lease.ID] = lease.GrantedTTL
	}
	state.Compacted, state.Auth = end.Compacted, end.Auth
	got := state.Text()
	for upTo := min(block, int64(len(w.Blocks))); upTo <= int64(len(w.Blocks)); upTo++ {
		if got == w.At(revision, upTo).Text() {
			return
		}
	}
	t.Fatalf("%+v is\n%s, not\n%s", target, got, w.At(revision, block).Text())
}

func verified(t *rapid.T, a *backup.Archive) {
	t.Helper()
	report, err := verify.Verify(context.Background(), a, verify.Options{})
	if err != nil || report.Status == verify.Failure {
		t.Fatalf("verify: %v, %+v", err, report)
	}
}

// Whatever the archive and the policy, and wherever pruning is interrupted: what the policy promises can be read, and is
// what it was. In the end nothing is left to prune.
func TestKeepsItsPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		older := archivetest.Write(t, archivetest.DrawModelAt(t, 10, archivetest.Began(), 10*time.Second))
		began := older.Blocks[len(older.Blocks)-1].To.Add(time.Hour)
		newer := archivetest.WriteTo(t, older.Store, archivetest.DrawModelAt(t, 10, began, 10*time.Second))
		now := newer.Blocks[len(newer.Blocks)-1].To
		// It is pruned again and again as time passes, with one policy after the other.
		for range 3 {
			now = now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "hours later")) * time.Hour)
			policy := prune.Policy{
				KeepAge: time.Duration(rapid.IntRange(0, 150).Draw(t, "keep hours")) * time.Hour,
				Hourly:  rapid.IntRange(0, 3).Draw(t, "hourly"), Daily: rapid.IntRange(0, 3).Draw(t, "daily"), Weekly: rapid.IntRange(0, 2).Draw(t, "weekly"),
			}
			promises(t, older, newer, policy, now)
			if rapid.Bool().Draw(t, "no more") {
				break
			}
		}
	})
}

// promises prunes once, interrupted and then to the end, and checks each time.
func promises(t *rapid.T, older, newer *archivetest.Written, policy prune.Policy, now time.Time) {
	t.Helper()
	result := plan(t, newer.Archive, policy, now)
	// What was pruned before stays so.
	promised := policy
	promised.KeepAge = min(policy.KeepAge, now.Sub(since(t, newer)), now.Sub(since(t, older)))
	for _, calls := range []int{rapid.IntRange(0, 12).Draw(t, "calls before a crash"), -1} {
		applyTo(t, newer, result, calls)
		check(t, newer, true, promised, now, result.Keep)
		check(t, older, false, promised, now, result.Keep)
		verified(t, newer.Archive)
	}
	again := plan(t, newer.Archive, policy, now)
	for _, removal := range again.Remove {
		t.Fatalf("still to remove: %+v", removal)
	}
	if len(again.Marks) > 0 || !slices.EqualFunc(result.Keep, again.Keep, func(a, b prune.Kept) bool { return a.Base.Name() == b.Base.Name() }) {
		t.Fatalf("planned %+v, then %+v", result, again)
	}
}

// since is the time from which on everything is there: that of the base after the last pruned block. For a timeline
// whose end is pruned it is that end.
func since(t *rapid.T, w *archivetest.Written) time.Time {
	t.Helper()
	c, err := w.Archive.Catalog(context.Background(), w.Timeline)
	if err != nil {
		t.Fatal(err)
	}
	at := w.Began
	for _, mark := range c.Pruned {
		block := min(mark.Last, int64(len(w.Blocks)))
		at = w.Blocks[block-1].To
		if mark.Last == backup.BlockMax {
			at = at.Add(time.Millisecond)
		}
	}
	if len(c.Bases) == 0 {
		return w.Blocks[len(w.Blocks)-1].To.Add(time.Millisecond)
	}
	return at
}
