package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/archivetest"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/object"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// read reads a target into a state, the way a restore does.
func read(t *rapid.T, a *backup.Archive, timeline backup.Timeline, target backup.Target) (backup.Plan, *archivetest.State, backup.End) {
	t.Helper()
	ctx := context.Background()
	c, err := a.Catalog(ctx, timeline)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := a.Plan(ctx, c, target)
	if err != nil {
		t.Fatalf("plan %+v: %v", target, err)
	}
	state := archivetest.NewState()
	end, err := a.Read(ctx, plan, func(it backup.Item) error {
		if it.Revision > plan.Revision {
			return fmt.Errorf("an item of revision %d was read", it.Revision)
		}
		if it.Kind == backup.KindChange {
			state.Apply(&it)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("read %+v: %v", target, err)
	}
	for _, lease := range end.Leases {
		state.Leases[lease.ID] = lease.GrantedTTL
	}
	state.Compacted, state.Auth = end.Compacted, end.Auth
	return plan, state, end
}

// Any log, divided into blocks in any way, with bases and merges anywhere, reads as what was written, at any
// revision and at any time.
func TestReadsWhatWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := archivetest.Write(t, archivetest.DrawModel(t, 12))
		for range 4 {
			revision := router.Revision(rapid.Int64Range(int64(w.Start), int64(w.End())).Draw(t, "revision"))
			plan, state, end := read(t, w.Archive, w.Timeline, backup.Target{Revision: revision})
			if got, want := state.Text(), w.At(revision, backup.BlockMax).Text(); got != want || end.Revision != revision {
				t.Fatalf("at revision %d from %s there is\n%s, not\n%s", revision, plan.Base.Name(), got, want)
			}
			if known := w.RevisionAt(plan.Time); known < revision {
				t.Fatalf("revision %d is said to be of %v, when the keyspace was at %d", revision, plan.Time, known)
			}
		}
		for range 4 {
			last := w.Blocks[len(w.Blocks)-1].To
			at := w.Began.Add(time.Duration(rapid.Int64Range(0, last.Sub(w.Began).Milliseconds()).Draw(t, "time")) * time.Millisecond)
			plan, state, _ := read(t, w.Archive, w.Timeline, backup.Target{Time: at})
			revision := w.RevisionAt(at)
			if got, want := state.Text(), w.At(revision, backup.BlockMax).Text(); plan.Revision != revision || got != want || plan.Time.After(at) {
				t.Fatalf("at %v there is revision %d of %v\n%s, not revision %d\n%s", at, plan.Revision, plan.Time, got, revision, want)
			}
		}
		plan, state, _ := read(t, w.Archive, w.Timeline, backup.Target{})
		if got, want := state.Text(), w.At(w.End(), backup.BlockMax).Text(); plan.Revision != w.End() || got != want {
			t.Fatalf("the latest is revision %d\n%s, not %d\n%s", plan.Revision, got, w.End(), want)
		}
	})
}

// The whole log has every change ever made, whatever was compacted.
func TestReadLogHasEverything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := archivetest.Write(t, archivetest.DrawModel(t, 8))
		c, err := w.Archive.Catalog(context.Background(), w.Timeline)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		bases := 0
		end, err := w.Archive.ReadLog(context.Background(), c, backup.LogRange{}, backup.LogVisit{
			Begin: func(backup.Base) error { bases++; return nil },
			Item: func(it backup.Item) error {
				if it.Revision > w.Start {
					got = append(got, text(&it))
				}
				return nil
			},
		})
		if err != nil || bases != 1 || end.Revision != w.End() {
			t.Fatalf("%d bases, end %+v, %v", bases, end, err)
		}
		for _, b := range w.Blocks {
			for _, it := range b.Items {
				if it.Revision > w.Start {
					want = append(want, text(&it))
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("read %q, not %q", got, want)
		}
	})
}

