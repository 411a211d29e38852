package restore_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/archivetest"
	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/backup/restore"
	"github.com/tierd/tierd/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place is where something is restored to, in memory.
type place struct {
	id       string
	floor    router.Revision
	versions []router.Version
	end      *router.RestoreEnd
	// breakAfter is after how many versions it fails; -1 for never.
	breakAfter int
}

var errBroken = errors.New("broken")

// begin behaves as router.Restore: what is there is gone on with, and not brought twice.
func (p *place) begin(_ context.Context, start router.RestoreStart) (restore.Restoration, error) {
	switch {
	case p.end != nil:
		return nil, router.ErrKeyspaceExists
	case p.id != "" && p.id != start.ID:
		return nil, &router.OtherRestore{ID: p.id}
	}
	p.id, p.floor = start.ID, start.Floor
	return &bringer{place: p, resumed: int64(len(p.versions))}, nil
}

type bringer struct {
	place       *place
	resumed, at int64
}

func (b *bringer) Resumed() int64 { return b.resumed }
func (b *bringer) Close()         {}
func (b *bringer) Add(_ context.Context, v router.Version) error {
	if b.place.breakAfter == int(b.at) {
		return errBroken
	}
	if b.at++; b.at > b.resumed {
		b.place.versions = append(b.place.versions, v)
	}
	return nil
}

func (b *bringer) End(_ context.Context, end router.RestoreEnd) error {
	b.place.end = &end
	return nil
}

// state is what was restored, as the model has it.
func (p *place) state() *archivetest.State {
	s := archivetest.NewState()
	for _, v := range p.versions {
		s.Apply(&backup.Item{Kind: backup.KindChange, Revision: v.Main, Version: v})
	}
	for _, lease := range p.end.Leases {
		s.Leases[lease.ID] = lease.GrantedTTL
	}
	s.Compacted = p.end.Compacted
	for name, value := range p.end.Auth {
		s.Auth[name] = value
	}
	return s
}

// number numbers what is there of a revision, as the hot tier does.
func (p *place) number() {
	for i, v := range p.versions {
		if v.Main >= p.floor {
			p.versions[i].Sub = 0
			if i > 0 && p.versions[i-1].Main == v.Main {
				p.versions[i].Sub = p.versions[i-1].Sub + 1
			}
		}
	}
}

// hash is HashKV of what was restored, by the definition of router.API.HashedHistory.
func (p *place) hash(t *rapid.T) uint32 {
	live := p.state().Live
	if len(live) == 0 {
		before := &place{end: p.end}
		for _, v := range p.versions {
			if v.Main <= p.end.Compacted {
				before.versions = append(before.versions, v)
			}
		}
		live = before.state().Live
	}
	hasher := etcdfile.NewHasher()
	for _, v := range p.versions {
		kept := live[string(v.KV.Key)]
		if v.Main > p.end.Compacted || !v.Tombstone && kept != nil && kept.ModRevision == int64(v.Main) {
			if err := hasher.Write(v); err != nil {
				t.Fatal(err)
			}
		}
	}
	return hasher.Sum()
}

func catalog(t *rapid.T, w *archivetest.Written) *backup.Catalog {
	t.Helper()
	c, err := w.Archive.Catalog(context.Background(), w.Timeline)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Whatever the archive and the target, and however often it breaks: what is restored is what the keyspace was.
func TestRestoresWhatWas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := archivetest.Write(t, archivetest.DrawModel(t, 10))
		c, ctx := catalog(t, w), context.Background()
		request := restore.Request{
			Target: backup.Target{Revision: router.Revision(rapid.Int64Range(int64(w.Start), int64(w.End())).Draw(t, "revision"))},
			Bump:   router.Revision(rapid.SampledFrom([]int64{0, 0, 1000}).Draw(t, "bump")),
		}
		p := &place{}
		var outcome restore.Outcome
		for {
			p.breakAfter = rapid.IntRange(-1, 20).Draw(t, "break after")
			plan, err := restore.New(ctx, w.Archive, c, request)
			if err != nil {
				t.Fatal(err)
			}
			outcome, err = restore.Run(ctx, w.Archive, c, plan, p.begin, new(restore.Meter))
			if err == nil {
				break
			}
			if !errors.Is(err, errBroken) {
				t.Fatal(err)
			}
		}
		want, got := w.At(request.Target.Revision, backup.BlockMax), p.state()
		if request.Bump > 0 {
			want.Compacted = request.Target.Revision + request.Bump
		}
		if got.Text() != want.Text() || p.end.Revision != request.Target.Revision+request.Bump {
			t.Fatalf("restored, at revision %d\n%s, want\n%s", p.end.Revision, got.Text(), want.Text())
		}
		if outcome.Keys != int64(len(want.Live)) || outcome.Versions != int64(len(p.versions)) || outcome.Revision != p.end.Revision {
			t.Fatalf("%+v, of %d keys and %d versions", outcome, len(want.Live), len(p.versions))
		}
		p.number() // the model's bases lack the deletions of the compacted revision
		hash, err := outcome.Plan.Hash(ctx, w.Archive)
		if err != nil || hash != p.hash(t) {
			t.Fatalf("the hash is %d instead of %d (%v)", hash, p.hash(t), err)
		}
	})
}

