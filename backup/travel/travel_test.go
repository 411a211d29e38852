package travel_test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/archivetest"
	"github.com/tierd/tierd/backup/travel"
	"github.com/tierd/tierd/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func catalog(t *rapid.T, w *archivetest.Written) *backup.Catalog {
	t.Helper()
	c, err := w.Archive.Catalog(context.Background(), w.Timeline)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func plan(t *rapid.T, w *archivetest.Written, c *backup.Catalog, revision router.Revision) backup.Plan {
	t.Helper()
	plan, err := w.Archive.Plan(context.Background(), c, backup.Target{Revision: revision})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func drawRevision(t *rapid.T, w *archivetest.Written, low router.Revision, name string) router.Revision {
	return router.Revision(rapid.Int64Range(int64(low), int64(w.End())).Draw(t, name))
}

func drawKeys(t *rapid.T) travel.Keys {
	key := rapid.SampledFrom([]string{"", "key-", "key-0", "key-1-3", "none"}).Draw(t, "keys")
	return travel.Keys{Key: []byte(key), Prefix: key != "key-1-3"}
}

// chosen are the keys of a state.
func chosen(s *archivetest.State, keys travel.Keys) map[string]*mvccpb.KeyValue {
	found := maps.Clone(s.Live)
	maps.DeleteFunc(found, func(key string, _ *mvccpb.KeyValue) bool {
		return !bytes.HasPrefix([]byte(key), keys.Key) || !keys.Prefix && key != string(keys.Key)
	})
	return found
}

func same(got *travel.KeyValue, want *mvccpb.KeyValue) bool {
	if got == nil || want == nil {
		return got == nil && want == nil
	}
	return bytes.Equal(got.Key, want.Key) && bytes.Equal(got.Value, want.Value) && int64(got.Create) == want.CreateRevision &&
		int64(got.Mod) == want.ModRevision && got.Version == want.Version && got.Lease == want.Lease
}

func TestGet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := archivetest.Write(t, archivetest.DrawModel(t, 10))
		at, keys := drawRevision(t, w, w.Start, "at"), drawKeys(t)
		found, _, err := travel.Get(context.Background(), w.Archive, plan(t, w, catalog(t, w), at), keys)
		if err != nil {
			t.Fatal(err)
		}
		want := chosen(w.At(at, backup.BlockMax), keys)
		for i := range found {
			if !same(&found[i], want[string(found[i].Key)]) || i > 0 && bytes.Compare(found[i-1].Key, found[i].Key) >= 0 {
				t.Fatalf("%v, want %v", found, want)
			}
		}
		if len(found) != len(want) {
			t.Fatalf("%v, want %v", found, want)
		}
	})
}

// The differences are those of the two states, whether or not the log between them is there.
func TestDiff(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := archivetest.Write(t, archivetest.DrawModel(t, 10))
		c, keys := catalog(t, w), drawKeys(t)
		from := drawRevision(t, w, w.Start, "from")
		to := drawRevision(t, w, from, "to")
		before, after := plan(t, w, c, from), plan(t, w, c, to)
		if rapid.Bool().Draw(t, "as if the log were interrupted") {
			gone := *c
			gone.Bases = nil
			c = &gone
		}
		found, err := travel.Diff(context.Background(), w.Archive, c, before, after, keys)
		if err != nil {
			t.Fatal(err)
		}
		checkChanges(t, found, chosen(w.At(from, backup.BlockMax), keys), chosen(w.At(to, backup.BlockMax), keys), func(a, b *mvccpb.KeyValue) bool {
			return a.ModRevision == b.ModRevision
		})
	})
}

// checkChanges compares changes with those between two states.
func checkChanges(t *rapid.T, found []travel.Change, before, after map[string]*mvccpb.KeyValue, equal func(a, b *mvccpb.KeyValue) bool) {
	t.Helper()
	want := make(map[string]bool)
	for key, a := range before {
		b := after[key]
		want[key] = b == nil || !equal(a, b)
	}
	for key := range after {
		if before[key] == nil {
			want[key] = true
		}
	}
	maps.DeleteFunc(want, func(_ string, differs bool) bool { return !differs })
	for i, change := range found {
		if !want[string(change.Key)] || !same(change.Old, before[string(change.Key)]) || !same(change.New, after[string(change.Key)]) || i > 0 && bytes.Compare(found[i-1].Key, change.Key) >= 0 {
			t.Fatalf("change %d is %+v, from %v to %v", i, change, before, after)
		}
	}
	if len(found) != len(want) {
		t.Fatalf("%d changes, want %v", len(found), want)
	}
}

