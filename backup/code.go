package backup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/router"
)

// Bounds of what is decoded.
const (
	// itemBytesMax is the length of the largest item: a key and a value, and what goes with them.
	itemBytesMax = 1 << 29
	// kvSlab is how many versions of keys are allocated at once.
	kvSlab = 64
)

// ErrFormat: an object was opened, so it is what was written, but does not say
// what its format allows. It was made by another release, or by a bug.
var ErrFormat = errors.New("malformed")

// Bits of the flags of a change.
const (
	flagTombstone = 1
	flagLease     = 2
)

// appendItem encodes an item: its length, then its body. There is one way to encode each item.
func appendItem(to []byte, it *Item) ([]byte, error) {
	start := len(to)
	// Room for a length of one byte, which most bodies have; others are moved.
	to = append(to, 0)
	to, err := appendBody(to, it)
	if err != nil {
		return to[:start], err
	}
	length := len(to) - start - 1
	if length > itemBytesMax {
		return to[:start], fmt.Errorf("an item of %d bytes is longer than %d", length, itemBytesMax)
	}
	if length < 0x80 {
		to[start] = byte(length)
		return to, nil
	}
	var head [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], uint64(length))
	to = append(to, head[:n-1]...)
	copy(to[start+n:], to[start+1:start+1+length])
	copy(to[start:], head[:n])
	return to, nil
}

func appendBody(to []byte, it *Item) ([]byte, error) {
	if it.Revision < 0 {
		return to, fmt.Errorf("an item has the revision %d", it.Revision)
	}
	to = append(to, byte(it.Kind))
	to = binary.AppendUvarint(to, uint64(it.Revision))
	switch it.Kind {
	case KindChange:
		return appendChange(to, it)
	case KindGrant, KindEnd:
		if it.TTLSeconds < 0 {
			return to, fmt.Errorf("lease %x has a TTL of %d", it.Lease, it.TTLSeconds)
		}
		to = binary.BigEndian.AppendUint64(to, uint64(it.Lease))
		return binary.AppendUvarint(to, uint64(it.TTLSeconds)), nil
	case KindCompact:
		if it.Compacted < -1 {
			return to, fmt.Errorf("a compaction of revision %d", it.Compacted)
		}
		return binary.AppendUvarint(to, uint64(it.Compacted+1)), nil
	case KindMark:
		ms := it.Time.UnixMilli()
		if ms < 0 {
			return to, fmt.Errorf("a mark at %v", it.Time)
		}
		return binary.AppendUvarint(to, uint64(ms)), nil
	case KindForget:
		return to, nil
	case KindAuth:
		return appendAuth(to, it.Auth)
	default:
		return to, fmt.Errorf("an item of the unknown kind %d", it.Kind)
	}
}

// appendAuth encodes fields: each 1 if it is set and 0 if it is removed, the length of its name, the
// name, and if it is set the length of its value and the value.
func appendAuth(to []byte, fields []router.AuthField) ([]byte, error) {
	if len(fields) == 0 {
		return to, errors.New("a change of auth data without a field")
	}
	for _, f := range fields {
		if f.Removed {
			to = append(binary.AppendUvarint(append(to, 0), uint64(len(f.Name))), f.Name...)
			continue
		}
		to = append(binary.AppendUvarint(append(to, 1), uint64(len(f.Name))), f.Name...)
		to = append(binary.AppendUvarint(to, uint64(len(f.Value))), f.Value...)
	}
	return to, nil
}

func (b *body) auth() (fields []router.AuthField) {
	for len(b.left) > 0 || len(fields) == 0 && !b.failed {
		set := b.octet()
		f := router.AuthField{Removed: set == 0, Name: string(b.text())}
		if set == 1 {
			f.Value = bytes.Clone(b.text())
		}
		if set > 1 {
			b.fail()
		}
		fields = append(fields, f)
	}
	return fields
}

// text reads a length and as many bytes.
func (b *body) text() []byte {
	length := b.number()
	if length > int64(len(b.left)) {
		b.fail()
		return nil
	}
	text := b.left[:length:length]
	b.left = b.left[length:]
	return text
}

func appendChange(to []byte, it *Item) ([]byte, error) {
	v := &it.Version
	kv := v.KV
	switch {
	case kv == nil || len(kv.Key) == 0:
		return to, fmt.Errorf("the change of revision %d has no key", it.Revision)
	case v.Main != it.Revision:
		return to, fmt.Errorf("the change of revision %d says that it has revision %d", it.Revision, v.Main)
	case v.Sub < 0:
		return to, fmt.Errorf("the change of revision %d has the number %d", it.Revision, v.Sub)
	case v.Tombstone:
		to = append(binary.AppendUvarint(to, uint64(v.Sub)), flagTombstone)
		return append(to, kv.Key...), nil
	case kv.ModRevision != int64(v.Main) || kv.CreateRevision < 0 || kv.Version < 0:
		return to, fmt.Errorf("the change of revision %d has mod revision %d, create revision %d, version %d",
			v.Main, kv.ModRevision, kv.CreateRevision, kv.Version)
	}
	to = binary.AppendUvarint(to, uint64(v.Sub))
	if kv.Lease == 0 {
		to = append(to, 0)
	} else {
		to = binary.BigEndian.AppendUint64(append(to, flagLease), uint64(kv.Lease))
	}
	to = binary.AppendUvarint(to, uint64(kv.CreateRevision))
	to = binary.AppendUvarint(to, uint64(kv.Version))
	to = binary.AppendUvarint(to, uint64(len(kv.Key)))
	return append(append(to, kv.Key...), kv.Value...), nil
}

