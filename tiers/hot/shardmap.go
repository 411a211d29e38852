package hot

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// MapVersion is a version of the shard map as the router wrote it: it holds for the
// revisions after Since, up to the next version's.
type MapVersion struct {
	Epoch Epoch
	Since Revision
	Text  []byte
}

// Map reads all versions of the shard map, and the other texts that the router keeps
// beside them under names, and the version of the auth data: that of the map's last
// epoch, or a later one. It is the sequencer's to answer.
func (c *Client) Map(ctx context.Context) (versions []MapVersion, texts map[string]string, auth int64, err error) {
	var all map[string]string
	err = repeat(ctx, "map", notKnownDone, func(ctx context.Context) error {
		l, err := c.alive(ctx)
		if err != nil {
			return err
		}
		read := c.parts.Redis.HGetAll(ctx, c.names[mapKey])
		if all, err = read.Result(); err != nil {
			return c.failed(l, err)
		}
		// In this order a version is never taken for that of a later epoch.
		if auth, err = authVersion(c.parts.Redis.HGet(ctx, c.names[orderKey], authVersionField)); err != nil {
			return c.failed(l, err)
		}
		// A script behind it, which also answers where data is lost: these belong to the
		// life that is known.
		_, err = c.once(ctx, scriptInspect, nil, []any{"summary"})
		return err
	})
	if err != nil {
		return nil, nil, 0, fmt.Errorf("read the shard map: %w", err)
	}
	versions, texts, err = parseMap(all)
	return versions, texts, auth, err
}

// RawMap is Map as Redis has it, whatever life it is in.
func (c *Client) RawMap(ctx context.Context) (versions []MapVersion, texts map[string]string, err error) {
	all, err := c.parts.Redis.HGetAll(ctx, c.names[mapKey]).Result()
	if err != nil {
		return nil, nil, fmt.Errorf("read the shard map: %w", classify(err))
	}
	return parseMap(all)
}

func parseMap(all map[string]string) (versions []MapVersion, texts map[string]string, err error) {
	texts = make(map[string]string)
	for name, text := range all {
		epoch, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			texts[name] = text
			continue
		}
		since, rest, _ := strings.Cut(text, ":")
		revision, err := strconv.ParseInt(since, 10, 64)
		if err != nil {
			return nil, nil, fmt.Errorf("read the shard map: %w: epoch %s: %w", ErrReply, name, err)
		}
		versions = append(versions, MapVersion{Epoch: Epoch(epoch), Since: Revision(revision), Text: []byte(rest)})
	}
	return versions, texts, nil
}

// SetMapText keeps a text beside the map if its value is still the one given (""
// where there is none), and says whether it is now. An empty value removes it.
func (c *Client) SetMapText(ctx context.Context, name, before, after string) (bool, error) {
	reply, err := c.read(ctx, scriptMapping, nil, "text", name, before, after)
	return string(reply) == "ok", err
}

// RemoveMapText removes a text beside the map if its value is still the one given, the map is still that of the
// epoch, and no move is under way; it says whether it is gone now.
func (c *Client) RemoveMapText(ctx context.Context, name, before string, epoch Epoch) (bool, error) {
	reply, err := c.read(ctx, scriptMapping, nil, "remove", name, before, int64(epoch))
	return string(reply) == "ok", err
}

// DropEpochs removes versions of the map that no readable revision needs any more.
func (c *Client) DropEpochs(ctx context.Context, epochs []Epoch) error {
	args := make([]any, 0, len(epochs)+1)
	args = append(args, "drop")
	for _, e := range epochs {
		args = append(args, int64(e))
	}
	_, err := c.read(ctx, scriptMapping, nil, args...)
	return err
}

// ForgetShard removes what the sequencer knows of a shard that is gone.
func (c *Client) ForgetShard(ctx context.Context, shard Shard) error {
	_, err := c.read(ctx, scriptMapping, nil, "forget", int(shard))
	return err
}

// LoadItem is a key that a move brings to a new shard.
type LoadItem struct {
	Deleted bool
	Item    Item
}

