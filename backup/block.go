package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/tierd/tierd/router"
)

// blockHead is the beginning of a stored block: all of it but its items.
type blockHead struct {
	before      Chain
	number      int64
	first, last router.Revision
	from, to    time.Time
	count       uint32
	bytes       uint32
}

const (
	blockHeadBytes = 32 + 5*8 + 2*4
	// blockBytesMax bounds the items of a block, which is held in memory whole. One transaction is
	// never divided, so it is much larger than what a block usually has.
	blockBytesMax = 1 << 30
	// readStep is how much is allocated before it is there.
	readStep = 1 << 20
)

// rawBlock is a block as it is stored; its chain has been checked.
type rawBlock struct {
	blockHead
	// text is all of it, but the chain after it.
	text  []byte
	after Chain
	// at is where it begins in its object's plaintext.
	at int64
}

// encoded are the items.
func (r *rawBlock) encoded() []byte { return r.text[blockHeadBytes:] }

// itemHeadMax is about the most that an item takes beside its key and value.
const itemHeadMax = 64

// encodedMax is about the most bytes that a segment of this block alone takes.
func (b *Block) encodedMax() int {
	size := 1<<10 + itemHeadMax*len(b.Items)
	for i := range b.Items {
		if kv := b.Items[i].Version.KV; kv != nil {
			size += len(kv.Key) + len(kv.Value)
		}
	}
	return size
}

// appendBlock encodes a block behind a chain, and returns the chain after it.
func appendBlock(to []byte, before Chain, b *Block) ([]byte, Chain, error) {
	start := len(to)
	to = append(to, make([]byte, blockHeadBytes)...)
	check := newBlockCheck(b.First, b.Last)
	var err error
	for i := range b.Items {
		if err = check.next(&b.Items[i]); err != nil {
			return nil, Chain{}, fmt.Errorf("block %d: %w", b.Number, err)
		}
		if to, err = appendItem(to, &b.Items[i]); err != nil {
			return nil, Chain{}, fmt.Errorf("block %d: %w", b.Number, err)
		}
	}
	if err = check.end(); err != nil {
		return nil, Chain{}, fmt.Errorf("block %d: %w", b.Number, err)
	}
	length := len(to) - start - blockHeadBytes
	head := blockHead{before: before, number: b.Number, first: b.First, last: b.Last, from: b.From, to: b.To,
		count: uint32(len(b.Items)), bytes: uint32(min(length, blockBytesMax+1))}
	if err = head.check(); err != nil {
		return nil, Chain{}, fmt.Errorf("block %d: %w", b.Number, err)
	}
	head.put(to[start:])
	after := Chain(sha256.Sum256(to[start:]))
	return append(to, after[:]...), after, nil
}

func (h *blockHead) put(to []byte) {
	copy(to, h.before[:])
	for i, number := range []int64{h.number, int64(h.first), int64(h.last), h.from.UnixMilli(), h.to.UnixMilli()} {
		binary.BigEndian.PutUint64(to[32+8*i:], uint64(number))
	}
	binary.BigEndian.PutUint32(to[72:], h.count)
	binary.BigEndian.PutUint32(to[76:], h.bytes)
}

func parseBlockHead(text []byte) (blockHead, error) {
	var h blockHead
	copy(h.before[:], text)
	var n [5]int64
	for i := range n {
		n[i] = int64(binary.BigEndian.Uint64(text[32+8*i:]))
	}
	h.number, h.first, h.last = n[0], router.Revision(n[1]), router.Revision(n[2])
	h.from, h.to = time.UnixMilli(n[3]), time.UnixMilli(n[4])
	h.count, h.bytes = binary.BigEndian.Uint32(text[72:]), binary.BigEndian.Uint32(text[76:])
	return h, h.check()
}

func (h *blockHead) check() error {
	switch {
	case h.number < 1 || h.number >= BlockMax:
		return fmt.Errorf("%w: the block number %d", ErrFormat, h.number)
	case h.first < 1 || h.last < h.first-1 || h.last > revisionMax:
		return fmt.Errorf("%w: a block of revisions %d to %d", ErrFormat, h.first, h.last)
	case !validTime(h.from) || !validTime(h.to) || h.to.Before(h.from):
		return fmt.Errorf("%w: a block from %v to %v", ErrFormat, h.from, h.to)
	case h.bytes > blockBytesMax || h.count > h.bytes:
		return fmt.Errorf("%w: a block of %d items in %d bytes", ErrFormat, h.count, h.bytes)
	}
	return nil
}

