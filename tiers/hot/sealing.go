package hot

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// What opening a sealed value can be refused for.
var (
	// ErrSealAltered: a sealed value is not what was sealed for its key.
	ErrSealAltered = errors.New("a sealed value has been altered")
	// ErrSealKey: the key of sealed values is not at hand. Where it comes from a write,
	// nothing was written.
	ErrSealKey = errors.New("the key of sealed values is not at hand")
)

// Sealer encrypts values before they reach Redis. What this package takes and gives are
// values as they are: all that Redis has is sealed, and each record says for itself whether
// its value is, so both kinds may be there side by side. It is safe for concurrent use.
type Sealer interface {
	// On says that values are sealed from now on.
	On() bool
	// Seal gives what is stored as the value of a key, and whether that is sealed. ErrSealKey
	// if it ought to be and cannot.
	Seal(key, value []byte) (stored []byte, sealed bool, err error)
	// Open is its inverse for what is sealed. ErrSealKey, ErrSealAltered.
	Open(ctx context.Context, key, stored []byte) ([]byte, error)
	// Current says that Seal would store a value like this: sealed with the same key, or
	// not sealed.
	Current(stored []byte, sealed bool) bool
	// Plain is ErrSealAltered where all values are sealed: one that is not was put there by
	// somebody else.
	Plain(ctx context.Context) error
}

// unsealed is the Sealer of a client that has none.
type unsealed struct{}

func (unsealed) On() bool                                   { return false }
func (unsealed) Seal(_, value []byte) ([]byte, bool, error) { return value, false, nil }
func (unsealed) Current(_ []byte, sealed bool) bool         { return !sealed }
func (unsealed) Open(context.Context, []byte, []byte) ([]byte, error) {
	return nil, fmt.Errorf("%w: none was given", ErrSealKey)
}

func (unsealed) Plain(context.Context) error { return nil }

// The flags of a record.
const (
	recordDeleted = 1 << iota
	recordSealed
)

// Seals says that values are sealed from now on: a condition cannot compare them then.
func (c *Client) Seals() bool { return c.parts.Sealer.On() }

// opener makes plain the values of records that were read, or notes why that cannot be.
type opener func(r *Record)

func (c *Client) opener(ctx context.Context) opener {
	return func(r *Record) {
		if r.Deleted {
			return
		}
		value, err := r.Value, error(nil)
		if r.Sealed {
			value, err = c.parts.Sealer.Open(ctx, r.Key, r.Value)
		} else if err = c.parts.Sealer.Plain(ctx); err != nil {
			value = nil
		}
		if err != nil {
			r.Unopened = fmt.Errorf("open the value of key %q on shard %d: %w", r.Key, c.settings.Shard, err)
		}
		r.Value = value
	}
}

// sealOperation seals what an operation puts.
func (c *Client) sealOperation(o *Operation) (value []byte, flags byte, err error) {
	if o.flags&IgnoreValue != 0 {
		return o.value, o.flags, nil
	}
	value, sealed, err := c.parts.Sealer.Seal(o.span.from, o.value)
	if err != nil {
		return nil, 0, fmt.Errorf("seal a value: %w", err)
	}
	if sealed {
		return value, o.flags | putSealed, nil
	}
	return value, o.flags, nil
}

// Kinds of an effect (lua/effects.lua) and of an item of a load (lua/load.lua).
const (
	kindPut byte = iota
	kindDelete
	kindPutSealed
)

// effectHeaderBytes is the length of a packed effect before its key.
const effectHeaderBytes = 20

// SealEffects makes packed effects such as may reach Redis: their values are sealed as all are
// now. Those that were sealed before, with a key that was replaced since, are sealed anew.
func (c *Client) SealEffects(ctx context.Context, packed []byte) ([]byte, error) {
	out := make([]byte, 0, len(packed))
	for len(packed) > 0 {
		d := decoder{rest: packed}
		d.take(effectHeaderBytes - 8)
		keyLength, valueLength := d.length(), d.length()
		key, value := d.take(keyLength), d.take(valueLength)
		if d.failed {
			return nil, fmt.Errorf("seal effects: %w", ErrReply)
		}
		head, kind := packed[:effectHeaderBytes], packed[3]
		packed = d.rest
		if kind != kindDelete && !c.parts.Sealer.Current(value, kind == kindPutSealed) {
			var err error
			if value, kind, err = c.renew(ctx, key, value, kind == kindPutSealed); err != nil {
				return nil, fmt.Errorf("seal effects: %w", err)
			}
		}
		at := len(out)
		out = append(out, head...)
		out[at+3] = kind
		binary.BigEndian.PutUint32(out[at+effectHeaderBytes-4:], uint32(len(value)))
		out = append(append(out, key...), value...)
	}
	return out, nil
}

// renew seals a stored value as all are now.
func (c *Client) renew(ctx context.Context, key, stored []byte, sealed bool) ([]byte, byte, error) {
	value := stored
	if sealed {
		var err error
		if value, err = c.parts.Sealer.Open(ctx, key, stored); err != nil {
			return nil, 0, fmt.Errorf("open the value of key %q: %w", key, err)
		}
	}
	value, sealed, err := c.parts.Sealer.Seal(key, value)
	if sealed {
		return value, kindPutSealed, err
	}
	return value, kindPut, err
}

