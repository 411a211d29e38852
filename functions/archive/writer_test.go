package archive

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/archivetest"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/object"
)

// TestArchiveFollows: a base of what was there before, and a block for each stretch after it.
func TestArchiveFollows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("before")
	w.grant(1)
	writer := w.enter("a")
	w.archived(writer)
	w.whole()
	w.put("a", "b")
	w.grant(2)
	w.put("c")
	w.end(1)
	w.compact(2)
	w.archived(writer)
	w.whole()
	w.grant(3)
	w.archived(writer)
	w.whole()
	blocks := len(w.catalog().Log)
	w.mark()
	w.archived(writer) // that alone is not worth a block
	if got := w.catalog(); len(got.Log) != blocks || len(got.Bases) != 1 || len(got.Gaps) != 0 {
		t.Errorf("%d stretches, want %d; %d bases; gaps %v", len(got.Log), blocks, len(got.Bases), got.Gaps)
	}
}

// TestBlockIsStoredOnce: a block of which it is not known whether it was stored is not followed by another one of
// that number with more in it; a reader could not tell which of them the log goes on from.
func TestBlockIsStoredOnce(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*world) (mend func()){
		"stored, and reported failed": func(w *world) func() {
			away := func(failing string) func(string, string) error {
				return func(call, name string) error {
					if call == failing && strings.Contains(name, "/log/") {
						return object.ErrUnavailable
					}
					return nil
				}
			}
			w.store.Before, w.store.After = away("open"), away("create")
			return func() { w.store.Before, w.store.After = nil, nil }
		},
		"stored, and the progress not noted": func(w *world) func() {
			w.advance = func(router.ArchiveProgress) error { return errors.New("the hot tier is away") }
			return func() { w.advance = nil }
		},
		"progress noted, and reported failed": func(w *world) func() {
			w.advance = func(p router.ArchiveProgress) error {
				w.progress = p
				return errors.New("the reply was lost")
			}
			return func() { w.advance = nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			writer := w.enter("a")
			w.archived(writer)
			w.put("a")
			w.grant(1)
			mend := fail(w)
			for range 3 {
				if err := writer.catchUp(t.Context()); err == nil {
					t.Fatal("nothing has failed")
				}
				w.put("b")
				w.grant(w.revisionNumber())
			}
			mend()
			w.archived(writer)
			w.put("c")
			w.archived(writer)
			w.whole()
			c := w.catalog()
			if len(c.Superfluous) != 0 || len(c.Gaps) != 0 {
				t.Errorf("superfluous %v, gaps %v", c.Superfluous, c.Gaps)
			}
		})
	}
}

func (k *keyspace) revisionNumber() int64 { return int64(k.revision) }

// TestJournalInPages: what happened to leases is read in pages, and blocks that end between them are in order.
func TestJournalInPages(t *testing.T) {
	t.Parallel()
	for page := 1; page < 8; page++ {
		t.Run(fmt.Sprint(page), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			writer := w.enter("a")
			w.archived(writer)
			w.page = page
			for i := range int64(6) {
				w.put("a")
				w.grant(10 * i)
				w.grant(10*i + 1)
				w.put(fmt.Sprint(i))
				w.end(10 * i)
				w.mark()
			}
			w.archived(writer)
			w.whole()
			if len(w.catalog().Gaps) != 0 {
				t.Errorf("gaps %v", w.catalog().Gaps)
			}
		})
	}
}

// TestSmallBlocks: what does not fit in a block is in the next one, at once.
func TestSmallBlocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := w.enter("a")
	w.archived(writer)
	writer.s.SegmentBytes = 3
	for i := range int64(9) {
		w.put("a", "b")
		w.grant(i)
		w.mark()
	}
	w.archived(writer)
	w.whole()
	if n := len(w.catalog().Log); n < 9 {
		t.Errorf("%d segments", n)
	}
	// Each moment that was marked is found.
	c := w.catalog()
	for i := range 9 {
		at := archivetest.Began().Add(time.Duration(i+1) * time.Second)
		plan, err := w.archive.Plan(t.Context(), c, backup.Target{Time: at})
		if err != nil || plan.Revision != router.Revision(i+2) {
			t.Errorf("at second %d: revision %d, %v", i+1, plan.Revision, err)
		}
	}
}

// TestJournalLost: where the journal has lost entries, what there is then is stated.
func TestJournalLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.grant(1)
	writer := w.enter("a")
	w.archived(writer)
	for i := range int64(20) {
		w.put(fmt.Sprint(i))
		w.grant(i + 100)
		w.end(i + 99)
	}
	w.compact(5)
	w.forget(3)
	w.archived(writer)
	w.whole()
	w.put("later")
	w.end(119)
	w.archived(writer)
	w.whole()
}

