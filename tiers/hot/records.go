package hot

import (
	"container/list"
	"sync"
)

// recordOverhead is about what a kept record takes beyond its own bytes.
const recordOverhead = 200

// place is where a record lies.
type place struct {
	position Position
	sub      int64
}

// recordCache keeps the records that were read last, up to a number of bytes. A
// record never changes as long as Redis lives the same life, so nothing in it can
// be out of date: what is current, the index says. Each life has its own.
type recordCache struct {
	bytesMax int64

	mu    sync.Mutex
	bytes int64
	// byPlace holds the elements of recent, whose front was used last.
	byPlace map[place]*list.Element
	recent  list.List
}

// kept is one record in the cache.
type kept struct {
	place place
	bytes int64
	item  Item
}

func newRecordCache(bytesMax int64) *recordCache {
	return &recordCache{bytesMax: bytesMax, byPlace: make(map[place]*list.Element)}
}

// find puts what it knows into items, which is as long as of, and gives back the
// rest with their places in items.
func (c *recordCache) find(of []entry, items []Item) (missing []Stored, places []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range of {
		e, ok := c.byPlace[place{of[i].Position, of[i].Sub}]
		if !ok {
			if missing == nil {
				missing, places = make([]Stored, 0, len(of)-i), make([]int, 0, len(of)-i)
			}
			missing, places = append(missing, of[i].Stored), append(places, i)
			continue
		}
		c.recent.MoveToFront(e)
		items[i] = e.Value.(*kept).item
	}
	return missing, places
}

// add keeps records, and lets go of those that were not used for longest. What
// would take more than a quarter of the whole is not kept.
func (c *recordCache) add(of []Stored, items []Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range items {
		k := kept{place{of[i].Position, of[i].Sub}, int64(of[i].Bytes) + recordOverhead, items[i]}
		if _, twice := c.byPlace[k.place]; twice || k.bytes > c.bytesMax/4 {
			continue
		}
		c.byPlace[k.place] = c.recent.PushFront(&k)
		c.bytes += k.bytes
	}
	for c.bytes > c.bytesMax {
		oldest := c.recent.Remove(c.recent.Back()).(*kept)
		delete(c.byPlace, oldest.place)
		c.bytes -= oldest.bytes
	}
}