// Load fills a new shard with keys, with their revisions and versions. number counts the
// token's calls, from 1; through is the revision up to which everything has been
// brought. It gives the tail. A call that was made before changes nothing. ErrTicket if the shard is
// not this token's to fill, or has lost what it was filled with.
func (c *Client) Load(ctx context.Context, t Token, items []LoadItem, leases []int64, through Revision, number int64) (Position, error) {
	var packed []byte
	for i := range items {
		it := &items[i]
		kind, value := kindDelete, it.Item.Value
		if !it.Deleted {
			var err error
			if value, kind, err = c.renew(ctx, it.Item.Key, value, false); err != nil {
				return 0, fmt.Errorf("seal what is brought: %w", err)
			}
		}
		packed = append7(append7(append7(append(packed, kind), it.Item.Create), int64(it.Item.Mod)), it.Item.Version)
		packed = binary.BigEndian.AppendUint64(packed, uint64(it.Item.Lease))
		packed = append(packed, byte(it.Item.Sub>>16), byte(it.Item.Sub>>8), byte(it.Item.Sub))
		packed = binary.BigEndian.AppendUint32(packed, uint32(len(it.Item.Key)))
		packed = binary.BigEndian.AppendUint32(packed, uint32(len(value)))
		packed = append(append(packed, it.Item.Key...), value...)
	}
	reply, err := c.read(ctx, scriptLoad, nil, string(t), notNil(packed), ids(leases), int64(through), number)
	if err != nil {
		return 0, err
	}
	d := decoder{rest: reply}
	tail := Position(d.int8())
	return tail, d.end()
}

// Purge drops live keys of a span, at most as many as given, and says how many.
func (c *Client) Purge(ctx context.Context, s Span, most int) (int, error) {
	reply, err := c.read(ctx, scriptPurge, nil, int64(s.kind), notNil(s.from), notNil(s.to), most)
	if err != nil {
		return 0, err
	}
	d := decoder{rest: reply}
	n := int(d.int8())
	return n, d.end()
}

// Destroy removes everything that this shard has in Redis, for good. It needs no life.
func (c *Client) Destroy(ctx context.Context) error {
	if c.settings.Shard == HomeShard {
		return fmt.Errorf("destroy shard 0: %w: it is the home shard", ErrRefused)
	}
	if err := c.parts.Redis.Unlink(ctx, c.names...).Err(); err != nil {
		return fmt.Errorf("destroy shard %d: %w", c.settings.Shard, classify(err))
	}
	return nil
}

// ShardSummary is what a shard says of itself.
type ShardSummary struct {
	Keys, Bytes   int64
	Tail, Stamped Position
	Horizon       Revision
	// Incarnation is the one that Tail was read in.
	Incarnation string
	Lock        Token
}

// ShardSummary reads it.
func (c *Client) ShardSummary(ctx context.Context) (ShardSummary, error) {
	reply, err := c.read(ctx, scriptInspect, nil, "summary")
	if err != nil {
		return ShardSummary{}, err
	}
	d := decoder{rest: reply}
	s := ShardSummary{Keys: d.int8(), Bytes: d.int8(), Tail: Position(d.int8()), Stamped: Position(d.int8()), Horizon: d.revision()}
	s.Incarnation, s.Lock = string(d.text()), Token(d.text())
	return s, d.end()
}

// SpanSummary is what a shard says of a span: its live keys, the key that halves them,
// how many of the last writes it took, of how many, and the key that halves these.
type SpanSummary struct {
	Keys                  int64
	Middle, WrittenMiddle []byte
	Written, Sampled      int64
}

// sampledWritesMax bounds the last writes that one SpanSummary looks at.
const sampledWritesMax = 500

// SpanSummary reads it.
func (c *Client) SpanSummary(ctx context.Context, s Span) (SpanSummary, error) {
	reply, err := c.read(ctx, scriptInspect, nil, "span", int64(s.kind), notNil(s.from), notNil(s.to), sampledWritesMax)
	if err != nil {
		return SpanSummary{}, err
	}
	d := decoder{rest: reply}
	out := SpanSummary{Keys: d.int8(), Written: d.int8(), Sampled: d.int8(), Middle: d.text(), WrittenMiddle: d.text()}
	return out, d.end()
}

// ForgetLanes removes the outcomes of the calls of members, and names the members that
// have some left.
func (c *Client) ForgetLanes(ctx context.Context, members []uint64) ([]uint64, error) {
	gone := []byte{}
	for _, m := range members {
		gone = binary.BigEndian.AppendUint64(gone, m)
	}
	reply, err := c.read(ctx, scriptLanes, nil, gone)
	if err != nil {
		return nil, err
	}
	var left []uint64
	for ; len(reply) >= 8; reply = reply[8:] {
		left = append(left, binary.BigEndian.Uint64(reply))
	}
	return left, nil
}
