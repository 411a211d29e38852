package hot

import (
	"encoding/binary"
	"fmt"
)

// recordHeaderBytes is the length of a record before its key (REC_FORMAT in
// lua/lib.lua): flags 1, events 3, create 7, version 7, lease 8, replaced
// position 7, sub 3, mod revision 7, key length 4.
const recordHeaderBytes = 47

// Record is one stored event: what a put or a deletion made of one key.
type Record struct {
	Deleted bool
	// Events is the number of events of the transaction; only the first has it.
	Events          int
	Create, Version int64
	Lease           int64
	// ReplacedMod is the mod revision of the version before, 0 if there was none.
	ReplacedMod Revision
	Key, Value  []byte
	// Sealed says that Redis has the value sealed; Unopened, if set, why it is not in Value.
	Sealed   bool
	Unopened error
}

// Item is a record with the revision that made it, and its number among the events of
// that revision.
type Item struct {
	Mod Revision
	Sub int64
	Record
}

// Event is an item in the feed, with the version that it replaced, if wanted
// and still there.
type Event struct {
	Item
	Replaced *Item
}

// decoder reads a reply front to back. The first failure sticks.
type decoder struct {
	rest   []byte
	failed bool
	// open, if set, makes the values of records plain.
	open opener
}

func (d *decoder) take(n int) []byte {
	if d.failed || n < 0 || n > len(d.rest) {
		d.failed = true
		return nil
	}
	out := d.rest[:n:n]
	d.rest = d.rest[n:]
	return out
}

func (d *decoder) uint(n int) uint64 {
	var v uint64
	for _, b := range d.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

func (d *decoder) int7() int64        { return int64(d.uint(7)) }
func (d *decoder) int8() int64        { return int64(d.uint(8)) }
func (d *decoder) length() int        { return int(d.uint(4)) }
func (d *decoder) byte() byte         { return byte(d.uint(1)) }
func (d *decoder) text() []byte       { return d.take(d.length()) }
func (d *decoder) revision() Revision { return Revision(d.int8()) }

// compacted reads a compacted revision, which travels one too high: -1 is none.
func (d *decoder) compacted() Revision { return Revision(d.int8()) - 1 }

// end is the verdict once everything expected has been read.
func (d *decoder) end() error {
	if d.failed || len(d.rest) != 0 {
		return fmt.Errorf("%w: %d bytes left", ErrReply, len(d.rest))
	}
	return nil
}

func (d *decoder) record() Record {
	r, err := decodeRecord(d.text())
	d.failed = d.failed || err != nil
	if d.open != nil {
		d.open(&r)
	}
	return r
}

// decodeRecord reads a record as it is stored. Key and value share its memory.
func decodeRecord(b []byte) (Record, error) {
	if len(b) < recordHeaderBytes {
		return Record{}, fmt.Errorf("%w: a record of %d bytes", ErrReply, len(b))
	}
	flags := b[0]
	if flags > recordSealed {
		return Record{}, fmt.Errorf("%w: a record with the flags %d, which another release of tierd wrote", ErrReply, flags)
	}
	h := decoder{rest: b[1:recordHeaderBytes]}
	r := Record{Deleted: flags == recordDeleted, Sealed: flags == recordSealed, Events: int(h.uint(3)), Create: h.int7(), Version: h.int7(), Lease: int64(h.uint(8))}
	h.take(10) // where the replaced version lies: only the scripts need it
	r.ReplacedMod = Revision(h.int7())
	key := h.length()
	b = b[recordHeaderBytes:]
	if key > len(b) {
		return Record{}, fmt.Errorf("%w: a key of %d bytes in a record with %d left", ErrReply, key, len(b))
	}
	r.Key, r.Value = b[:key:key], b[key:]
	return r, nil
}

func (d *decoder) item() Item {
	mod := Revision(d.int7())
	return itemOf(mod, d.record())
}

// itemOf is a record with its revision; a record that created its key does not say
// when, as it is stored before that is known.
func itemOf(mod Revision, r Record) Item {
	if r.Create == 0 && !r.Deleted {
		r.Create = int64(mod)
	}
	return Item{Mod: mod, Record: r}
}

// leadingRevision is the revision that every reply starts with.
func leadingRevision(reply []byte) (Revision, error) {
	if len(reply) < 8 {
		return 0, ErrReply
	}
	return Revision(binary.BigEndian.Uint64(reply)), nil
}
