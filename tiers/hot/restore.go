package hot

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// RestoreItem is a change that a restore brings.
type RestoreItem struct {
	Item Item
	// Recent says that it is from the floor on; First, that it is the first of its revision, which
	// has Item.Events of them.
	Recent, First bool
}

// RestoreBatch is what one call brings: items in order.
type RestoreBatch struct {
	// Number counts the batches of a restore: 1, 2, 3, ...
	Number int64
	Items  []RestoreItem
}

// OtherRestore is the ErrOtherRestore that says what is being restored.
type OtherRestore struct{ ID string }

func (e *OtherRestore) Error() string { return fmt.Sprintf("%v: %s", ErrOtherRestore, e.ID) }

// Unwrap makes it an ErrOtherRestore.
func (e *OtherRestore) Unwrap() error { return ErrOtherRestore }

// The kinds of an item in lua/restore.lua.
const (
	restoreDeletion = 1 << iota
	restoreRecent
	restoreFirst
)

// leasesPerCall bounds the leases of one call.
const leasesPerCall = 10_000

// BeginRestore begins to fill a place that holds no keyspace with what id names, or goes on
// with it: then it says how many items and batches are there. From floor on, all
// changes will be brought. ErrKeyspaceExists, *OtherRestore.
func (c *Client) BeginRestore(ctx context.Context, id string, floor Revision) (items, batches int64, err error) {
	reply, err := c.restore(ctx, "begin", id, int64(floor), MemberGood.Milliseconds())
	switch {
	case err != nil:
		return 0, 0, err
	case len(reply) == 1 && reply[0] == "exists":
		return 0, 0, ErrKeyspaceExists
	case len(reply) == 2 && reply[0] == "other":
		return 0, 0, &OtherRestore{ID: reply[1]}
	case len(reply) != 3:
		return 0, 0, fmt.Errorf("%w: restore answered %q", ErrReply, reply)
	}
	items, errItems := strconv.ParseInt(reply[1], 10, 64)
	batches, errBatches := strconv.ParseInt(reply[2], 10, 64)
	if err := errors.Join(errItems, errBatches); err != nil {
		return 0, 0, fmt.Errorf("%w: restore answered %q: %w", ErrReply, reply, err)
	}
	return items, batches, nil
}

// RestoreText keeps a text beside the shard map of what is being restored, if there is none of
// that name and it is not empty, and gives the one that is there.
func (c *Client) RestoreText(ctx context.Context, id, name, text string) (string, error) {
	reply, err := c.restore(ctx, "text", id, name, text)
	if err != nil {
		return "", err
	}
	if len(reply) != 2 {
		return "", fmt.Errorf("%w: restore answered %d texts", ErrReply, len(reply))
	}
	return reply[1], nil
}

// LoadRestore brings batches, in order, in one round trip. Those that were brought before
// change nothing.
func (c *Client) LoadRestore(ctx context.Context, id string, batches []RestoreBatch) error {
	text, err := scriptText(scriptRestore, "", c.settings.ReplicaAcks > 0)
	if err != nil {
		return err
	}
	arguments := make([][]any, len(batches))
	for i := range batches {
		packed, err := c.packRestore(ctx, batches[i].Items)
		if err != nil {
			return fmt.Errorf("seal what is restored: %w", err)
		}
		arguments[i] = append([]any{"load", id, batches[i].Number}, packed...)
	}
	return repeat(ctx, scriptRestore, notKnownDone, func(ctx context.Context) error {
		calls := make([]*redis.Cmd, len(batches))
		err := c.send(ctx, func(p redis.Pipeliner) {
			for i := range batches {
				calls[i] = p.Do(ctx, c.evalCommand(text, arguments[i]...)...)
			}
		})
		for _, call := range calls { // the first failure is the cause of those after it
			if call != nil && call.Err() != nil {
				return classify(call.Err())
			}
		}
		if err != nil {
			return classify(err)
		}
		return nil
	})
}