// body reads the parts of an encoded item. After its first failure it stays failed.
type body struct {
	left   []byte
	failed bool
}

func (b *body) fail() { b.failed, b.left = true, nil }

func (b *body) octet() byte {
	if len(b.left) == 0 {
		b.fail()
		return 0
	}
	first := b.left[0]
	b.left = b.left[1:]
	return first
}

// number reads an unsigned varint in its shortest form, up to the greatest int64.
func (b *body) number() int64 {
	value, n := binary.Uvarint(b.left)
	if n <= 0 || value > math.MaxInt64 || (n > 1 && b.left[n-1] == 0) {
		b.fail()
		return 0
	}
	b.left = b.left[n:]
	return int64(value)
}

func (b *body) fixed() int64 {
	if len(b.left) < 8 {
		b.fail()
		return 0
	}
	value := binary.BigEndian.Uint64(b.left)
	b.left = b.left[8:]
	return int64(value)
}

// itemDecoder decodes items whose keys and values stay in the bytes given, and
// allocates the rest of versions many at once.
type itemDecoder struct{ kvs []mvccpb.KeyValue }

// decode decodes the body of an item.
func (d *itemDecoder) decode(text []byte, it *Item) error {
	b := body{left: text}
	*it = Item{Kind: Kind(b.octet()), Revision: router.Revision(b.number())}
	switch it.Kind {
	case KindChange:
		d.change(&b, it)
		return b.complete()
	case KindGrant, KindEnd:
		it.Lease, it.TTLSeconds = b.fixed(), b.number()
	case KindCompact:
		it.Compacted = router.Revision(b.number() - 1)
	case KindMark:
		it.Time = time.UnixMilli(b.number())
	case KindForget:
	case KindAuth:
		it.Auth = b.auth()
	default:
		return fmt.Errorf("%w: an item of the unknown kind %d", ErrFormat, it.Kind)
	}
	if len(b.left) > 0 {
		b.fail()
	}
	return b.complete()
}

func (b *body) complete() error {
	if b.failed {
		return fmt.Errorf("%w: an item does not have the parts of its kind", ErrFormat)
	}
	return nil
}

func (d *itemDecoder) change(b *body, it *Item) {
	if len(d.kvs) == 0 {
		d.kvs = make([]mvccpb.KeyValue, kvSlab)
	}
	kv := &d.kvs[0]
	d.kvs = d.kvs[1:]
	it.Version = router.Version{Main: it.Revision, Sub: b.number(), KV: kv}
	switch flags := b.octet(); flags {
	case flagTombstone:
		it.Version.Tombstone = true
		if len(b.left) == 0 {
			b.fail()
		}
		kv.Key = b.left[:len(b.left):len(b.left)]
		return
	case flagLease:
		if kv.Lease = b.fixed(); kv.Lease == 0 {
			b.fail()
		}
	case 0:
	default:
		b.fail()
	}
	kv.ModRevision = int64(it.Revision)
	kv.CreateRevision, kv.Version = b.number(), b.number()
	length := b.number()
	if length <= 0 || length > int64(len(b.left)) {
		b.fail()
		return
	}
	kv.Key = b.left[:length:length]
	if value := b.left[length:]; len(value) > 0 {
		kv.Value = value[:len(value):len(value)]
	}
}

// itemLength reads the length before an item: that, and how many bytes the length takes; 0 of them if
// text ends before it is complete.
func itemLength(text []byte) (length, width int, err error) {
	value, n := binary.Uvarint(text)
	switch {
	case n == 0 && len(text) < binary.MaxVarintLen64:
		return 0, 0, nil
	case n <= 0 || value > itemBytesMax || (n > 1 && text[n-1] == 0):
		return 0, 0, fmt.Errorf("%w: the length of an item", ErrFormat)
	default:
		return int(value), n, nil
	}
}

// order checks that items come in the order of a log: revisions never fall, the changes of a
// revision have rising numbers and come before what is no change.
type order struct {
	revision router.Revision
	sub      int64
	closed   bool
}

// startOrder is the order of what comes after revision.
func startOrder(after router.Revision) order { return order{revision: after, closed: true} }

func (o *order) next(it *Item) error {
	if it.Kind != KindChange {
		if it.Revision < o.revision {
			return fmt.Errorf("%w: revision %d after %d", ErrFormat, it.Revision, o.revision)
		}
		o.revision, o.closed = it.Revision, true
		return nil
	}
	after := it.Revision > o.revision || it.Revision == o.revision && !o.closed && it.Version.Sub > o.sub
	if !after {
		return fmt.Errorf("%w: the change %d/%d comes too late", ErrFormat, it.Revision, it.Version.Sub)
	}
	o.revision, o.sub, o.closed = it.Revision, it.Version.Sub, false
	return nil
}
