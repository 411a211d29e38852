package hot

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Member is a frontend as the sequencer knows it.
type Member struct {
	ID                   uint64
	Registered, LastSeen time.Time
	Payload              []byte
}

// Alarm is a raised alarm. Kinds: 1 NOSPACE, 2 CORRUPT.
type Alarm struct {
	MemberID uint64
	Kind     byte
}

// Summary is the status of a keyspace.
type Summary struct {
	Revision, Compacted Revision
	Term                uint64
	Keys, Bytes, Leases int64
	Members             []Member
	Alarms              []Alarm
	// Corrupt is why nothing is served; empty if all is well.
	Corrupt string
}

// MemberMode says what a call does besides answering the summary.
type MemberMode string

// The modes.
const (
	MemberLook  MemberMode = "0"
	MemberBeat  MemberMode = "1"
	MemberLeave MemberMode = "2"
)

// Summary reads the status, and registers this frontend with MemberBeat or
// removes it with MemberLeave. Payload is for the other frontends.
func (c *Client) Summary(ctx context.Context, mode MemberMode, payload []byte) (Summary, error) {
	reply, err := c.read(ctx, scriptMember, leadingRevision, string(mode), c.member, notNil(payload),
		MemberGood.Milliseconds(), MemberKept.Milliseconds())
	if err != nil {
		return Summary{}, err
	}
	d := decoder{rest: reply}
	s := Summary{Revision: d.revision(), Compacted: d.compacted(), Term: d.uint(8), Keys: d.int8(), Bytes: d.int8(), Leases: d.int8()}
	for range min(d.length(), len(d.rest)) {
		m := Member{ID: d.uint(8), Registered: time.UnixMilli(d.int8()), LastSeen: time.UnixMilli(d.int8())}
		m.Payload = d.text()
		s.Members = append(s.Members, m)
	}
	for range min(d.length(), len(d.rest)/9) {
		s.Alarms = append(s.Alarms, Alarm{MemberID: d.uint(8), Kind: d.byte()})
	}
	s.Corrupt = string(d.text())
	if err := d.end(); err != nil {
		return Summary{}, fmt.Errorf("member: %w", err)
	}
	return s, nil
}

// RaiseAlarm raises an alarm and says whether it was down; raising it twice is the
// same as once.
func (c *Client) RaiseAlarm(ctx context.Context, a Alarm) (bool, error) {
	return c.raise(ctx, "raise", a)
}

// RaiseFirstAlarm raises an alarm unless some member's of that kind is up already.
func (c *Client) RaiseFirstAlarm(ctx context.Context, a Alarm) (bool, error) {
	return c.raise(ctx, "raise first", a)
}

func (c *Client) raise(ctx context.Context, how string, a Alarm) (bool, error) {
	reply, err := c.read(ctx, scriptAlarm, nil, how, id8(a.MemberID), int(a.Kind))
	return len(reply) > 0, err
}

// MarkLost raises the CORRUPT alarm because a shard has lost what had been ordered;
// the other shards stay in service, unless it is the home shard.
func (c *Client) MarkLost(ctx context.Context, shard Shard, reason string) error {
	_, err := c.read(ctx, scriptAlarm, nil, "lost", c.member, 2, int(shard), reason)
	return err
}

// MarkFound says that a shard has what it had lost, or goes on without it; when nothing
// is lost any more, the CORRUPT alarm is lowered.
func (c *Client) MarkFound(ctx context.Context, shard Shard) error {
	_, err := c.read(ctx, scriptAlarm, nil, "found", c.member, 2, int(shard))
	return err
}

// ClearAlarm lowers every member's alarm of a kind if all were raised by RaiseFirstAlarm; it
// gives those that were up.
func (c *Client) ClearAlarm(ctx context.Context, kind byte) ([]Alarm, error) {
	return c.lower(ctx, "clear", Alarm{Kind: kind})
}

// LowerAlarm lowers an alarm; member 0 means every member's. It gives those that
// were up. ErrKept for CORRUPT while data is missing.
func (c *Client) LowerAlarm(ctx context.Context, a Alarm) ([]Alarm, error) {
	return c.lower(ctx, "lower", a)
}

func (c *Client) lower(ctx context.Context, how string, a Alarm) ([]Alarm, error) {
	reply, err := c.read(ctx, scriptAlarm, nil, how, id8(a.MemberID), int(a.Kind))
	if err != nil {
		return nil, err
	}
	var lowered []Alarm
	for ; len(reply) >= 9; reply = reply[9:] {
		lowered = append(lowered, Alarm{MemberID: binary.BigEndian.Uint64(reply), Kind: reply[8]})
	}
	return lowered, nil
}

// MemoryUsed is the memory that the Redis behind this shard uses, in bytes.
func (c *Client) MemoryUsed(ctx context.Context) (int64, error) {
	primary, err := c.primary(ctx)
	if err != nil {
		return 0, fmt.Errorf("read memory use: %w", classify(err))
	}
	info, err := primary.Info(ctx, "memory").Result()
	if err != nil {
		return 0, fmt.Errorf("read memory use: %w", classify(err))
	}
	for line := range strings.Lines(info) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
			return strconv.ParseInt(text, 10, 64)
		}
	}
	return 0, fmt.Errorf("read memory use: %w: no used_memory in INFO", ErrReply)
}
