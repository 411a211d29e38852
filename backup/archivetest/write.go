package archivetest

import (
	"context"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/backup"
)

// Written is a model that was written to an archive.
type Written struct {
	*Model
	Store   *Store
	Archive *backup.Archive
	// Bases are the blocks that have one.
	Bases []int64
}

// Write writes a model: a base of block 0, the blocks, some bases between, and merges
// adjacent segments here and there.
func Write(t *rapid.T, m *Model) *Written { return WriteTo(t, NewStore(), m) }

// WriteTo is Write into a store that may have others.
func WriteTo(t *rapid.T, store *Store, m *Model) *Written {
	w := &Written{Model: m, Store: store, Archive: backup.New(store, Sealer{}, m.Timeline.Keyspace)}
	ctx := context.Background()
	must(t, w.Archive.ClaimEpoch(ctx, m.Timeline, 1, 1, m.Began))
	chain := backup.Genesis(m.Timeline)
	w.base(t, 0, chain)
	var segments []backup.Segment
	for _, b := range m.Blocks {
		store.SetNow(b.To)
		s, after, err := w.Archive.WriteBlock(ctx, m.Timeline, 1, chain, b)
		must(t, err)
		chain = after
		segments = append(segments, s)
		if rapid.IntRange(0, 3).Draw(t, "base") == 0 {
			w.base(t, b.Number, chain)
		}
	}
	w.merge(t, segments)
	return w
}

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *Written) base(t *rapid.T, block int64, chain backup.Chain) {
	head := w.Head(block, chain)
	_, err := w.Archive.WriteBase(context.Background(), w.Timeline, 1, head, w.Fill(head))
	must(t, err)
	w.Bases = append(w.Bases, block)
}

// merge merges any runs, some of them twice.
func (w *Written) merge(t *rapid.T, segments []backup.Segment) {
	for range 2 {
		var left []backup.Segment
		for len(segments) > 0 {
			n := rapid.IntRange(1, min(4, len(segments))).Draw(t, "run")
			if n == 1 {
				left = append(left, segments[0])
			} else {
				s, err := w.Archive.Merge(context.Background(), w.Timeline, 1, segments[:n])
				must(t, err)
				left = append(left, s)
			}
			segments = segments[n:]
		}
		segments = left
	}
}