// packRestore makes the program of a batch and the records of its items, which are as they will be stored
// but for what the script alone knows.
func (c *Client) packRestore(ctx context.Context, items []RestoreItem) ([]any, error) {
	size := 0
	for i := range items {
		size += recordHeaderBytes + len(items[i].Item.Key) + len(items[i].Item.Value)
	}
	program, records := make([]byte, 0, 37*len(items)), make([]byte, 0, size)
	out := append(make([]any, 0, len(items)+1), nil)
	for i := range items {
		it := &items[i].Item
		kind, events, create, flags := byte(0), 1, it.Create, byte(0)
		value := it.Value
		if it.Deleted {
			kind |= restoreDeletion
			flags = recordDeleted
		} else {
			var form byte
			var err error
			if value, form, err = c.renew(ctx, it.Key, value, false); err != nil {
				return nil, err
			}
			if form == kindPutSealed {
				flags = recordSealed
			}
		}
		if items[i].Recent {
			kind |= restoreRecent
			events = 0
			if create == int64(it.Mod) {
				create = 0 // it is its own
			}
		}
		if items[i].First {
			kind |= restoreFirst
			events = it.Events
		}
		program = append(program, kind, byte(it.Sub>>16), byte(it.Sub>>8), byte(it.Sub))
		program = append7(append7(append7(program, it.Create), int64(it.Mod)), it.Version)
		program = binary.BigEndian.AppendUint64(program, uint64(it.Lease))
		program = binary.BigEndian.AppendUint32(program, uint32(len(it.Key)))
		at := len(records)
		records = append(records, flags, byte(events>>16), byte(events>>8), byte(events))
		records = append7(append7(records, create), it.Version)
		records = binary.BigEndian.AppendUint64(records, uint64(it.Lease))
		records = append(records, make([]byte, 17)...)
		records = binary.BigEndian.AppendUint32(records, uint32(len(it.Key)))
		records = append(append(records, it.Key...), value...)
		out = append(out, records[at:len(records):len(records)])
	}
	out[0] = program
	return out, nil
}

// RestoreLeases brings leases; they have their full time to live from the end of the restore on.
func (c *Client) RestoreLeases(ctx context.Context, id string, leases []Lease) error {
	for len(leases) > 0 {
		n := min(len(leases), leasesPerCall)
		packed := make([]byte, 0, 16*n)
		for _, l := range leases[:n] {
			packed = binary.BigEndian.AppendUint64(packed, uint64(l.ID))
			packed = binary.BigEndian.AppendUint64(packed, uint64(l.TTLSeconds))
		}
		if _, err := c.restore(ctx, "leases", id, packed); err != nil {
			return err
		}
		leases = leases[n:]
	}
	return nil
}

// RestoreAuth brings all auth data at once.
func (c *Client) RestoreAuth(ctx context.Context, id string, fields []AuthField) error {
	_, err := c.restore(ctx, "auth", id, PackAuth(fields))
	return err
}

// EndRestore makes a keyspace of what was brought, in so many batches. It has a cluster id of its own.
func (c *Client) EndRestore(ctx context.Context, id string, batches int64, revision, compacted Revision) error {
	cluster := make([]byte, 8)
	if _, err := io.ReadFull(c.parts.Random, cluster); err != nil {
		return fmt.Errorf("read random numbers: %w", err)
	}
	name := hex.EncodeToString(cluster)
	_, err := c.restore(ctx, "end", id, batches, int64(revision), int64(compacted), name)
	if !errors.Is(err, ErrOtherRestore) {
		return err
	}
	// Nothing is being restored any more if this call was made before and its reply was lost.
	made, lookErr := c.parts.Redis.HGet(ctx, c.names[orderKey], "cluster").Result()
	if lookErr == nil && made == name {
		return nil
	}
	return err
}

// ScratchText is the RestoreText by which a keyspace can be discarded after the end of its restore, too.
const ScratchText = "scratch"

// DiscardRestore removes what an interrupted restore has brought, or a scratch keyspace that nobody serves.
// ErrKeyspaceExists if the restore of another one has come to its end, or there never was one.
func (c *Client) DiscardRestore(ctx context.Context) error {
	reply, err := c.restore(ctx, "discard", MemberGood.Milliseconds())
	if err == nil && reply[0] == "exists" {
		return ErrKeyspaceExists
	}
	return err
}

// restore makes one call of lua/restore.lua, all of which can be made twice.
func (c *Client) restore(ctx context.Context, args ...any) (reply []string, err error) {
	text, err := scriptText(scriptRestore, "", c.settings.ReplicaAcks > 0)
	if err != nil {
		return nil, err
	}
	err = repeat(ctx, scriptRestore, notKnownDone, func(ctx context.Context) error {
		var call *redis.Cmd
		if err := c.send(ctx, func(p redis.Pipeliner) { call = p.Do(ctx, c.evalCommand(text, args...)...) }); err != nil {
			return classify(err)
		}
		reply, err = call.StringSlice()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrReply, err)
		}
		return nil
	})
	if err == nil && len(reply) == 0 {
		err = fmt.Errorf("%w: restore answered nothing", ErrReply)
	}
	return reply, err
}
