package hot

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// readable is why not all values could be opened.
func readable(items []Item) error {
	for i := range items {
		if items[i].Unopened != nil {
			return items[i].Unopened
		}
	}
	return nil
}

// records gives the records of entries, from memory where they were read before.
func (c *Client) records(ctx context.Context, at Revision, of []entry) ([]Item, error) {
	if len(of) == 0 {
		return nil, nil
	}
	l, err := c.alive(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]Item, len(of))
	missing, places := l.records.find(of, items)
	if len(missing) == 0 {
		return items, nil
	}
	fetched, err := c.fetch(ctx, at, missing)
	if err != nil {
		return nil, err
	}
	for i, place := range places {
		items[place] = fetched[i]
	}
	l.records.add(missing, fetched)
	return items, nil
}

// fetch reads records without a script. A record never changes, so it can be read
// after the index that named it, as long as Redis lives the same life: a fence
// behind the command vouches for that. ErrCompacted if one is gone because
// compaction has passed revision at, ErrMissing if one is gone without that. A value that
// cannot be opened is the item's Unopened.
func (c *Client) fetch(ctx context.Context, at Revision, of []Stored) ([]Item, error) {
	names := make([]string, len(of))
	for i := range of {
		names[i] = of[i].name()
	}
	var records []any
	var compacted Revision
	err := repeat(ctx, "fetch", notKnownDone, func(ctx context.Context) (err error) {
		records, compacted, err = c.fetchOnce(ctx, names)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.itemsOf(ctx, at, of, records, compacted)
}

func (c *Client) fetchOnce(ctx context.Context, names []string) (records []any, compacted Revision, err error) {
	l, err := c.alive(ctx)
	if err != nil {
		return nil, 0, err
	}
	var reads *redis.SliceCmd
	var fence *redis.Cmd
	started := time.Now()
	err = c.send(ctx, func(p redis.Pipeliner) {
		reads = p.HMGet(ctx, c.names[recKey], names...)
		fence = p.Do(ctx, c.command(l, scriptFence, "")...)
	})
	c.observe(ctx, "fetch", started, err)
	if err != nil {
		return nil, 0, c.failed(l, err)
	}
	_, compacted, _, err = vouched(fence)
	return reads.Val(), compacted, err
}

func (c *Client) itemsOf(ctx context.Context, at Revision, of []Stored, records []any, compacted Revision) ([]Item, error) {
	if len(records) != len(of) {
		return nil, fmt.Errorf("fetch: %w: %d records for %d", ErrReply, len(records), len(of))
	}
	items, open := make([]Item, len(of)), c.opener(ctx)
	for i, r := range records {
		text, ok := r.(string)
		if !ok {
			if at < compacted {
				return nil, ErrCompacted
			}
			return nil, fmt.Errorf("fetch: %w: record %s", ErrMissing, of[i].name())
		}
		record, err := decodeRecord(bytesOf(text))
		if err != nil {
			return nil, err
		}
		open(&record)
		items[i] = itemOf(of[i].Mod, record)
		items[i].Sub = of[i].Sub
	}
	return items, nil
}
