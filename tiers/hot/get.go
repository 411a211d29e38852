package hot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// KeyRead reads one key at the current revision; without a key it only asks for the
// revision.
type KeyRead struct {
	Key      []byte
	KeysOnly bool
}

// Gets makes a batch of gets, without a script for each: the entries are read by
// one command, the records by another. Once about bytesMax of records have been
// read, or where a key changed meanwhile, a result is ErrAgain; the first of a
// batch that are answered are so at the same revision.
func (c *Client) Gets(ctx context.Context, epoch Epoch, bytesMax int, batch []KeyRead) ([]ReadResult, error) {
	return c.gets(ctx, bytesMax, batch, func(ctx context.Context, keys []string) (lookup, error) {
		return c.lookup(ctx, epoch, keys)
	})
}

// GetsAt is Gets on a shard other than the home shard, at the revision s.Horizon. The
// shard is stamped first; ordered is its last ordered position at that revision. The
// error may be an *UnstampedError.
func (c *Client) GetsAt(ctx context.Context, epoch Epoch, s Stamp, ordered Position, bytesMax int, batch []KeyRead) ([]ReadResult, error) {
	return c.gets(ctx, bytesMax, batch, func(ctx context.Context, keys []string) (lookup, error) {
		return c.lookupAt(ctx, epoch, s, ordered, keys)
	})
}

func (c *Client) gets(ctx context.Context, bytesMax int, batch []KeyRead, look func(context.Context, []string) (lookup, error)) ([]ReadResult, error) {
	keys := make([]string, 0, len(batch))
	for i := range batch {
		if len(batch[i].Key) > 0 {
			keys = append(keys, textOf(batch[i].Key))
		}
	}
	var found lookup
	err := repeat(ctx, "get", notKnownDone, func(ctx context.Context) (err error) {
		found, err = look(ctx, keys)
		return err
	})
	if err != nil {
		return nil, err
	}
	results := make([]ReadResult, len(batch))
	wanted, of := make([]entry, 0, len(keys)), make([]int, 0, len(keys))
	next, size := 0, 0
	for i := range batch {
		r := &results[i]
		r.Revision, r.Compacted = found.revision, found.compacted
		if len(batch[i].Key) == 0 {
			continue
		}
		e, there, sure := found.entry(next)
		next++
		switch {
		case !sure || size >= bytesMax:
			r.Err = ErrAgain
		case there && batch[i].KeysOnly:
			r.Items, r.Count = []Item{e.bare(batch[i].Key)}, 1
		case there:
			size += e.Bytes
			wanted, of = append(wanted, e), append(of, i)
		}
	}
	items, err := c.records(ctx, found.revision, wanted)
	if err != nil && !isCompacted(err) {
		return nil, err
	}
	for n, i := range of {
		if err != nil {
			results[i].Err = ErrAgain // replaced and compacted in between
			continue
		}
		if results[i].Err = items[n].Unopened; results[i].Err != nil {
			continue
		}
		results[i].Items, results[i].Count = items[n:n+1:n+1], 1
	}
	return results, nil
}

// lookup is what one command found of many keys, some time between two revisions.
type lookup struct {
	revision, compacted Revision
	// steady says that nothing was written while the command ran.
	steady  bool
	entries []any
}

// entry gives the i-th key's entry at the revision, if that is sure: a key that
// changed after it, or is gone, may have had another then.
func (l *lookup) entry(i int) (e entry, there, sure bool) {
	text, there := l.entries[i].(string)
	if !there {
		return e, false, l.steady
	}
	d := decoder{rest: bytesOf(text)}
	e = d.entry()
	return e, true, d.end() == nil && e.Mod <= l.revision
}

