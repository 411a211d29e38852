package hot

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func stored(position Position, bytes int) Stored { return Stored{Position: position, Bytes: bytes} }

func entries(of ...Stored) []entry {
	out := make([]entry, len(of))
	for i, s := range of {
		out[i] = entry{Stored: s}
	}
	return out
}

func itemAt(position Position) Item {
	return Item{Mod: Revision(position), Record: Record{Key: fmt.Appendf(nil, "key%d", position)}}
}

func TestRecordCacheFindsWhatWasAdded(t *testing.T) {
	c := newRecordCache(10000)
	first, other := stored(1, 10), Stored{Position: 1, Sub: 1, Bytes: 10}
	c.add([]Stored{first}, []Item{itemAt(1)})
	items := make([]Item, 3)
	missing, places := c.find(entries(stored(2, 10), first, other), items)
	if diff := cmp.Diff([]Stored{stored(2, 10), other}, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{0, 2}, places); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Item{{}, itemAt(1), {}}, items); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
}

// TestRecordCacheIsBounded: what was used last stays, and the bytes are those of
// what is there.
func TestRecordCacheIsBounded(t *testing.T) {
	const each = 100 + recordOverhead
	c := newRecordCache(4 * each)
	for p := Position(1); p <= 4; p++ {
		c.add([]Stored{stored(p, 100)}, []Item{itemAt(p)})
	}
	c.find(entries(stored(1, 100)), make([]Item, 1))
	c.add([]Stored{stored(5, 100), stored(5, 100)}, []Item{itemAt(5), itemAt(5)})
	missing, _ := c.find(entries(stored(1, 100), stored(2, 100), stored(3, 100), stored(5, 100)), make([]Item, 4))
	if diff := cmp.Diff([]Stored{stored(2, 100)}, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if c.bytes != 4*each || c.recent.Len() != 4 || len(c.byPlace) != 4 {
		t.Errorf("%d bytes in %d records, want %d in 4", c.bytes, c.recent.Len(), 4*each)
	}
	c.add([]Stored{stored(6, 4*each)}, []Item{itemAt(6)})
	if _, places := c.find(entries(stored(6, 4*each)), make([]Item, 1)); len(places) != 1 {
		t.Error("a record as large as the cache was kept")
	}
}

func TestNoRecordCache(t *testing.T) {
	c := newRecordCache(0)
	c.add([]Stored{stored(1, 0)}, []Item{itemAt(1)})
	if len(c.byPlace) != 0 {
		t.Error("a record was kept where none may be")
	}
}
