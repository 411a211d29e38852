package hot

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// EventsQuery asks for a run of revisions.
type EventsQuery struct {
	// From is the first revision wanted, To the last (0: the current one).
	From, To Revision
	// BytesMax ends the page, after whole revisions.
	BytesMax int
	// Replaced asks for the versions that the events replaced.
	Replaced bool
	// Held, if set, is the compacted revision of a Hold to go by.
	Held *Revision
}

// EventsPage is the answer: all events of From..Through.
type EventsPage struct {
	Events                       []Event
	Revision, Compacted, Through Revision
	// Epoch is the map's, as far as the shard knows: the home shard does.
	Epoch Epoch
}

// Events reads a run of revisions. ErrCompacted if it starts too low.
func (c *Client) Events(ctx context.Context, q EventsQuery) (EventsPage, error) {
	replaced, floor := "0", ""
	if q.Replaced {
		replaced = "1"
	}
	if q.Held != nil {
		floor = strconv.FormatInt(int64(*q.Held), 10)
	}
	reply, err := c.read(ctx, scriptEvents, leadingRevision, int64(q.From), int64(q.To), q.BytesMax, replaced, floor)
	if err != nil {
		return EventsPage{}, err
	}
	d := decoder{rest: reply, open: c.opener(ctx)}
	page := EventsPage{Revision: d.revision(), Compacted: d.compacted(), Through: d.revision(), Epoch: Epoch(d.int8())}
	for len(d.rest) > 0 && !d.failed {
		e := d.event()
		if e.Unopened != nil {
			return EventsPage{}, fmt.Errorf("events: %w", e.Unopened)
		}
		if e.Replaced != nil && e.Replaced.Unopened != nil {
			return EventsPage{}, fmt.Errorf("events: %w", e.Replaced.Unopened)
		}
		page.Events = append(page.Events, e)
	}
	if err := d.end(); err != nil {
		return EventsPage{}, fmt.Errorf("events: %w", err)
	}
	return page, nil
}

func (d *decoder) event() Event {
	mod, number := Revision(d.int7()), int64(d.uint(3))
	e := Event{Item: itemOf(mod, d.record())}
	e.Sub = number
	mod = Revision(d.int7())
	if len(d.rest) < 4 {
		d.failed = true
		return e
	}
	if d.rest[0]|d.rest[1]|d.rest[2]|d.rest[3] == 0 {
		d.take(4)
		return e
	}
	replaced := itemOf(mod, d.record())
	e.Replaced = &replaced
	return e
}

// CutWait is the longest that WaitCut blocks.
const CutWait = time.Second

// cutsMax bounds the cuts that one wake-up reads.
const cutsMax = 1000

// LastCut names the newest cut, for WaitCut.
func (c *Client) LastCut(ctx context.Context) (string, error) {
	messages, err := c.parts.Redis.XRevRangeN(ctx, c.names[cutsKey], "+", "-", 1).Result()
	if err != nil {
		return "", fmt.Errorf("find the newest cut: %w", classify(err))
	}
	if len(messages) == 0 {
		return "0-0", nil
	}
	return messages[0].ID, nil
}

// WaitCut blocks until a cut after the one named by last is published, at most
// CutWait. It gives the newest cut's name and its last revision, or last and 0.
// It is a wake-up only: what is true is read with Events.
func (c *Client) WaitCut(ctx context.Context, last string) (string, Revision, error) {
	streams, err := c.parts.Redis.XRead(ctx, &redis.XReadArgs{Streams: []string{c.names[cutsKey], last}, Count: cutsMax, Block: CutWait}).Result()
	if errors.Is(err, redis.Nil) {
		return last, 0, nil
	}
	if err != nil {
		return last, 0, fmt.Errorf("wait for a cut: %w", classify(err))
	}
	if len(streams) != 1 || len(streams[0].Messages) == 0 {
		return last, 0, nil
	}
	newest := streams[0].Messages[len(streams[0].Messages)-1]
	var numbers [3]int64
	for i, field := range []string{"f", "t", "r"} {
		text, _ := newest.Values[field].(string)
		if numbers[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return last, 0, fmt.Errorf("%w: cut %s: %w", ErrReply, newest.ID, err)
		}
	}
	return newest.ID, Revision(numbers[2] + numbers[1] - numbers[0]), nil
}
