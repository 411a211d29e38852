package hot

import (
	"testing"
	"time"
)

// TestMissingIsLostOnlyWhenNobodyBringsIt: a shard whose writes are coming back is not
// called lost, however long all of them take; one whose tail stands still is.
func TestMissingIsLostOnlyWhenNobodyBringsIt(t *testing.T) {
	var m missing
	now := time.Unix(1_700_000_000, 0)
	for _, tail := range []string{"171", "173", "174", "180", "248"} {
		if !m.mayCome(tail, now) {
			t.Fatalf("tail %s, just reached, is given up", tail)
		}
		now = now.Add(refillWait - time.Millisecond)
		if !m.mayCome(tail, now) {
			t.Fatalf("tail %s is given up before the time that the next position may take", tail)
		}
	}
	if now = now.Add(time.Millisecond); m.mayCome("248", now) {
		t.Error("a tail that has stood still for all the time is not given up")
	}
	m.over()
	if !m.mayCome("248", now) {
		t.Error("another loss, at the same tail, is given up at once")
	}
}
