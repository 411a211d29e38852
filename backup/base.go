package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/object"
)

// BaseHead is what a base says besides its items.
type BaseHead struct {
	// Block is the last block that is in it, 0 for the first base of a timeline that was
	// there before its archive. Revision and Compacted are the keyspace's after it (Compacted is -1 for
	// never), Time is the block's To.
	Block               int64
	Revision, Compacted router.Revision
	Time                time.Time
	// Chain is the one after the block. Of a base that begins it is Beginning, which WriteBase sets.
	Chain Chain
	// Begins says that the log does not lead here: this is where it begins, or goes on after a gap. Such a
	// base takes a number that no block has: 0, or after a gap one above the last block's.
	Begins bool
}

const (
	baseNumbers = 6
	// baseTailBytes is the length of what stands behind the last item: a zero, the counts, the sum.
	baseTailBytes = 1 + 2*8 + sha256.Size
	// baseSlab is how much of a base is read and written at once.
	baseSlab = 256 << 10
)

func (h BaseHead) encode(t Timeline, epoch int64) []byte {
	begins := int64(0)
	if h.Begins {
		begins = 1
	}
	text := appendHead(nil, baseMagic, t, h.Block, int64(h.Revision), int64(h.Compacted), h.Time.UnixMilli(), epoch, begins)
	return append(text, h.Chain[:]...)
}

func (h BaseHead) check(t Timeline) error {
	switch {
	case h.Block < 0 || h.Block >= BlockMax || h.Revision < 1 || h.Revision > revisionMax:
		return fmt.Errorf("%w: a base of block %d at revision %d", ErrFormat, h.Block, h.Revision)
	case h.Compacted < -1 || h.Compacted > h.Revision || !validTime(h.Time):
		return fmt.Errorf("%w: a base at revision %d compacted at %d, of %v", ErrFormat, h.Revision, h.Compacted, h.Time)
	case h.Block == 0 && !h.Begins:
		return fmt.Errorf("%w: a base of block 0 that does not begin a log", ErrFormat)
	case h.Begins && h.Chain != Beginning(t, h.Block, h.Revision):
		return fmt.Errorf("%w: a base that begins a log with a chain of another one", ErrFormat)
	}
	return nil
}

// WriteBase stores a snapshot. fill brings, in this order: KindChange for each version that a snapshot
// of the state holds (router.API.History), KindGrant for each lease and a KindAuth with
// all auth data, if there are any, at the revision of the base. Memory does not grow with what it brings. fill is called once; an error of
// it comes back, and nothing is stored then.
func (a *Archive) WriteBase(ctx context.Context, t Timeline, epoch int64, head BaseHead, fill func(add func(Item) error) error) (Base, error) {
	if head.Begins {
		head.Chain = Beginning(t, head.Block, head.Revision)
	}
	base := Base{Timeline: t, Block: head.Block, Revision: head.Revision, Time: head.Time, Epoch: epoch}
	if err := head.check(t); err != nil {
		return Base{}, fmt.Errorf("write a base: %w", err)
	}
	err := a.createStream(ctx, base.Name(), func(w io.Writer) error { return writeBase(w, t, epoch, head, fill) })
	if errors.Is(err, object.ErrExists) || errors.Is(err, object.ErrUnknown) {
		// Only this process writes that name, and always the same state.
		found, read := a.CheckBase(ctx, base)
		if read == nil && found.Head.Chain == head.Chain {
			err = nil
		}
	}
	if err != nil {
		return Base{}, err
	}
	return base, nil
}

// baseWriter encodes a base.
type baseWriter struct {
	w               io.Writer
	sum             hash.Hash
	buffer          []byte
	order           baseOrder
	changes, grants uint64
}

func writeBase(w io.Writer, t Timeline, epoch int64, head BaseHead, fill func(add func(Item) error) error) error {
	b := &baseWriter{w: w, sum: sha256.New(), buffer: head.encode(t, epoch), order: newBaseOrder(head.Revision)}
	if err := fill(b.add); err != nil {
		return err
	}
	b.buffer = append(b.buffer, 0)
	b.buffer = binary.BigEndian.AppendUint64(b.buffer, b.changes)
	b.buffer = binary.BigEndian.AppendUint64(b.buffer, b.grants)
	if err := b.flush(); err != nil {
		return err
	}
	_, err := w.Write(b.sum.Sum(nil))
	return err
}