// lookup reads the entries of keys between two fences: what they vouch for is
// Redis' life, and the revision that it was at.
func (c *Client) lookup(ctx context.Context, epoch Epoch, keys []string) (lookup, error) {
	l, err := c.alive(ctx)
	if err != nil {
		return lookup{}, err
	}
	fence := c.command(l, scriptFence, int64(epoch), 0)
	var before, after *redis.Cmd
	var entries *redis.SliceCmd
	started := time.Now()
	err = c.send(ctx, func(p redis.Pipeliner) {
		before = p.Do(ctx, fence...)
		after = before
		if len(keys) > 0 {
			entries = p.HMGet(ctx, c.names[entryKey], keys...)
			after = p.Do(ctx, fence...)
		}
	})
	c.observe(ctx, "get", started, err)
	if err != nil {
		return lookup{}, c.failed(l, err)
	}
	revision, compacted, _, err := vouched(before)
	if err != nil {
		return lookup{}, err
	}
	later, _, _, err := vouched(after)
	if err != nil {
		return lookup{}, err
	}
	l.observe(later)
	if l.retired.Load() {
		return lookup{}, fmt.Errorf("get: reply of an earlier life of Redis: %w", ErrUnknown)
	}
	out := lookup{revision: revision, compacted: compacted, steady: revision == later}
	if entries != nil {
		if out.entries = entries.Val(); len(out.entries) != len(keys) {
			return lookup{}, fmt.Errorf("get: %w: %d entries for %d keys", ErrReply, len(out.entries), len(keys))
		}
	}
	return out, nil
}

// vouched reads the reply of a fence.
func vouched(fence *redis.Cmd) (revision, compacted Revision, stamped Position, err error) {
	text, err := fence.Text()
	if err != nil {
		return 0, 0, 0, fmt.Errorf("fence: %w: %w", ErrReply, err)
	}
	d := decoder{rest: bytesOf(text)}
	revision, compacted, stamped = d.revision(), d.compacted(), Position(d.int8())
	return revision, compacted, stamped, d.end()
}

// lookupAt reads the entries of keys between a stamp and a fence. A key that is gone
// was so at the revision if nothing has been stamped since.
func (c *Client) lookupAt(ctx context.Context, epoch Epoch, s Stamp, ordered Position, keys []string) (lookup, error) {
	l, err := c.alive(ctx)
	if err != nil {
		return lookup{}, err
	}
	var stamp, after *redis.Cmd
	var entries *redis.SliceCmd
	started := time.Now()
	err = c.send(ctx, func(p redis.Pipeliner) {
		stamp = p.Do(ctx, c.command(l, scriptStamp, s.packed(), int64(s.Horizon), int64(s.Compacted), int64(epoch))...)
		entries = p.HMGet(ctx, c.names[entryKey], keys...)
		after = p.Do(ctx, c.command(l, scriptFence, int64(epoch), 1)...)
	})
	c.observe(ctx, "get", started, err)
	if err != nil {
		return lookup{}, c.failed(l, err)
	}
	if err := stampedAll(stamp); err != nil {
		return lookup{}, err
	}
	_, _, stamped, err := vouched(after)
	if err != nil {
		return lookup{}, err
	}
	if l.retired.Load() {
		return lookup{}, fmt.Errorf("get: reply of an earlier life of Redis: %w", ErrUnknown)
	}
	out := lookup{revision: s.Horizon, compacted: s.Compacted, steady: stamped == ordered, entries: entries.Val()}
	if len(out.entries) != len(keys) {
		return lookup{}, fmt.Errorf("get: %w: %d entries for %d keys", ErrReply, len(out.entries), len(keys))
	}
	return out, nil
}

// stampedAll is nil if the reply of a stamp says that all was done.
func stampedAll(stamp *redis.Cmd) error {
	text, err := stamp.Text()
	if err != nil {
		return fmt.Errorf("stamp: %w: %w", ErrReply, err)
	}
	d := decoder{rest: bytesOf(text)}
	status, stamped := StampStatus(d.byte()), Position(d.int8())
	if d.failed {
		return fmt.Errorf("stamp: %w", ErrReply)
	}
	if status != StampDone {
		return &UnstampedError{Status: status, Stamped: stamped}
	}
	return nil
}

func isCompacted(err error) bool { return errors.Is(err, ErrCompacted) }