// TestGap: where changes were dropped before they were archived, a base follows that says so.
func TestGap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := w.enter("a")
	w.archived(writer)
	w.put("a")
	w.archived(writer)
	w.put("b")
	w.put("c")
	w.dropped = w.revision - 1
	w.archived(writer)
	w.whole()
	w.put("d")
	w.archived(writer)
	w.whole()
	if c := w.catalog(); len(c.Gaps) != 1 || c.Gaps[0].Base != 1 {
		t.Errorf("gaps %+v", c.Gaps)
	}
}

// TestTakeOver: blocks that a writer stores after another has taken over are void.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.enter("a")
	w.archived(first)
	w.put("a")
	w.archived(first)
	w.put("b")
	page, err := w.Journal(t.Context(), "a", first.at.Journal)
	if err != nil {
		t.Fatal(err)
	}
	late, err := first.draft(t.Context(), page)
	if err != nil {
		t.Fatal(err)
	}
	w.token = "" // the role was not kept
	second := w.enter("b")
	w.put("c")
	w.archived(second)
	if _, _, err := w.archive.WriteBlock(t.Context(), first.timeline, first.epoch, first.at.Chain, late.block); err != nil {
		t.Fatal(err)
	}
	if err := first.catchUp(t.Context()); !errors.Is(err, router.ErrFenced) {
		t.Errorf("the first writer goes on: %v", err)
	}
	w.put("d")
	w.archived(second)
	w.whole()
	if c := w.catalog(); len(c.VoidSegments) != 1 || len(c.Gaps) != 0 {
		t.Errorf("void %v, gaps %v", c.VoidSegments, c.Gaps)
	}
}

// TestOtherPlace: an archive that does not have what the hot tier says it has (it was removed, or is
// another one) is begun again.
func TestOtherPlace(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*world){
		"an empty store": func(w *world) {
			w.store = archivetest.NewStore()
			w.archive = backup.New(w.store, archivetest.Sealer{}, name)
		},
		"without its last block": func(w *world) {
			names := w.store.Names()
			if err := w.archive.Remove(w.Context(), names[len(names)-1]); err != nil {
				w.Fatal(err)
			}
		},
		"without its bases": func(w *world) {
			for _, object := range w.store.Names() {
				if strings.Contains(object, "/base/") {
					if err := w.archive.Remove(w.Context(), object); err != nil {
						w.Fatal(err)
					}
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			first := w.enter("a")
			w.archived(first)
			w.put("a")
			w.archived(first)
			w.put("b")
			w.archived(first)
			spoil(w)
			w.token = ""
			second := w.enter("b")
			w.put("c")
			w.archived(second)
			w.put("d")
			w.archived(second)
			w.whole()
			if !strings.Contains(w.log.String(), "level=ERROR") {
				t.Error("nobody was told")
			}
		})
	}
}

// TestBaseDue: a base is not written again for less log than it has itself, however little is asked for.
func TestBaseDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 100 {
		w.put(fmt.Sprintf("key-%d", i))
	}
	writer := w.enter("a")
	writer.s.SnapshotLogBytes, writer.s.SnapshotAge = 1, 24*time.Hour
	w.archived(writer)
	bytes := 0
	for _, v := range w.versions {
		bytes += len(v.KV.Key) + len(v.KV.Value)
	}
	for logged := 0; logged < 2*bytes; {
		if writer.chores.baseDue(writer) {
			t.Fatalf("after %d bytes of log another base of %d is due", logged, bytes)
		}
		w.put("more")
		w.archived(writer)
		v := w.versions[len(w.versions)-1]
		logged += len(v.KV.Key) + len(v.KV.Value)
	}
	if !writer.chores.baseDue(writer) {
		t.Errorf("after %d bytes of log no base of %d is due", 2*bytes, bytes)
	}
}

// TestLostRedis: a hot tier that is behind its archive is not archived.
func TestLostRedis(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put("a")
	writer := w.enter("a")
	w.archived(writer)
	w.revision--
	if err := writer.catchUp(t.Context()); err == nil || !strings.Contains(err.Error(), "lost acknowledged writes") {
		t.Errorf("got %v", err)
	}
}