func (b *baseWriter) add(it Item) error {
	if err := b.order.next(&it); err != nil {
		return err
	}
	if it.Kind == KindChange {
		b.changes++
	} else {
		b.grants++
	}
	var err error
	if b.buffer, err = appendItem(b.buffer, &it); err != nil {
		return err
	}
	if len(b.buffer) < baseSlab {
		return nil
	}
	return b.flush()
}

func (b *baseWriter) flush() error {
	b.sum.Write(b.buffer)
	_, err := b.w.Write(b.buffer)
	b.buffer = b.buffer[:0]
	return err
}

// baseOrder checks that a base has changes in order, then grants.
type baseOrder struct {
	order
	revision router.Revision
}

func newBaseOrder(revision router.Revision) baseOrder {
	return baseOrder{order: startOrder(0), revision: revision}
}

func (o *baseOrder) next(it *Item) error {
	switch {
	case it.Kind != KindChange && it.Kind != KindGrant && it.Kind != KindAuth:
		return fmt.Errorf("%w: an item of kind %d in a base", ErrFormat, it.Kind)
	case it.Kind != KindChange && it.Revision != o.revision || it.Revision > o.revision:
		return fmt.Errorf("%w: an item of revision %d in a base of revision %d", ErrFormat, it.Revision, o.revision)
	}
	return o.order.next(it)
}

// baseReader reads the plaintext of a base in pieces of whole items.
type baseReader struct {
	r    counting
	sum  hash.Hash
	head BaseHead
	// rest is what was read beyond the last piece.
	rest            []byte
	changes, grants uint64
	done            bool
}

// openBase reads the head, and checks that it is what its name says.
func openBase(r io.Reader, want Base) (*baseReader, error) {
	b := &baseReader{r: counting{r: r}, sum: sha256.New()}
	t, n, text, err := readHead(&b.r, baseMagic, baseNumbers)
	if err != nil {
		return nil, err
	}
	b.sum.Write(text)
	chain, err := readMore(&b.r, nil, sha256.Size)
	if err != nil {
		return nil, err
	}
	b.sum.Write(chain)
	b.head = BaseHead{
		Block: n[0], Revision: router.Revision(n[1]), Compacted: router.Revision(n[2]), Time: time.UnixMilli(n[3]),
		Chain: Chain(chain), Begins: n[5] == 1,
	}
	found := Base{Timeline: t, Block: n[0], Revision: b.head.Revision, Time: b.head.Time, Epoch: n[4]}
	if found.Name() != want.Name() {
		return nil, fmt.Errorf("%w: it says that it is %s", ErrFormat, found.Name())
	}
	if n[5] != 0 && n[5] != 1 {
		return nil, fmt.Errorf("%w: whether it begins a log is %d", ErrFormat, n[5])
	}
	return b, b.head.check(t)
}

// piece reads the next whole items, at least one; io.EOF behind the last, if all is as it should be.
func (b *baseReader) piece() ([]byte, error) {
	if b.done {
		return nil, io.EOF
	}
	slab := make([]byte, len(b.rest), max(baseSlab, 2*len(b.rest)))
	copy(slab, b.rest)
	for {
		whole, need, tail, err := wholeItems(slab)
		switch {
		case err != nil:
			return nil, err
		case tail:
			return b.tail(slab[:whole:whole], slab[whole:])
		case whole > 0:
			b.rest = slab[whole:]
			b.sum.Write(slab[:whole])
			return slab[:whole:whole], nil
		}
		if slab, err = b.more(slab, need); err != nil {
			return nil, err
		}
	}
}

// more fills a slab as far as there is something to read: up to need bytes, if that is
// known, at least one more otherwise.
func (b *baseReader) more(slab []byte, need int) ([]byte, error) {
	at := len(slab)
	if need > cap(slab) {
		return readMore(&b.r, slab, need-at)
	}
	n, err := io.ReadFull(&b.r, slab[at:cap(slab)])
	if err == io.ErrUnexpectedEOF && at+n >= need {
		err = nil
	}
	if err != nil {
		return nil, short(err)
	}
	return slab[:at+n], nil
}