func text(it *backup.Item) string {
	line := fmt.Sprintf("%d %d lease %d/%d compacted %d time %d", it.Kind, it.Revision, it.Lease, it.TTLSeconds, it.Compacted, it.Time.UnixMilli())
	if kv := it.Version.KV; kv != nil {
		line += fmt.Sprintf(" %d/%d %v %q=%x %d %d %d %x", it.Version.Main, it.Version.Sub, it.Version.Tombstone,
			kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease)
	}
	return line
}

// fixture is a small archive: a block per second, one change each, a base of block 0.
type fixture struct {
	store    *archivetest.Store
	archive  *backup.Archive
	timeline backup.Timeline
	began    time.Time
	chain    backup.Chain
	segments []backup.Segment
}

func newFixture(t *testing.T, blocks int) *fixture {
	t.Helper()
	began := time.UnixMilli(1_700_000_000_000)
	f := &fixture{store: archivetest.NewStore(), began: began, timeline: backup.Timeline{Keyspace: "k", Began: began, Cluster: 1}}
	f.archive = backup.New(f.store, archivetest.Sealer{}, "k")
	f.chain = backup.Genesis(f.timeline)
	backup.SetPause(f.archive, 0)
	f.claim(t, 1, 1)
	f.base(t, 1, 0, 1)
	for number := range blocks {
		f.write(t, 1, int64(number+1))
	}
	return f
}

func (f *fixture) claim(t *testing.T, epoch, first int64) {
	t.Helper()
	if err := f.archive.ClaimEpoch(context.Background(), f.timeline, epoch, first, f.began); err != nil {
		t.Fatal(err)
	}
}

