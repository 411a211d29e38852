package hot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// referenceBytes is the length of a reference: mod revision 7, position 7, sub 3,
// record length 4.
const referenceBytes = 21

func (d *decoder) reference() Stored {
	return Stored{Mod: Revision(d.int7()), Position: Position(d.int7()), Sub: int64(d.uint(3)), Bytes: int(d.uint(4))}
}

// fetch reads records without a script. A record never changes, so it can be read
// after the index that named it, as long as Redis lives the same life: a fence
// behind the command vouches for that. ErrCompacted if one is gone because
// compaction has passed revision at, ErrMissing if one is gone without that.
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
	return itemsOf(at, of, records, compacted)
}

func (c *Client) fetchOnce(ctx context.Context, names []string) (records []any, compacted Revision, err error) {
	l, err := c.alive(ctx)
	if err != nil {
		return nil, 0, err
	}
	fence := append([]any{"evalsha", l.scripts[scriptFence], len(c.keys)}, c.keys...)
	var reads *redis.SliceCmd
	var vouched *redis.Cmd
	started := time.Now()
	_, err = c.parts.Redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		reads = p.HMGet(ctx, c.names[recKey], names...)
		vouched = p.Do(ctx, fence...)
		return nil
	})
	c.observe(ctx, "fetch", started, err)
	if err != nil {
		if err = classify(err); errors.Is(err, errStale) {
			c.retire(l)
		}
		return nil, 0, err
	}
	text, err := vouched.Text()
	if err != nil {
		return nil, 0, fmt.Errorf("fence: %w: %w", ErrReply, err)
	}
	d := decoder{rest: bytesOf(text)}
	d.revision()
	compacted = d.compacted()
	return reads.Val(), compacted, d.end()
}

func itemsOf(at Revision, of []Stored, records []any, compacted Revision) ([]Item, error) {
	if len(records) != len(of) {
		return nil, fmt.Errorf("fetch: %w: %d records for %d", ErrReply, len(records), len(of))
	}
	items := make([]Item, len(of))
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
		items[i] = Item{Mod: of[i].Mod, Record: record}
	}
	return items, nil
}