// wholeItems finds how many bytes of text are whole items, and either that the tail stands behind them, or how many
// bytes the first item has, if not even that one is whole and its length is known.
func wholeItems(text []byte) (whole, need int, tail bool, err error) {
	for whole < len(text) {
		length, width, err := itemLength(text[whole:])
		switch {
		case err != nil:
			return 0, 0, false, err
		case width > 0 && length == 0:
			return whole, 0, true, nil
		case width == 0:
			return whole, 0, false, nil
		case length > len(text)-whole-width && whole > 0:
			return whole, 0, false, nil
		case length > len(text)-whole-width:
			return 0, width + length, false, nil
		}
		whole += width + length
	}
	return whole, 0, false, nil
}

// tail reads what stands behind the last item, and checks it against all before.
func (b *baseReader) tail(items, tail []byte) ([]byte, error) {
	b.done = true
	b.sum.Write(items)
	if len(tail) < baseTailBytes {
		var err error
		if tail, err = readMore(&b.r, bytes.Clone(tail), baseTailBytes-len(tail)); err != nil {
			return nil, err
		}
	}
	counts := tail[:baseTailBytes-sha256.Size]
	b.sum.Write(counts)
	b.changes, b.grants = binary.BigEndian.Uint64(counts[1:]), binary.BigEndian.Uint64(counts[9:])
	switch {
	case len(tail) > baseTailBytes:
		return nil, fmt.Errorf("%w: more follows its end", ErrFormat)
	case !bytes.Equal(b.sum.Sum(nil), tail[len(counts):]):
		return nil, fmt.Errorf("%w: the checksum is wrong", ErrFormat)
	}
	if err := ended(&b.r); err != io.EOF {
		return nil, err
	}
	if len(items) == 0 {
		return nil, io.EOF
	}
	return items, nil
}

// baseItems decodes the pieces of a base.
type baseItems struct {
	decoder         itemDecoder
	order           baseOrder
	changes, grants uint64
	item            Item
}

func (b *baseItems) each(piece []byte, yield func(*Item) error) error {
	for at := 0; at < len(piece); {
		text, end, err := cutItem(piece, at)
		if err != nil {
			return err
		}
		if err := b.decoder.decode(text, &b.item); err != nil {
			return err
		}
		if err := b.order.next(&b.item); err != nil {
			return err
		}
		if b.item.Kind == KindChange {
			b.changes++
		} else {
			b.grants++
		}
		if err := yield(&b.item); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// end checks the counts that the base says it has.
func (b *baseItems) end(r *baseReader) error {
	if b.changes != r.changes || b.grants != r.grants {
		return fmt.Errorf("%w: it has %d changes and %d grants, and says %d and %d", ErrFormat, b.changes, b.grants, r.changes, r.grants)
	}
	return nil
}

// BaseCheck is what was found in a base.
type BaseCheck struct {
	Head BaseHead
	// Changes and Leases count what is in it; Bytes is the length of its plaintext.
	Changes, Leases, Bytes int64
}

// CheckBase reads a base whole, with all its items.
func (a *Archive) CheckBase(ctx context.Context, b Base) (BaseCheck, error) {
	return a.eachItem(ctx, b, func(*Item) error { return nil })
}

// eachItem reads a base.
func (a *Archive) eachItem(ctx context.Context, b Base, yield func(*Item) error) (BaseCheck, error) {
	plain, err := a.open(ctx, b.Name())
	if err != nil {
		return BaseCheck{}, err
	}
	defer plain.Close()
	reader, err := openBase(plain, b)
	if err != nil {
		return BaseCheck{}, fmt.Errorf("%s: %w", b.Name(), err)
	}
	items := baseItems{order: newBaseOrder(b.Revision)}
	for {
		piece, err := reader.piece()
		if err == nil {
			err = items.each(piece, yield)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return BaseCheck{}, fmt.Errorf("%s at byte %d: %w", b.Name(), reader.r.n, err)
		}
	}
	if err := items.end(reader); err != nil {
		return BaseCheck{}, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return BaseCheck{Head: reader.head, Changes: int64(items.changes), Leases: int64(items.grants), Bytes: reader.r.n}, nil
}
