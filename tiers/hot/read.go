package hot

import (
	"context"
	"fmt"
)

// Cursor is where a page of a range ended; the zero value is before the start.
type Cursor struct {
	// Key is the first key not read yet; nil when the span is exhausted.
	Key []byte
	// member goes on among the old versions of Key.
	member []byte
}

// Done says that nothing is left to read.
func (c Cursor) Done() bool { return len(c.Key) == 0 }

// Read is one read of a range. Revision 0 is the current one.
type Read struct {
	mode     string
	flags    byte
	span     Span
	cursor   []byte
	revision Revision
	epoch    Epoch
	// held, if set, is the compacted revision of a Hold to go by.
	held  *Revision
	limit uint32
	// records says that the page wants records, not only keys or places.
	records bool
}

// What lua/read.lua does, and its flags.
const (
	readPage  = "page"
	readCount = "count"

	flagKeys  byte = 1
	flagTotal byte = 2
)

// itemsMax is the most items of a page that names no limit.
const itemsMax = 1<<32 - 1

// PageOptions are the choices of a page.
type PageOptions struct {
	Revision Revision
	// Epoch is the one of the map that says that the shard has the span.
	Epoch Epoch
	// Limit is the most items of the page; 0 means as many as fit.
	Limit    int64
	KeysOnly bool
	// Count also counts the whole span, if it is read at the current revision.
	Count bool
	// Held, if set, is the compacted revision of a Hold to go by.
	Held *Revision
	// From is where the page before ended.
	From Cursor
}

// PageRead reads a page of a span.
func PageRead(span Span, o PageOptions) Read {
	r := Read{mode: readPage, span: span, cursor: o.From.member, revision: o.Revision, epoch: o.Epoch, held: o.Held, limit: itemsMax, records: !o.KeysOnly}
	if o.From.Key != nil {
		r.span = span.After(o.From.Key)
	}
	if o.Limit > 0 && o.Limit < int64(r.limit) {
		r.limit = uint32(o.Limit)
	}
	if o.KeysOnly {
		r.flags |= flagKeys
	}
	if o.Count {
		r.flags |= flagTotal
	}
	return r
}

// CountRead counts a stretch of a span.
func CountRead(span Span, revision Revision, epoch Epoch, from Cursor) Read {
	r := Read{mode: readCount, span: span, cursor: from.member, revision: revision, epoch: epoch, limit: itemsMax}
	if from.Key != nil {
		r.span = span.After(from.Key)
	}
	return r
}

// ReadResult is what a read gave.
type ReadResult struct {
	// Revision and Compacted are the keyspace's when the index was read.
	Revision, Compacted Revision
	// Err is nil, ErrCompacted, ErrFuture or, of a batch, ErrAgain or why a sealed value
	// cannot be opened.
	Err error
	// Items are in order of key.
	Items []Item
	// Count is the whole span's for a page that asked for it, else the stretch's.
	Count int64
	Next  Cursor
	// entries are a page's before its records are fetched.
	entries []entry
}

// Read makes one read. A page ends after about bytesMax.
func (c *Client) Read(ctx context.Context, bytesMax int, r Read) (ReadResult, error) {
	out, err := c.index(ctx, r)
	if err != nil || out.Err != nil || !r.records {
		return out, err
	}
	at := r.revision
	if at == 0 {
		at = out.Revision
	}
	return out, c.fill(ctx, &out, at, bytesMax)
}

// index reads what the index says of a span.
func (c *Client) index(ctx context.Context, r Read) (ReadResult, error) {
	floor := ""
	if r.held != nil {
		floor = decimal(int64(*r.held))
	}
	reply, err := c.read(ctx, scriptRead, leadingRevision, r.mode, int64(r.revision), floor,
		int64(r.span.kind), notNil(r.span.from), notNil(r.span.to), notNil(r.cursor), int64(r.limit), int64(r.flags), int64(r.epoch))
	if err != nil {
		return ReadResult{}, err
	}
	d := decoder{rest: reply}
	out := d.readResult(r)
	if err := d.end(); err != nil {
		return ReadResult{}, fmt.Errorf("read: %w", err)
	}
	return out, nil
}

// fill fetches the records of a page until it has bytesMax, and lets the page end
// there.
func (c *Client) fill(ctx context.Context, r *ReadResult, at Revision, bytesMax int) error {
	if len(r.entries) == 0 {
		return nil
	}
	n, size := 0, 0
	for n < len(r.entries) && size < bytesMax {
		size += r.entries[n].Bytes
		n++
	}
	cut := n < len(r.entries)
	items, err := c.records(ctx, at, r.entries[:n])
	if isCompacted(err) {
		*r = ReadResult{Revision: r.Revision, Compacted: r.Compacted, Err: ErrCompacted}
		return nil
	}
	if err == nil {
		err = readable(items)
	}
	if err != nil {
		return err
	}
	r.Items, r.entries = items, nil
	if cut {
		last := items[n-1].Key
		r.Next = Cursor{Key: append(last[:len(last):len(last)], 0)}
	}
	return nil
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (d *decoder) readResult(r Read) ReadResult {
	out := ReadResult{Revision: d.revision(), Compacted: d.compacted()}
	switch d.byte() {
	case 1:
		out.Err = ErrCompacted
		return out
	case 2:
		out.Err = ErrFuture
		return out
	}
	out.Count = d.int8()
	if r.mode == readPage {
		d.page(r, &out)
	}
	out.Next = Cursor{Key: d.text(), member: d.text()}
	return out
}

// page reads what a page holds: entries, and if only keys were asked for, items
// made of them.
func (d *decoder) page(r Read, out *ReadResult) {
	n := d.length()
	if n > len(d.rest)/entryBytes {
		d.failed = true
		return
	}
	if r.flags&flagKeys == 0 {
		out.entries = make([]entry, n)
		for i := range out.entries {
			out.entries[i] = d.entry()
		}
		return
	}
	out.Items = make([]Item, n)
	for i := range out.Items {
		key := d.text()
		e := d.entry()
		out.Items[i] = e.bare(key)
	}
}