// Of keys that were not asked for nothing is there, of the others all.
func TestPrefixes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := archivetest.Write(t, archivetest.DrawModel(t, 10))
		c, ctx := catalog(t, w), context.Background()
		prefixes := rapid.SliceOfN(rapid.SampledFrom([]string{"key-0", "key-1-", "key-2-3", "none"}), 1, 3).Draw(t, "prefixes")
		plan, err := restore.New(ctx, w.Archive, c, restore.Request{Prefixes: prefixes})
		if err != nil {
			t.Fatal(err)
		}
		p := &place{breakAfter: -1}
		outcome, err := restore.Run(ctx, w.Archive, c, plan, p.begin, new(restore.Meter))
		if err != nil {
			t.Fatal(err)
		}
		want := w.At(w.End(), backup.BlockMax)
		for key := range want.Live {
			if !slices.ContainsFunc(prefixes, func(prefix string) bool { return bytes.HasPrefix([]byte(key), []byte(prefix)) }) {
				delete(want.Live, key)
			}
		}
		if got := p.state().Text(); got != want.Text() || outcome.Keys != int64(len(want.Live)) {
			t.Fatalf("restored %d keys\n%s, want\n%s", outcome.Keys, got, want.Text())
		}
		p.number()
		if hash, err := plan.Hash(ctx, w.Archive); err != nil || hash != p.hash(t) {
			t.Fatalf("the hash is %d instead of %d (%v)", hash, p.hash(t), err)
		}
	})
}

// A restore of the latest state is gone on with as it was begun, although the archive has a later base and a later end by then;
// another one is refused.
func TestGoesOnAsItWasBegun(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := archivetest.Write(t, archivetest.DrawModel(t, 10))
		c, ctx := catalog(t, w), context.Background()
		early := *c
		early.Bases, early.Log = c.Bases[:1], c.Log[:rapid.IntRange(0, len(c.Log)).Draw(t, "segments by then")]
		if len(early.Log) == 0 && c.Bases[0].Block != 0 {
			return
		}
		p := &place{breakAfter: rapid.IntRange(0, 5).Draw(t, "break after")}
		plan, err := restore.New(ctx, w.Archive, &early, restore.Request{})
		if err != nil {
			t.Fatal(err)
		}
		first := plan.Revision
		if _, err = restore.Run(ctx, w.Archive, &early, plan, p.begin, new(restore.Meter)); err == nil {
			return // too short to break
		}
		p.breakAfter = -1
		other, err := restore.New(ctx, w.Archive, c, restore.Request{Prefixes: []string{"key"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := restore.Run(ctx, w.Archive, c, other, p.begin, new(restore.Meter)); !errors.As(err, new(*router.OtherRestore)) {
			t.Fatalf("another restore came between: %v", err)
		}
		again, err := restore.New(ctx, w.Archive, c, restore.Request{})
		if err != nil {
			t.Fatal(err)
		}
		outcome, err := restore.Run(ctx, w.Archive, c, again, p.begin, new(restore.Meter))
		if err != nil || outcome.Revision != first {
			t.Fatalf("revision %d instead of %d (%v)", outcome.Revision, first, err)
		}
		if !slices.IsSortedFunc(p.versions, func(a, b router.Version) int { return cmp.Or(cmp.Compare(a.Main, b.Main), cmp.Compare(a.Sub, b.Sub)) }) {
			t.Fatalf("versions out of order: %v", p.versions)
		}
		got, want := p.state(), w.At(first, backup.BlockMax)
		got.Leases, want.Leases, got.Compacted, want.Compacted = nil, nil, 0, 0 // these may be of a later block at that revision
		if got.Text() != want.Text() {
			t.Fatalf("restored\n%s, want\n%s", got.Text(), want.Text())
		}
	})
}

// What the interrupted restore was reading may have been pruned.
func TestBaseIsGone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := archivetest.Write(t, archivetest.DrawModel(t, 10))
		c, ctx := catalog(t, w), context.Background()
		plan, err := restore.New(ctx, w.Archive, c, restore.Request{})
		if err != nil {
			t.Fatal(err)
		}
		id := plan.ID()
		pruned := *c
		pruned.Bases = nil
		if _, same, err := plan.Continue(ctx, w.Archive, &pruned, id); !same || !errors.Is(err, restore.ErrGone) {
			t.Fatalf("%v, %v", same, err)
		}
		if _, same, err := plan.Continue(ctx, w.Archive, c, "etcd snapshot 12"); same || err != nil {
			t.Fatalf("%v, %v", same, err)
		}
		if text := restore.Describe(id); text != "a restore of the archive of k (timeline "+w.Timeline.ID()+") to latest" {
			t.Fatal(text)
		}
	})
}
