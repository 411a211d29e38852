package hot

import (
	"context"
	"fmt"
	"strconv"
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

// Stored names one stored version: its revision and where its record lies.
type Stored struct {
	Mod      Revision
	Position Position
	Sub      int64
	// Bytes is the length of the record.
	Bytes int
}

// name is the record's field in rec.
func (s *Stored) name() string {
	name := strconv.FormatInt(int64(s.Position), 10)
	if s.Sub != 0 {
		name += ":" + strconv.FormatInt(s.Sub, 10)
	}
	return name
}

// StoredLive lists, in no useful order, versions that are alive now and were so
// at revision r. It goes on at next until that is empty.
func (c *Client) StoredLive(ctx context.Context, r Revision, next string) ([]Stored, string, error) {
	return c.stored(ctx, "live", r, next)
}

// StoredOld lists versions that have been replaced since, but were alive at
// revision r. Listed after StoredLive it completes the state at r; a version
// replaced in between may be in both.
func (c *Client) StoredOld(ctx context.Context, r Revision, next string) ([]Stored, string, error) {
	return c.stored(ctx, "old", r, next)
}

func (c *Client) stored(ctx context.Context, mode string, r Revision, next string) ([]Stored, string, error) {
	reply, err := c.read(ctx, scriptHistory, nil, mode, int64(r), next)
	if err != nil {
		return nil, "", err
	}
	d := decoder{rest: reply}
	out := make([]Stored, min(d.length(), len(d.rest)/referenceBytes))
	for i := range out {
		out[i] = d.reference()
	}
	next = string(d.text())
	return out, next, d.end()
}

// Records reads the records of stored versions that a hold keeps, in their order.
func (c *Client) Records(ctx context.Context, of []Stored) ([]Item, error) {
	return c.fetch(ctx, Revision(1<<62), of)
}