func TestWeave(t *testing.T) {
	t.Parallel()
	began := archivetest.Began()
	version := func(r router.Revision) router.Version { return router.Version{Main: r, KV: &mvccpb.KeyValue{}} }
	mark := func(r router.Revision, second int) router.JournalEntry {
		return router.JournalEntry{Kind: router.JournalMark, Revision: r, Time: began.Add(time.Duration(second) * time.Second)}
	}
	items := weave([]router.Version{version(5), version(5), version(6), version(8)},
		[]router.JournalEntry{mark(4, 1), mark(5, 3), mark(5, 2), mark(7, 4), mark(9, 5)}, began)
	var text []string
	for _, it := range items {
		if it.Kind == backup.KindMark {
			text = append(text, fmt.Sprintf("m%d@%d", it.Revision, it.Time.Sub(began)/time.Second))
		} else {
			text = append(text, fmt.Sprint(it.Revision))
		}
	}
	// The clock that fell back does not take time with it.
	if got, want := strings.Join(text, " "), "m4@1 5 5 m5@3 m5@3 6 m7@4 8 m9@5"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestBesideAt: the leases of a base are those that there were at the end of a block, whatever happened since. So
// are auth data; where they have changed since, there is no such base.
func TestBesideAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	writer := w.enter("a")
	for _, id := range []int64{1, 2, 3} {
		w.grant(id)
	}
	w.setAuth("user:b", "2")
	w.setAuth("user:a", "1")
	entry := int64(len(w.journal))
	w.page = 2
	w.end(1)
	w.grant(4)
	w.end(4)
	w.end(2)
	w.grant(2)
	w.grant(5)
	beside, err := writer.besideAt(t.Context(), entry)
	if err != nil {
		t.Fatal(err)
	}
	if want := []router.AuthField{{Name: "user:a", Value: []byte("1")}, {Name: "user:b", Value: []byte("2")}}; !cmp.Equal(beside.auth, want) {
		t.Errorf("auth data: %v", beside.auth)
	}
	var ids []int64
	for _, l := range beside.leases {
		if ids = append(ids, l.ID); l.GrantedTTL != 60 {
			t.Errorf("%+v", l)
		}
	}
	if fmt.Sprint(ids) != "[1 2 3]" {
		t.Errorf("%v", ids)
	}
	w.setAuth("user:a", "3")
	if _, err := writer.besideAt(t.Context(), entry); !errors.Is(err, errMoved) {
		t.Errorf("auth data that have changed since: %v", err)
	}
	w.forget(1)
	if _, err := writer.besideAt(t.Context(), entry); err == nil {
		t.Error("entries that are lost were not missed")
	}
}

func TestMergeable(t *testing.T) {
	t.Parallel()
	// segments makes adjacent ones of so many blocks and bytes each.
	segments := func(of ...[2]int64) (log []backup.Segment) {
		next := int64(1)
		for _, s := range of {
			log = append(log, backup.Segment{FirstBlock: next, LastBlock: next + s[0] - 1, Size: s[1]})
			next += s[0]
		}
		return log
	}
	repeat := func(n int, s [2]int64) (all [][2]int64) {
		for range n {
			all = append(all, s)
		}
		return all
	}
	one, tier1 := [2]int64{1, 10}, [2]int64{mergeFan, 100}
	for name, c := range map[string]struct {
		log     []backup.Segment
		from, n int
	}{
		"nothing":               {},
		"too few":               {log: segments(repeat(mergeFan-1, one)...)},
		"enough":                {log: segments(repeat(mergeFan+5, one)...), n: mergeFan},
		"behind larger ones":    {log: segments(append(repeat(3, tier1), repeat(mergeFan, one)...)...), from: 3, n: mergeFan},
		"the smallest first":    {log: segments(append(repeat(mergeFan, tier1), repeat(mergeFan, one)...)...), from: mergeFan, n: mergeFan},
		"larger ones":           {log: segments(append(repeat(mergeFan, tier1), repeat(3, one)...)...), n: mergeFan},
		"as many as fit":        {log: segments(repeat(30, [2]int64{1, mergeLarge - 1})...), n: 16},
		"large ones":            {log: segments(repeat(40, [2]int64{1, mergeLarge})...)},
		"small between large":   {log: segments(append(append(repeat(20, one), [2]int64{1, mergeLarge}), repeat(20, one)...)...)},
		"not over a larger one": {log: segments(append(append(repeat(20, one), tier1), repeat(20, one)...)...)},
	} {
		if from, n := mergeable(c.log); n != c.n || n > 0 && from != c.from {
			t.Errorf("%s: %d from %d, want %d from %d", name, n, from, c.n, c.from)
		}
	}
}