// Limits of one stretch of Renew.
const (
	// renewBytesWanted is about how much is read at once; renewFieldsMin and renewFieldsMax
	// bound the records, as far as Redis goes by that.
	renewBytesWanted               = 256 << 10
	renewFieldsMin, renewFieldsMax = 4, 512
	// renewCallBytes bounds what one call replaces, beyond its first record.
	renewCallBytes = 1 << 20
	// renewHeadBytes of a stored value tell one sealing from another.
	renewHeadBytes = 32
)

// Renewal goes over all records of a shard, a stretch at a time, and seals anew what is not
// sealed as all are now. The zero value begins.
type Renewal struct {
	// Looked are the records seen so far, some of them perhaps twice, Total those that there
	// are; Renewed those that were replaced, Left those that could not be now.
	Looked, Total, Renewed, Left int64
	// Done says that all were seen.
	Done   bool
	cursor uint64
	fields int64
	// incarnation is the one that the cursor means something in.
	incarnation string
}

// Renew goes on with a renewal for a stretch of the shard. Nothing that readers are told
// changes by it. A shard that has begun another life is gone over from its beginning.
func (c *Client) Renew(ctx context.Context, r *Renewal) error {
	l, err := c.alive(ctx)
	if err != nil {
		return err
	}
	if r.incarnation != l.incarnation {
		total, err := c.parts.Redis.HLen(ctx, c.names[recKey]).Result()
		if err != nil {
			return fmt.Errorf("count the records of shard %d: %w", c.settings.Shard, classify(err))
		}
		*r = Renewal{Renewed: r.Renewed, Total: total, fields: renewFieldsMin, incarnation: l.incarnation}
	}
	found, next, err := c.parts.Redis.HScan(ctx, c.names[recKey], r.cursor, "", r.fields).Result()
	if err != nil {
		return fmt.Errorf("read the records of shard %d: %w", c.settings.Shard, classify(err))
	}
	size, err := c.renewAll(ctx, r, found)
	if err != nil {
		return err
	}
	r.fields = min(max(r.fields*renewBytesWanted/int64(max(size, 1)), r.fields/4, renewFieldsMin), r.fields*2, renewFieldsMax)
	r.Looked += int64(len(found) / 2)
	r.cursor, r.Done = next, next == 0
	return nil
}

// renewAll replaces what is to be replaced of records, each after its name, and says how many
// bytes they had.
func (c *Client) renewAll(ctx context.Context, r *Renewal, found []string) (size int, err error) {
	var args []any
	waiting := 0
	flush := func() error {
		if len(args) == 0 {
			return nil
		}
		reply, err := c.read(ctx, scriptReseal, nil, args...)
		if err != nil {
			return fmt.Errorf("replace records of shard %d: %w", c.settings.Shard, err)
		}
		d := decoder{rest: reply}
		r.Renewed += d.int8()
		r.Left += d.int8()
		args, waiting = nil, 0
		return d.end()
	}
	for i := 0; i+1 < len(found); i += 2 {
		name, old := found[i], bytesOf(found[i+1])
		size += len(old)
		next, err := c.renewRecord(ctx, name, old)
		if err != nil {
			return size, err
		}
		if next == nil {
			continue
		}
		args = append(args, name, len(old), old[:min(len(old), len(next), renewHeadBytes+recordHeaderBytes+keyLength(old))], next)
		if waiting += len(next) + len(old); waiting > renewCallBytes {
			if err := flush(); err != nil {
				return size, err
			}
		}
	}
	return size, flush()
}

// keyLength is that of the key of a record.
func keyLength(record []byte) int {
	return int(binary.BigEndian.Uint32(record[recordHeaderBytes-4:]))
}

// renewRecord gives what is to take a record's place, nil if it may stay.
func (c *Client) renewRecord(ctx context.Context, name string, stored []byte) ([]byte, error) {
	if bytes.HasSuffix(bytesOf(name), []byte(":i")) {
		return nil, nil // numbers of events
	}
	record, err := decodeRecord(stored)
	if err != nil {
		return nil, fmt.Errorf("record %s of shard %d: %w", name, c.settings.Shard, err)
	}
	if record.Deleted || c.parts.Sealer.Current(record.Value, record.Sealed) {
		return nil, nil
	}
	if !record.Sealed && c.parts.Sealer.Plain(ctx) != nil {
		return nil, nil // nobody is told it, and it does not become a sealed one
	}
	value, kind, err := c.renew(ctx, record.Key, record.Value, record.Sealed)
	if err != nil {
		return nil, fmt.Errorf("record %s of shard %d: %w", name, c.settings.Shard, err)
	}
	head := recordHeaderBytes + len(record.Key)
	next := append(make([]byte, 0, head+len(value)), stored[:head]...)
	next[0] = stored[0] &^ recordSealed
	if kind == kindPutSealed {
		next[0] |= recordSealed
	}
	return append(next, value...), nil
}
