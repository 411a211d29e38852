package verify_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/archivetest"
	"github.com/tierd/tierd/backup/verify"
	"github.com/tierd/tierd/tiers/object"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func report(t *rapid.T, a *backup.Archive, quick bool) verify.Report {
	t.Helper()
	r, err := verify.Verify(context.Background(), a, verify.Options{Quick: quick})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What an archiver writes is OK; one object of it altered, cut, exchanged with another or
// missing is a failure that names it.
func TestDamageIsFoundByName(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := archivetest.Write(t, archivetest.DrawModel(t, 8))
		for _, quick := range []bool{true, false} {
			if r := report(t, w.Archive, quick); r.Status != verify.OK {
				t.Fatalf("undamaged, quick %v: %+v", quick, r)
			}
		}
		names := w.Store.Names()
		name := rapid.SampledFrom(names).Draw(t, "object")
		body := bytes.Clone(w.Store.Get(name))
		var others []string
		kind := rapid.IntRange(0, 3).Draw(t, "damage")
		switch kind {
		case 0:
			body[rapid.IntRange(0, len(body)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
			w.Store.Put(name, body)
		case 1:
			w.Store.Put(name, body[:rapid.IntRange(0, len(body)-1).Draw(t, "length")])
		case 2:
			other := rapid.SampledFrom(names).Filter(func(o string) bool { return o != name }).Draw(t, "other")
			w.Store.Put(name, w.Store.Get(other))
			w.Store.Put(other, body)
			others = append(others, other)
		default:
			if err := w.Store.Remove(context.Background(), name); err != nil {
				t.Fatal(err)
			}
			if !noticed(w, name) {
				return
			}
		}
		r := report(t, w.Archive, false)
		for _, damaged := range append(others, name) {
			if r.Status != verify.Failure || !named(r, damaged) {
				t.Fatalf("damage %d of %s: %+v", kind, damaged, r)
			}
		}
	})
}

// noticed tells whether the bucket tells of an object that is not in it any more: not of what came last, of a
// claim, or of a base that the log goes past.
func noticed(w *archivetest.Written, name string) bool {
	last := w.Blocks[len(w.Blocks)-1].Number
	switch {
	case strings.Contains(name, "/epochs/"):
		return false
	case strings.Contains(name, "/base/"):
		return strings.Contains(name, "/base/"+backup.BlockName(0))
	default:
		// Of the last blocks a base may tell.
		return !strings.Contains(name, "-"+backup.BlockName(last)+"-") || slices.Contains(w.Bases, last)
	}
}

// named tells whether a failure names an object, or, of a missing one, its beginning.
func named(r verify.Report, name string) bool {
	for _, timeline := range r.Timelines {
		for _, problem := range timeline.Problems {
			if problem.Status == verify.Failure && strings.HasPrefix(name, problem.Object) {
				return true
			}
		}
	}
	return false
}

// A block of one log in the place of that of another one, sealed as it should be, is found by the chain.
func TestAnotherLogIsFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := archivetest.DrawModel(t, 8)
		w := archivetest.Write(t, m)
		number := int64(rapid.IntRange(1, len(m.Blocks)).Draw(t, "block"))
		c, err := w.Archive.Catalog(context.Background(), w.Timeline)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range c.Log {
			if s.FirstBlock != number || s.LastBlock != number {
				continue
			}
			if err := w.Archive.Remove(context.Background(), s.Segment.Name()); err != nil {
				t.Fatal(err)
			}
			if _, _, err := w.Archive.WriteBlock(context.Background(), w.Timeline, 1, backup.Chain{1}, m.Blocks[number-1]); err != nil {
				t.Fatal(err)
			}
			if r := report(t, w.Archive, false); r.Status != verify.Failure {
				t.Fatalf("block %d of another log: %+v", number, r)
			}
		}
	})
}

// A gap that the archiver has declared is a warning; quick cannot tell it from a loss.
func TestDeclaredGapsAndLeftOvers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := archivetest.DrawModel(t, 4)
		w := archivetest.Write(t, m)
		ctx := context.Background()
		last := m.Blocks[len(m.Blocks)-1]
		head := backup.BaseHead{Block: last.Number + 1, Revision: last.Last + 10, Compacted: -1, Time: last.To.Add(time.Second), Begins: true}
		if _, err := w.Archive.WriteBase(ctx, w.Timeline, 1, head, func(func(backup.Item) error) error { return nil }); err != nil {
			t.Fatal(err)
		}
		after := backup.Block{Number: head.Block + 1, First: head.Revision + 1, Last: head.Revision, From: head.Time, To: head.Time}
		if _, _, err := w.Archive.WriteBlock(ctx, w.Timeline, 1, backup.Beginning(w.Timeline, head.Block, head.Revision), after); err != nil {
			t.Fatal(err)
		}
		for _, quick := range []bool{true, false} {
			if r := report(t, w.Archive, quick); r.Status != verify.Warning {
				t.Fatalf("a declared gap, quick %v: %+v", quick, r)
			}
		}
		// The epoch after claims less: that block is void. Another claims more than there is.
		if err := w.Archive.ClaimEpoch(ctx, w.Timeline, 2, after.Number, head.Time); err != nil {
			t.Fatal(err)
		}
		if r := report(t, w.Archive, false); r.Status != verify.Warning || !strings.Contains(fmt.Sprint(r), "void") {
			t.Fatalf("a void block: %+v", r)
		}
		if err := w.Archive.ClaimEpoch(ctx, w.Timeline, 3, after.Number+2, head.Time); err != nil {
			t.Fatal(err)
		}
		if r := report(t, w.Archive, true); r.Status != verify.Failure {
			t.Fatalf("blocks that a claim tells of: %+v", r)
		}
	})
}

// A store that cannot be reached says nothing of the archive; what is merged meanwhile is found.
func TestStoreAndMerges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := archivetest.Write(t, archivetest.DrawModel(t, 8))
		c, err := w.Archive.Catalog(context.Background(), w.Timeline)
		if err != nil {
			t.Fatal(err)
		}
		var segments []backup.Segment
		for _, s := range c.Log {
			segments = append(segments, s.Segment)
		}
		merged := len(segments) < 2
		w.Store.Before = func(call, name string) error {
			if call == "open" && !merged {
				merged = true
				_, err := w.Archive.Merge(context.Background(), w.Timeline, 1, segments)
				return err
			}
			return nil
		}
		if r, err := verify.Verify(context.Background(), w.Archive, verify.Options{Parallel: 1}); err != nil || r.Status != verify.OK {
			t.Fatalf("merged meanwhile: %v, %+v", err, r)
		}
		w.Store.Before = func(string, string) error { return object.ErrUnavailable }
		if _, err := verify.Verify(context.Background(), w.Archive, verify.Options{}); err == nil {
			t.Fatal("an unreachable store was verified")
		}
	})
}
