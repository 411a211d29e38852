package hot

import (
	"context"
	"fmt"
	"time"
)

// HoldGood is how long a hold lasts without being renewed.
const HoldGood = 30 * time.Second

// Hold keeps the state at the compacted revision, and all after it, from being
// dropped while someone reads it.
type Hold struct {
	Revision, Compacted Revision
	name                string
}

// NewHold takes a hold under a name that is this caller's own.
func (c *Client) NewHold(ctx context.Context, name string) (Hold, error) {
	reply, err := c.read(ctx, scriptHistory, leadingRevision, "hold", name, HoldGood.Milliseconds())
	if err != nil {
		return Hold{}, fmt.Errorf("hold history: %w", err)
	}
	d := decoder{rest: reply}
	h := Hold{Revision: d.revision(), Compacted: d.compacted(), name: name}
	return h, d.end()
}

// RenewHold makes a hold last HoldGood from now.
func (c *Client) RenewHold(ctx context.Context, h Hold) error {
	_, err := c.read(ctx, scriptHistory, leadingRevision, "renew", h.name, HoldGood.Milliseconds(), int64(h.Compacted))
	return err
}

// ReleaseHold ends a hold.
func (c *Client) ReleaseHold(ctx context.Context, h Hold) error {
	_, err := c.read(ctx, scriptHistory, leadingRevision, "release", h.name)
	return err
}

// StoredAt lists, in order of key, the versions of a span that were the state at a
// revision that the hold keeps. It goes on at next until that is done.
func (c *Client) StoredAt(ctx context.Context, h Hold, s Span, r Revision, from Cursor) (page []Stored, next Cursor, err error) {
	read := PageRead(s, PageOptions{Revision: r, Epoch: EpochAny, Held: &h.Compacted, From: from})
	out, err := c.index(ctx, read)
	if err == nil {
		err = out.Err
	}
	if err != nil {
		return nil, Cursor{}, fmt.Errorf("list the state at revision %d: %w", r, err)
	}
	page = make([]Stored, len(out.entries))
	for i := range page {
		page[i] = out.entries[i].Stored
	}
	return page, out.Next, nil
}

// Records reads the records of stored versions that a hold keeps, in their order.
func (c *Client) Records(ctx context.Context, of []Stored) ([]Item, error) {
	items, err := c.fetch(ctx, Revision(1<<62), of)
	if err == nil {
		err = readable(items)
	}
	return items, err
}
