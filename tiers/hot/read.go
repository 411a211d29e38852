package hot

import (
	"context"
	"encoding/binary"
	"errors"
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

// Read is one read of a batch. Revision 0 is the current one.
type Read struct {
	kind     byte
	flags    byte
	span     Span
	cursor   []byte
	revision Revision
	limit    uint32
}

const (
	readGet byte = iota + 1
	readPage
	readCount
)

// GetRead reads one key at the current revision.
func GetRead(key []byte, keysOnly bool) Read {
	r := Read{kind: readGet, span: KeySpan(key)}
	if keysOnly {
		r.flags = 1
	}
	return r
}

// PageOptions are the choices of a page.
type PageOptions struct {
	Revision Revision
	// Limit is the most items of the page; 0 means as many as fit.
	Limit    int64
	KeysOnly bool
	// Count also counts the whole span, if it is read at the current revision.
	Count bool
	// From is where the page before ended.
	From Cursor
}

// PageRead reads a page of a span.
func PageRead(span Span, o PageOptions) Read {
	r := Read{kind: readPage, span: span, cursor: o.From.member, revision: o.Revision, limit: 1<<32 - 1}
	if o.From.Key != nil {
		r.span = span.After(o.From.Key)
	}
	if o.Limit > 0 && o.Limit < int64(r.limit) {
		r.limit = uint32(o.Limit)
	}
	if o.KeysOnly {
		r.flags |= 1
	}
	if o.Count {
		r.flags |= 2
	}
	return r
}

// CountRead counts a stretch of a span.
func CountRead(span Span, revision Revision, from Cursor) Read {
	r := Read{kind: readCount, span: span, cursor: from.member, revision: revision}
	if from.Key != nil {
		r.span = span.After(from.Key)
	}
	return r
}

// ReadResult is what one read gave.
type ReadResult struct {
	// Err is nil, ErrCompacted, ErrFuture or ErrFull.
	Err error
	// Items are in order of key.
	Items []Item
	// stored is what a page names before its records are fetched.
	stored []Stored
	// Count is the whole span's for a page that asked for it, else the stretch's.
	Count int64
	Next  Cursor
}

// ReadReply is the reply to a batch of reads, all made at one instant.
type ReadReply struct {
	Revision, Compacted Revision
	Results             []ReadResult
}

// Reads makes a batch of reads. A page ends after about bytesMax, and so does the
// reply: reads that do not fit are answered with ErrFull.
func (c *Client) Reads(ctx context.Context, bytesMax int, batch []Read) (ReadReply, error) {
	program := make([]byte, 0, 21*len(batch))
	args := make([]any, 2, 2+3*len(batch))
	for i := range batch {
		r := &batch[i]
		at := len(args) + 1
		args = append(args, notNil(r.span.from), notNil(r.span.to), notNil(r.cursor))
		program = append(program, r.kind, r.flags, r.span.kind)
		program = binary.BigEndian.AppendUint16(program, uint16(at))
		program = binary.BigEndian.AppendUint16(program, uint16(at+1))
		program = binary.BigEndian.AppendUint16(program, uint16(at+2))
		program = binary.BigEndian.AppendUint64(program, uint64(r.revision))
		program = binary.BigEndian.AppendUint32(program, r.limit)
	}
	args[0], args[1] = bytesMax, program
	reply, err := c.read(ctx, scriptRead, leadingRevision, args...)
	if err != nil {
		return ReadReply{}, err
	}
	d := decoder{rest: reply}
	out := ReadReply{Revision: d.revision(), Compacted: d.compacted(), Results: make([]ReadResult, len(batch))}
	for i := range batch {
		out.Results[i] = d.readResult(&batch[i])
	}
	if err := d.end(); err != nil {
		return ReadReply{}, fmt.Errorf("read: %w", err)
	}
	for i := range batch {
		at := batch[i].revision
		if at == 0 {
			at = out.Revision
		}
		if err := c.fill(ctx, &out.Results[i], at, bytesMax); err != nil {
			return ReadReply{}, err
		}
	}
	return out, nil
}

// fill fetches the records of a page until it has bytesMax, and lets the page end
// there.
func (c *Client) fill(ctx context.Context, r *ReadResult, at Revision, bytesMax int) error {
	if len(r.stored) == 0 {
		return nil
	}
	n, size := 0, 0
	for n < len(r.stored) && size < bytesMax {
		size += r.stored[n].Bytes
		n++
	}
	cut := n < len(r.stored)
	items, err := c.fetch(ctx, at, r.stored[:n])
	if errors.Is(err, ErrCompacted) {
		*r = ReadResult{Err: ErrCompacted}
		return nil
	}
	if err != nil {
		return err
	}
	r.Items, r.stored = items, nil
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

func (d *decoder) readResult(r *Read) ReadResult {
	switch d.byte() {
	case 1:
		return ReadResult{Err: ErrCompacted}
	case 2:
		return ReadResult{Err: ErrFuture}
	case 3:
		return ReadResult{Err: ErrFull}
	}
	var out ReadResult
	if r.kind == readGet {
		if d.byte() == 1 {
			out.Items = []Item{d.item()}
			out.Count = 1
		}
		return out
	}
	out.Count = d.int8()
	if r.kind == readPage {
		d.page(r, &out)
	}
	out.Next = Cursor{Key: d.text(), member: d.text()}
	return out
}

// page reads what a page holds: items if only keys were asked for, else where their
// records lie.
func (d *decoder) page(r *Read, out *ReadResult) {
	n := d.length()
	if n > len(d.rest)/referenceBytes {
		d.failed = true
		return
	}
	if r.flags&1 == 0 {
		out.stored = make([]Stored, n)
		for i := range out.stored {
			out.stored[i] = d.reference()
		}
		return
	}
	out.Items = make([]Item, n)
	for i := range out.Items {
		out.Items[i] = d.item()
	}
}
