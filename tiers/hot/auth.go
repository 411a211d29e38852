package hot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// AuthField is a change of one field of the auth data: what it is set to, or that it is
// removed. What the fields mean is not known here.
type AuthField struct {
	Name    string
	Removed bool
	Value   []byte
}

// authHeader is the length of what stands before a packed field: length of the name (4
// bytes), 1 if it is set (1), length of the value (4).
const authHeader = 9

// PackAuth encodes a change as lua/plan.lua reads it and the journal keeps it.
func PackAuth(fields []AuthField) []byte {
	out := []byte{}
	for i := range fields {
		f := &fields[i]
		set := byte(1)
		if f.Removed {
			set, f.Value = 0, nil
		}
		out = binary.BigEndian.AppendUint32(out, uint32(len(f.Name)))
		out = append(out, set)
		out = binary.BigEndian.AppendUint32(out, uint32(len(f.Value)))
		out = append(append(out, f.Name...), f.Value...)
	}
	return out
}

// UnpackAuth decodes what PackAuth has made. ErrReply for anything else.
func UnpackAuth(packed []byte) ([]AuthField, error) {
	var fields []AuthField
	d := decoder{rest: packed}
	for len(d.rest) >= authHeader && !d.failed {
		name, set, value := int(d.uint(4)), d.byte(), int(d.uint(4))
		if set > 1 || set == 0 && value > 0 {
			return nil, fmt.Errorf("a change of auth data: %w", ErrReply)
		}
		fields = append(fields, AuthField{Name: string(d.take(name)), Removed: set == 0, Value: d.take(value)})
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("a change of auth data: %w", err)
	}
	return fields, nil
}

// Auth reads the auth data and their version, 0 if they were never changed. It is the
// sequencer's to answer.
func (c *Client) Auth(ctx context.Context) (version int64, fields map[string]string, err error) {
	err = repeat(ctx, "auth data", notKnownDone, func(ctx context.Context) error {
		l, err := c.alive(ctx)
		if err != nil {
			return err
		}
		var number *redis.StringCmd
		var all *redis.MapStringStringCmd
		// Both of one moment.
		_, err = c.parts.Redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
			number = p.HGet(ctx, c.names[orderKey], authVersionField)
			all = p.HGetAll(ctx, c.names[authKey])
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return c.failed(l, err)
		}
		if version, err = authVersion(number); err != nil {
			return err
		}
		if fields, err = all.Result(); err != nil {
			return c.failed(l, err)
		}
		// A script behind it: these belong to the life that is known.
		_, err = c.once(ctx, scriptInspect, nil, []any{"summary"})
		return err
	})
	if err != nil {
		return 0, nil, fmt.Errorf("read auth data: %w", err)
	}
	return version, fields, nil
}

// authVersionField is where the order has the version of the auth data.
const authVersionField = "auth"

// authVersion reads it; 0 if there is none.
func authVersion(read *redis.StringCmd) (int64, error) {
	text, err := read.Result()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	version, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: the version of the auth data: %w", ErrReply, err)
	}
	return version, nil
}

// tokenName is the Redis key of a token, which lives beside the sequencer.
func (c *Client) tokenName(id string) string {
	return c.names[authKey] + ":token:" + id
}

// SaveToken keeps a value under an id for a time. Tokens can be made again, so they
// are not guarded against the loss of a Redis as data is.
func (c *Client) SaveToken(ctx context.Context, id string, value []byte, ttl time.Duration) error {
	if err := c.parts.Redis.Set(ctx, c.tokenName(id), value, ttl).Err(); err != nil {
		return fmt.Errorf("save a token: %w", classify(err))
	}
	return nil
}

// UseToken gives the value of a token, if there is one, which lives for ttl from now on.
func (c *Client) UseToken(ctx context.Context, id string, ttl time.Duration) (value []byte, found bool, err error) {
	text, err := c.parts.Redis.GetEx(ctx, c.tokenName(id), ttl).Result()
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("use a token: %w", classify(err))
	}
	return bytesOf(text), true, nil
}