// base writes a base without anything in it, which only tells where reading begins.
func (f *fixture) base(t *testing.T, epoch, block int64, revision router.Revision) backup.Base {
	t.Helper()
	head := backup.BaseHead{Block: block, Revision: revision, Compacted: revision, Time: f.began.Add(time.Duration(block) * time.Second), Chain: f.chain, Begins: block == 0}
	b, err := f.archive.WriteBase(context.Background(), f.timeline, epoch, head, func(func(backup.Item) error) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// write writes the block of a number, whose one change is the revision above it. The value says the epoch.
func (f *fixture) write(t *testing.T, epoch, number int64) backup.Segment {
	t.Helper()
	s, after, err := f.archive.WriteBlock(context.Background(), f.timeline, epoch, f.chain, f.block(epoch, number))
	if err != nil {
		t.Fatal(err)
	}
	f.chain = after
	f.segments = append(f.segments, s)
	return s
}

func (f *fixture) block(epoch, number int64) backup.Block {
	return backup.Block{
		Number: number, First: router.Revision(number + 1), Last: router.Revision(number + 1),
		From: f.began.Add(time.Duration(number-1) * time.Second), To: f.began.Add(time.Duration(number) * time.Second),
		Items: []backup.Item{put(router.Revision(number+1), fmt.Sprintf("epoch %d", epoch))},
	}
}

func (f *fixture) catalog(t *testing.T) *backup.Catalog {
	t.Helper()
	c, err := f.archive.Catalog(context.Background(), f.timeline)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// values reads a revision, and returns the values of its changes.
func (f *fixture) values(t *testing.T, revision router.Revision) (values []string, err error) {
	t.Helper()
	plan, err := f.archive.Plan(context.Background(), f.catalog(t), backup.Target{Revision: revision})
	if err != nil {
		return nil, err
	}
	_, err = f.archive.Read(context.Background(), plan, func(it backup.Item) error {
		values = append(values, string(it.Version.KV.Value))
		return nil
	})
	return values, err
}

// An archiver that was replaced and does not know it writes blocks, merges some with older ones, and makes a base: all
// of it is void, but for the older blocks, even though their only copy is in its segment now.
func TestReplacedArchiverIsVoid(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 6)
	before := f.chain
	outdated := f.write(t, 1, 7)
	f.base(t, 1, 7, 8)
	f.claim(t, 2, 7)
	if _, err := f.archive.Merge(context.Background(), f.timeline, 1, f.segments[3:7]); err != nil {
		t.Fatal(err)
	}
	c := f.catalog(t)
	if _, revision, at := c.End(); revision != 7 || !at.Equal(f.began.Add(6*time.Second)) || len(c.VoidBases) != 1 {
		t.Fatalf("the archive ends at revision %d of %v, void %v", revision, at, c.VoidBases)
	}
	f.chain = before
	f.write(t, 2, 7)
	f.write(t, 2, 8)
	f.store.Put(outdated.Name(), nil) // A copy that comes late; nobody reads it.
	values, err := f.values(t, 9)
	if want := strings.Repeat("epoch 1,", 6) + "epoch 2,epoch 2"; err != nil || strings.Join(values, ",") != want {
		t.Fatalf("read %q, %v", values, err)
	}
	c = f.catalog(t)
	if len(c.VoidSegments) != 1 || len(c.Gaps) != 0 || len(c.Superfluous) != 0 {
		t.Fatalf("void %v, gaps %v, superfluous %v", c.VoidSegments, c.Gaps, c.Superfluous)
	}
}

// Merges by two archivers may overlap, and sources may be left over.
func TestSegmentsMayOverlap(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 9)
	left := f.store.Get(f.segments[1].Name())
	crossing := f.segments[4:8]
	bodies := make([][]byte, len(crossing))
	for i, s := range crossing {
		bodies[i] = f.store.Get(s.Name())
	}
	merge := func(epoch int64, of []backup.Segment) {
		if _, err := f.archive.Merge(context.Background(), f.timeline, epoch, of); err != nil {
			t.Fatal(err)
		}
	}
	merge(1, crossing)
	for i, s := range crossing {
		f.store.Put(s.Name(), bodies[i])
	}
	merge(2, f.segments[:6])
	f.store.Put(f.segments[1].Name(), left)
	c := f.catalog(t)
	// Blocks 7 and 8 are in the merged 5-8 and have been put back: superfluous, as is 2.
	if len(c.Log) != 3 || c.Log[1].FirstBlock != 7 || c.Log[1].First != 8 || len(c.Superfluous) != 3 || len(c.Gaps) != 0 {
		t.Fatalf("the log is %+v, superfluous %v", c.Log, c.Superfluous)
	}
	if values, err := f.values(t, 10); err != nil || len(values) != 9 {
		t.Fatalf("read %q, %v", values, err)
	}
}

// What is merged while it is read is found where it went.
func TestReadFollowsMerges(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 20)
	ctx := context.Background()
	plan, err := f.archive.Plan(ctx, f.catalog(t), backup.Target{})
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	_, err = f.archive.Read(ctx, plan, func(backup.Item) error {
		if count++; count == 1 {
			_, err := f.archive.Merge(ctx, f.timeline, 1, f.segments[8:])
			return err
		}
		return nil
	})
	if err != nil || count != 20 {
		t.Fatalf("%d changes, %v", count, err)
	}
}

// A lost reply to a store is found out, and content that is another's is not taken for one's own.
func TestUnknownOutcomes(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, carriedOut := range []bool{true, false} {
		f := newFixture(t, 3)
		failures := 2
		lose := func(call, name string) error {
			if call != "create" || failures == 0 {
				return nil
			}
			failures--
			return fmt.Errorf("create: %w", object.ErrUnknown)
		}
		if carriedOut {
			f.store.After = lose
		} else {
			f.store.Before = lose
		}
		f.write(t, 1, 4)
		if _, _, err := f.archive.WriteBlock(ctx, f.timeline, 1, backup.Chain{1}, f.block(1, 4)); !errors.Is(err, object.ErrExists) {
			t.Fatalf("another block of that name: %v", err)
		}
		failures = 1
		if _, err := f.archive.Merge(ctx, f.timeline, 1, f.segments); carriedOut != (err == nil) || err != nil && !errors.Is(err, object.ErrUnknown) {
			t.Fatalf("carried out %v, merged: %v", carriedOut, err)
		}
		if values, err := f.values(t, 5); err != nil || len(values) != 4 {
			t.Fatalf("read %q, %v", values, err)
		}
	}
}