// All versions of a key that were ever written come, each once and with a time after which nothing older was there.
func TestHistory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := archivetest.Write(t, archivetest.DrawModel(t, 10))
		key, from := []byte("key-0-1"), drawRevision(t, w, w.Start, "from")
		var got []travel.Past
		err := travel.History(context.Background(), w.Archive, catalog(t, w), key, from, func(p travel.Past) error {
			got = append(got, p)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var want []router.Version
		for _, b := range w.Blocks {
			for _, it := range b.Items {
				if it.Kind == backup.KindChange && it.Revision >= from && bytes.Equal(it.Version.KV.Key, key) {
					want = append(want, it.Version)
				}
			}
		}
		// Of what was before the archive, that is there which its first base has.
		got = slices.DeleteFunc(got, func(p travel.Past) bool { return p.Mod <= w.Start })
		want = slices.DeleteFunc(want, func(v router.Version) bool { return v.Main <= w.Start })
		if len(got) != len(want) {
			t.Fatalf("%d versions, want %d:\n%+v", len(got), len(want), got)
		}
		for i, p := range got {
			if p.Gap || p.Deleted != want[i].Tombstone || p.Mod != want[i].Main || !p.Deleted && !same(&p.KeyValue, want[i].KV) {
				t.Fatalf("version %d is %+v, want %+v", i, p, want[i])
			}
			if !p.Older && w.RevisionAt(p.Time) < p.Mod {
				t.Fatalf("revision %d was not there at %v", p.Mod, p.Time)
			}
		}
	})
}

// What happened in a gap of the archive cannot be known, but that the key was gone behind it.
func TestHistoryOverGap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := archivetest.Write(t, archivetest.DrawModel(t, 10))
		c, key := catalog(t, w), []byte("key-0-1")
		if len(c.Bases) < 2 {
			return
		}
		second := c.Bases[len(c.Bases)-1]
		gone := *c
		gone.Bases = []backup.Base{c.Bases[0], second}
		gone.Log = slices.DeleteFunc(slices.Clone(c.Log), func(s backup.Stretch) bool { return s.LastBlock <= second.Block })
		var got []travel.Past
		err := travel.History(context.Background(), w.Archive, &gone, key, 0, func(p travel.Past) error {
			got = append(got, p)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var last *travel.Past
		for i := range got {
			if i > 0 && got[i].Mod <= got[i-1].Mod {
				t.Fatalf("out of order: %+v", got)
			}
			last = &got[i]
		}
		live := w.At(w.End(), backup.BlockMax).Live[string(key)]
		switch {
		case live != nil && (last == nil || last.Deleted || int64(last.Mod) != live.ModRevision):
			t.Fatalf("it is alive as %v, and the history ends with %+v", live, last)
		case live == nil && last != nil && !last.Deleted:
			t.Fatalf("it is gone, and the history ends with %+v", last)
		}
	})
}

// To write back what Back finds makes the values those of that moment.
func TestBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := archivetest.Write(t, archivetest.DrawModel(t, 10))
		at, now, keys := drawRevision(t, w, w.Start, "at"), drawRevision(t, w, w.Start, "now"), drawKeys(t)
		present := chosen(w.At(now, backup.BlockMax), keys)
		live := func(_ context.Context, yield func(travel.KeyValue) error) error {
			for _, kv := range present {
				err := yield(travel.KeyValue{Key: kv.Key, Value: kv.Value, Create: router.Revision(kv.CreateRevision), Mod: router.Revision(kv.ModRevision),
					Version: kv.Version, Lease: kv.Lease})
				if err != nil {
					return err
				}
			}
			return nil
		}
		found, err := travel.Back(context.Background(), w.Archive, plan(t, w, catalog(t, w), at), keys, live)
		if err != nil {
			t.Fatal(err)
		}
		checkChanges(t, found, present, chosen(w.At(at, backup.BlockMax), keys), func(a, b *mvccpb.KeyValue) bool { return bytes.Equal(a.Value, b.Value) })
	})
}