const (
	// revisionMax and timeMax are what names have room for.
	revisionMax = 9_999_999_999_999_999
	timeMax     = 9_999_999_999_999
)

func validTime(t time.Time) bool { ms := t.UnixMilli(); return ms >= 0 && ms <= timeMax }

// readBlock reads the next block and checks its chain.
func readBlock(r io.Reader) (rawBlock, error) {
	text := make([]byte, blockHeadBytes)
	if _, err := io.ReadFull(r, text); err != nil {
		return rawBlock{}, short(err)
	}
	head, err := parseBlockHead(text)
	if err != nil {
		return rawBlock{}, err
	}
	text, err = readMore(r, text, int(head.bytes)+sha256.Size)
	if err != nil {
		return rawBlock{}, err
	}
	end := len(text) - sha256.Size
	block := rawBlock{blockHead: head, text: text[:end:end], after: Chain(text[end:])}
	if sum := sha256.Sum256(block.text); !bytes.Equal(sum[:], text[end:]) {
		return rawBlock{}, fmt.Errorf("%w: the checksum of block %d is wrong", ErrFormat, head.number)
	}
	return block, nil
}

// readMore appends n bytes of r. It does not allocate much more than there is.
func readMore(r io.Reader, to []byte, n int) ([]byte, error) {
	for n > 0 {
		// At least doubling keeps the copying in proportion.
		step := min(n, max(readStep, len(to)))
		at := len(to)
		if cap(to)-at < step {
			grown := make([]byte, at, at+step)
			copy(grown, to)
			to = grown
		}
		to = to[:at+step]
		if _, err := io.ReadFull(r, to[at:]); err != nil {
			return nil, short(err)
		}
		n -= step
	}
	return to, nil
}

// short is the error of a read that had to bring something.
func short(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends too early", ErrFormat)
	}
	return err
}

// items yields the items of a block, in order, and checks them against its head. What it
// finds wrong it tells with the place within the object, if the block knows its own.
func (r *rawBlock) items(d *itemDecoder, yield func(*Item) error) error {
	check := newBlockCheck(r.first, r.last)
	all := r.encoded()
	found, done := uint32(0), 0
	// One item for all: its address goes to a function, and would cost an allocation each time.
	var it Item
	for done < len(all) {
		text, end, err := cutItem(all, done)
		if err == nil {
			err = d.decode(text, &it)
		}
		if err == nil {
			err = check.next(&it)
		}
		if err != nil {
			return fmt.Errorf("block %d at byte %d: %w", r.number, r.at+blockHeadBytes+int64(done), err)
		}
		if err := yield(&it); err != nil {
			return err
		}
		done = end
		found++
	}
	if found != r.count {
		return fmt.Errorf("%w: block %d has %d items, and says %d", ErrFormat, r.number, found, r.count)
	}
	return check.end()
}

// cutItem is the body of the item that begins there, and where it ends.
func cutItem(all []byte, at int) (text []byte, end int, err error) {
	length, width, err := itemLength(all[at:])
	if err != nil {
		return nil, 0, err
	}
	if width == 0 || length > len(all)-at-width {
		return nil, 0, fmt.Errorf("%w: an item goes beyond the end", ErrFormat)
	}
	end = at + width + length
	return all[at+width : end : end], end, nil
}

// blockCheck checks that a block has changes of each of its revisions.
type blockCheck struct {
	order
	first, last, changed router.Revision
}

func newBlockCheck(first, last router.Revision) blockCheck {
	return blockCheck{order: startOrder(first - 1), first: first, last: last, changed: first - 1}
}

func (c *blockCheck) next(it *Item) error {
	if err := c.order.next(it); err != nil {
		return err
	}
	if it.Kind == KindChange {
		if it.Revision > c.changed+1 {
			return fmt.Errorf("%w: revision %d follows %d", ErrFormat, it.Revision, c.changed)
		}
		c.changed = it.Revision
	}
	if it.Revision > c.changed {
		return fmt.Errorf("%w: something happened at revision %d, of which there is no change", ErrFormat, it.Revision)
	}
	return nil
}

func (c *blockCheck) end() error {
	if c.changed != c.last {
		return fmt.Errorf("%w: revisions end at %d instead of %d", ErrFormat, c.changed, c.last)
	}
	return nil
}