// An epoch is claimed once, and never after a higher one.
func TestClaims(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2)
	f.claim(t, 5, 3)
	f.claim(t, 5, 3) // The same again is the same.
	for _, epoch := range []int64{4, 5} {
		if err := f.archive.ClaimEpoch(context.Background(), f.timeline, epoch, 2, f.began); !errors.Is(err, object.ErrExists) {
			t.Fatalf("epoch %d: %v", epoch, err)
		}
	}
	timelines, err := f.archive.Timelines(context.Background())
	if err != nil || len(timelines) != 1 || timelines[0].ID() != f.timeline.ID() {
		t.Fatalf("timelines %v, %v", timelines, err)
	}
}

// What the archive does not have is refused in a sentence that says what it has.
func TestOutside(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 8)
	f.store.Remove(context.Background(), f.segments[3].Name())
	f.chain = backup.GapGenesis(f.timeline, 9, 20)
	head := backup.BaseHead{Block: 9, Revision: 20, Compacted: -1, Time: f.began.Add(20 * time.Second), Begins: true}
	if _, err := f.archive.WriteBase(context.Background(), f.timeline, 1, head, func(func(backup.Item) error) error { return nil }); err != nil {
		t.Fatal(err)
	}
	c := f.catalog(t)
	for want, target := range map[string]backup.Target{
		"before the first base": {Time: f.began.Add(-time.Second)},
		"revision 5 is in a gap of the archive, which lies between revision 4 (2023-11-14T22:13:23.000Z) and revision 20": {Revision: 5},
		"time 2023-11-14T22:13:24.000Z is in a gap":                                        {Time: f.began.Add(4 * time.Second)},
		"after the end of the archive, which is at revision 20 (2023-11-14T22:13:40.000Z)": {Revision: 21},
		"the time 2023-11-14T22:13:40.001Z is after the end of the archive":                {Time: f.began.Add(20*time.Second + time.Millisecond)},
	} {
		_, err := f.archive.Plan(context.Background(), c, target)
		if !errors.Is(err, backup.ErrOutside) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, not %q", target, err, want)
		}
	}
	if plan, err := f.archive.Plan(context.Background(), c, backup.Target{}); err != nil || plan.Revision != 20 || plan.Segments != 0 {
		t.Errorf("latest: %+v, %v", plan, err)
	}
}

// An altered, swapped or truncated object is found by name.
func TestDamageIsNamed(t *testing.T) {
	t.Parallel()
	for _, damage := range []func(*fixture, string, []byte) []byte{
		func(_ *fixture, _ string, body []byte) []byte { body[len(body)/2] ^= 1; return body },
		func(_ *fixture, _ string, body []byte) []byte { return body[:len(body)-1] },
		func(f *fixture, _ string, _ []byte) []byte { return f.store.Get(f.segments[0].Name()) },
		func(f *fixture, name string, _ []byte) []byte {
			return reseal(f.store.Get(f.segments[0].Name()), f.segments[0].Name(), name)
		},
	} {
		f := newFixture(t, 5)
		name := f.segments[3].Name()
		f.store.Put(name, damage(f, name, bytes.Clone(f.store.Get(name))))
		_, err := f.values(t, 6)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("read: %v", err)
		}
	}
}

// A block that belongs to another log, sealed and named as it should be, is refused: the chain says so.
func TestReadChecksTheChain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 5)
	if err := f.archive.Remove(context.Background(), f.segments[2].Name()); err != nil {
		t.Fatal(err)
	}
	f.chain = backup.Chain{1}
	name := f.write(t, 1, 3).Name()
	if _, err := f.values(t, 6); !errors.Is(err, backup.ErrFormat) || !strings.Contains(err.Error(), name) {
		t.Fatalf("read: %v", err)
	}
}

