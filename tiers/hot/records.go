package hot

import "sync"

// recordOverhead is about what a kept record takes beyond its own bytes: the
// item, and its share of the map.
const recordOverhead = 200

// place is where a record lies.
type place struct {
	position Position
	sub      int64
}

// recordCache keeps records that were read, up to a number of bytes. A record
// never changes as long as Redis lives the same life, so nothing in it can be out
// of date: what is current, the index says. Each life has its own.
//
// What has to go is chosen at random. A cache that lets go of the oldest keeps
// nothing of a list that is a little longer than itself, read again and again.
type recordCache struct {
	bytesMax int64

	mu    sync.RWMutex
	bytes int64
	kept  map[place]Item
}

func newRecordCache(bytesMax int64) *recordCache {
	return &recordCache{bytesMax: bytesMax, kept: make(map[place]Item)}
}

// cost is what an item takes of bytesMax.
func cost(i *Item) int64 {
	return recordOverhead + recordHeaderBytes + int64(len(i.Key)+len(i.Value))
}

// find puts what it knows into items, which is as long as of, and gives back the
// rest with their places in items.
func (c *recordCache) find(of []entry, items []Item) (missing []Stored, places []int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i := range of {
		item, ok := c.kept[place{of[i].Position, of[i].Sub}]
		if !ok {
			if missing == nil {
				missing, places = make([]Stored, 0, len(of)-i), make([]int, 0, len(of)-i)
			}
			missing, places = append(missing, of[i].Stored), append(places, i)
			continue
		}
		items[i] = item
	}
	return missing, places
}

// add keeps records. One that would take more than a quarter of the whole is not
// kept.
func (c *recordCache) add(of []Stored, items []Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range items {
		at, bytes := place{of[i].Position, of[i].Sub}, cost(&items[i])
		if _, twice := c.kept[at]; twice || bytes > c.bytesMax/4 || items[i].Unopened != nil {
			continue
		}
		c.shrink(c.bytesMax - bytes)
		c.kept[at] = items[i]
		c.bytes += bytes
	}
}

// shrink lets go of records until no more than some bytes are left. A map is
// walked in no order.
func (c *recordCache) shrink(bytes int64) {
	for at, item := range c.kept {
		if c.bytes <= bytes {
			return
		}
		delete(c.kept, at)
		c.bytes -= cost(&item)
	}
}
