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

// TestRecordCacheIsBounded: there is never more than fits, the bytes are those of
// what is there, and what was added last is.
func TestRecordCacheIsBounded(t *testing.T) {
	item := itemAt(1)
	each := cost(&item)
	c := newRecordCache(4 * each)
	for p := Position(1); p <= 9; p++ {
		c.add([]Stored{stored(p, 100), stored(p, 100)}, []Item{itemAt(p), itemAt(p)})
		want := min(int64(p), 4)
		if int64(len(c.kept)) != want || c.bytes != want*each {
			t.Fatalf("after %d: %d bytes in %d records, want %d in %d", p, c.bytes, len(c.kept), want*each, want)
		}
		if _, places := c.find(entries(stored(p, 100)), make([]Item, 1)); len(places) != 0 {
			t.Fatalf("record %d was not kept", p)
		}
	}
	large := Item{Record: Record{Value: make([]byte, each)}}
	c.add([]Stored{stored(10, 0)}, []Item{large})
	if _, places := c.find(entries(stored(10, 0)), make([]Item, 1)); len(places) != 1 {
		t.Error("a record larger than a quarter of the cache was kept")
	}
}

func TestNoRecordCache(t *testing.T) {
	c := newRecordCache(0)
	c.add([]Stored{stored(1, 0)}, []Item{itemAt(1)})
	if len(c.kept) != 0 {
		t.Error("a record was kept where none may be")
	}
}