// breaking is a store whose transfers break after some bytes each.
type breaking struct {
	*archivetest.Store
	bytes, opened int
}

// Open implements object.Store.
func (s *breaking) Open(ctx context.Context, name string, from int64) (io.ReadCloser, error) {
	s.opened++
	body, err := s.Store.Open(ctx, name, from)
	if err != nil {
		return nil, err
	}
	broken := io.MultiReader(io.LimitReader(body, int64(s.bytes)), iotest.ErrReader(io.ErrUnexpectedEOF))
	return struct {
		io.Reader
		io.Closer
	}{broken, body}, nil
}

// A transfer that breaks is gone on with where it was, a bounded number of times.
func TestBrokenTransfersGoOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	size := len(f.store.Get(f.segments[0].Name()))
	for part, whole := range map[int]bool{size/3 + 1: true, size / 10: false} {
		store := &breaking{Store: f.store, bytes: part}
		archive := backup.New(store, archivetest.Sealer{}, "k")
		backup.SetPause(archive, 0)
		check, err := archive.CheckSegment(context.Background(), f.segments[0])
		if (err == nil) != whole || whole && check.Items != 1 || !whole && !errors.Is(err, archivetest.ErrAltered) {
			t.Errorf("in parts of %d of %d bytes, opened %d times: %+v, %v", part, size, store.opened, check, err)
		}
	}
}

// The claim with the lowest block counts, whatever later ones say.
func TestClaimsAddUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 6)
	f.claim(t, 2, 4)
	f.claim(t, 3, 6)
	c := f.catalog(t)
	if block, _, _ := c.End(); block != 3 || len(c.VoidSegments) != 3 {
		t.Fatalf("the log ends with block %d, void %v", block, c.VoidSegments)
	}
}

// The whole log begins anew behind a gap, at a base; a part of it begins at the base before it.
func TestReadLogOverGaps(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 6)
	f.base(t, 1, 6, 7)
	ctx := context.Background()
	head := backup.BaseHead{Block: 7, Revision: 30, Compacted: -1, Time: f.began.Add(30 * time.Second), Begins: true}
	if _, err := f.archive.WriteBase(ctx, f.timeline, 1, head, func(func(backup.Item) error) error { return nil }); err != nil {
		t.Fatal(err)
	}
	after := backup.Block{Number: 8, First: 31, Last: 31, From: head.Time, To: head.Time, Items: []backup.Item{put(31, "behind")}}
	if _, _, err := f.archive.WriteBlock(ctx, f.timeline, 1, backup.GapGenesis(f.timeline, 7, 30), after); err != nil {
		t.Fatal(err)
	}
	for want, part := range map[string]backup.LogRange{
		"base 1 2 3 4 5 6 7 base 30 31": {},
		"base 1 2 3 4":                  {To: 4},
		"base 7 base 30 31":             {From: 8},
		"base 30 31":                    {From: 31},
	} {
		got := ""
		end, err := f.archive.ReadLog(ctx, f.catalog(t), part, backup.LogVisit{
			Begin: func(b backup.Base) error { got += fmt.Sprintf(" base %d", b.Revision); return nil },
			Item:  func(it backup.Item) error { got += fmt.Sprintf(" %d", it.Revision); return nil },
		})
		if err != nil || got != " "+want || part.To != 0 && end.Revision != part.To {
			t.Errorf("%+v: read%s, not %s; end %+v, %v", part, got, want, end, err)
		}
	}
}

// An archive that has only its first base is restored to that.
func TestOnlyTheFirstBase(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	plan, err := f.archive.Plan(context.Background(), f.catalog(t), backup.Target{})
	if err != nil || plan.Revision != 1 || !plan.Time.Equal(f.began) {
		t.Fatalf("%+v, %v", plan, err)
	}
	if end, err := f.archive.Read(context.Background(), plan, nil); err != nil || end.Revision != 1 {
		t.Fatalf("%+v, %v", end, err)
	}
}
