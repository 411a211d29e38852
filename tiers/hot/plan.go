package hot

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Token names one transaction over several shards, or one change of the shard map: 16
// hex digits, never used twice.
type Token string

// tokenLength is the length of a token.
const tokenLength = 16

// NewToken draws one.
func (c *Client) NewToken() (Token, error) {
	raw := make([]byte, tokenLength/2)
	if _, err := io.ReadFull(c.parts.Random, raw); err != nil {
		return "", fmt.Errorf("draw a token: %w", err)
	}
	return Token(hex.EncodeToString(raw)), nil
}

// LockedError refuses a call because a token holds the shard, or the ticket.
type LockedError struct{ Token Token }

func (e *LockedError) Error() string { return "locked by " + string(e.Token) }

// Unwrap marks it as ErrLocked.
func (e *LockedError) Unwrap() error { return ErrLocked }

// TakeTicket takes the keyspace's one ticket, and with lockHome locks the home shard
// too. A *LockedError names who has it.
func (c *Client) TakeTicket(ctx context.Context, t Token, lockHome bool) error {
	home := "0"
	if lockHome {
		home = "1"
	}
	reply, err := c.read(ctx, scriptTicket, nil, "take", string(t), home)
	if err != nil {
		return err
	}
	if holder, busy := bytes.CutPrefix(reply, []byte("busy ")); busy {
		return &LockedError{Token: Token(holder)}
	}
	return nil
}

// Fate is what became of a token.
type Fate int

// The fates.
const (
	// FateAborted: it has no plan and never will.
	FateAborted Fate = iota
	// FateYoung: it may still get one.
	FateYoung
	// FatePlanned: it has a plan, which is to be carried out.
	FatePlanned
	// FateDone: its plan has been carried out.
	FateDone
)

// Settled is the answer of SettleTicket.
type Settled struct {
	Fate     Fate
	Revision Revision
	// Parts are the plan's, as they were given to Plan.
	Parts []byte
}

// SettleTicket finds out what became of a token, and makes an end of one that has held
// the ticket for longer than patience without getting a plan.
func (c *Client) SettleTicket(ctx context.Context, t Token, patience time.Duration) (Settled, error) {
	reply, err := c.read(ctx, scriptTicket, nil, "settle", string(t), patience.Milliseconds())
	if err != nil {
		return Settled{}, err
	}
	word, rest, _ := strings.Cut(string(reply), " ")
	switch word {
	case "aborted":
		return Settled{Fate: FateAborted}, nil
	case "young":
		return Settled{Fate: FateYoung}, nil
	case "done":
		revision, err := strconv.ParseInt(rest, 10, 64)
		if err != nil {
			return Settled{}, fmt.Errorf("settle a ticket: %w: %w", ErrReply, err)
		}
		return Settled{Fate: FateDone, Revision: Revision(revision)}, nil
	case "plan":
		d := decoder{rest: []byte(rest)}
		s := Settled{Fate: FatePlanned, Revision: d.revision()}
		d.take(8) // when it was decided: only the scripts need it
		s.Parts = d.rest
		if d.failed {
			return Settled{}, fmt.Errorf("settle a ticket: %w", ErrReply)
		}
		return s, nil
	}
	return Settled{}, fmt.Errorf("settle a ticket: %w: redis answered %q", ErrReply, word)
}

// FinishTicket says that a token's plan has been carried out.
func (c *Client) FinishTicket(ctx context.Context, t Token) error {
	_, err := c.read(ctx, scriptTicket, nil, "finish", string(t))
	return err
}

// OpenTickets lists tokens that hold the ticket, or have a plan, for longer than a
// time.
func (c *Client) OpenTickets(ctx context.Context, older time.Duration) ([]Token, error) {
	reply, err := c.read(ctx, scriptTicket, nil, "open", "", older.Milliseconds())
	if err != nil {
		return nil, err
	}
	var open []Token
	for ; len(reply) >= tokenLength; reply = reply[tokenLength:] {
		open = append(open, Token(reply[:tokenLength]))
	}
	return open, nil
}

// Effect is what a plan makes of one key.
type Effect struct {
	// Sub is the event's number within the transaction.
	Sub        int
	Deleted    bool
	Lease      int64
	Key, Value []byte
}

// PackEffects encodes effects as lua/effects.lua reads them, with plain values: SealEffects
// makes of them what may reach Redis.
func PackEffects(effects []Effect) []byte {
	var out []byte
	for i := range effects {
		e := &effects[i]
		kind := kindPut
		if e.Deleted {
			kind = kindDelete
		}
		out = append(out, byte(e.Sub>>16), byte(e.Sub>>8), byte(e.Sub), kind)
		out = binary.BigEndian.AppendUint64(out, uint64(e.Lease))
		out = binary.BigEndian.AppendUint32(out, uint32(len(e.Key)))
		out = binary.BigEndian.AppendUint32(out, uint32(len(e.Value)))
		out = append(append(out, e.Key...), e.Value...)
	}
	return out
}

// Participant is a shard that a plan concerns.
type Participant struct {
	Shard       Shard
	Incarnation string
	// Tail is the position up to which it is ordered first.
	Tail Position
	// Writes says that it has a part at the position after, New that it is a new shard
	// that begins with Tail.
	Writes, New bool
}

// LeaseUse is a lease that a plan needs, and the shard that may hold its keys from
// then on.
type LeaseUse struct {
	Lease int64
	Shard Shard
}

// PlanRequest is what Plan decides.
type PlanRequest struct {
	Token        Token
	Epoch        Epoch
	Participants []Participant
	// Home are the packed effects on the home shard.
	Home   []byte
	Leases []LeaseUse
	// Ended is a lease to end, 0 for none; OnlyDue refuses that if it has time left.
	Ended   int64
	OnlyDue bool
	// Parts are kept for whoever carries the plan out; effects in them are sealed already
	// (SealEffects), those of Home need not be.
	Parts []byte
	// Map is the new shard map, nil for none; HomeGives says that the home shard gives
	// keys away by it.
	Map       []byte
	HomeGives bool
	Puts      bool
	Quota     int64
	// Writes says that it takes a revision.
	Writes bool
	// MoveText is what the move is known as that the plan ends, "" for none.
	MoveText string
	// Again says that Map says what the version before says, and takes its place: only the
	// epoch is another.
	Again bool
	// Auth is a change of auth data, empty for none; it comes with Again.
	Auth []AuthField
}

// Plan decides a plan: the commit point. The outcomes are OutcomeThen (done),
// OutcomeLeaseNotFound, OutcomeNoSpace, OutcomeChanged and OutcomeNotDue. It may be
// called again with the same token after ErrUnknown. ErrTicket: someone has taken the
// ticket away.
func (c *Client) Plan(ctx context.Context, r PlanRequest) (Outcome, Revision, error) {
	var participants, leases []byte
	for _, p := range r.Participants {
		kind := byte(0)
		switch {
		case p.New:
			kind = 2
		case p.Writes:
			kind = 1
		}
		participants = binary.BigEndian.AppendUint16(participants, uint16(p.Shard))
		participants = append7(append(participants, p.Incarnation...), int64(p.Tail))
		participants = append(participants, kind)
	}
	for _, l := range r.Leases {
		leases = binary.BigEndian.AppendUint64(leases, uint64(l.Lease))
		leases = binary.BigEndian.AppendUint16(leases, uint16(l.Shard))
	}
	ended := ""
	if r.Ended != 0 {
		ended = id8(uint64(r.Ended))
	}
	home, err := c.SealEffects(ctx, r.Home)
	if err != nil {
		return 0, 0, fmt.Errorf("plan: %w", err)
	}
	reply, err := c.read(ctx, scriptPlan, nil, string(r.Token), int64(r.Epoch), notNil(participants), home, notNil(leases),
		ended, flag(r.OnlyDue), notNil(r.Parts), notNil(r.Map), flag(r.HomeGives), flag(r.Puts), r.Quota, flag(r.Writes), r.MoveText, PackAuth(r.Auth), flag(r.Again))
	if err != nil {
		return 0, 0, err
	}
	d := decoder{rest: reply}
	outcome, revision := Outcome(d.byte()), d.revision()
	if err := d.end(); err != nil {
		return 0, 0, fmt.Errorf("plan: %w", errors.Join(ErrUnknown, err))
	}
	return outcome, revision, nil
}

func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}

// Lock lets only one token write to this shard, once everything that is given is
// stamped; it gives the shard's tail. The error may be a *LockedError or an
// *UnstampedError: the shard is locked all the same in the latter case.
func (c *Client) Lock(ctx context.Context, t Token, s Stamp) (Stamped, error) {
	reply, err := c.read(ctx, scriptLock, nil, "lock", string(t), s.packed(), int64(s.Horizon), int64(s.Compacted))
	if err != nil {
		return Stamped{}, err
	}
	d := decoder{rest: reply}
	status := StampStatus(d.byte())
	out := Stamped{Stamped: Position(d.int8()), Tail: Position(d.int8()), Incarnation: string(d.take(incarnationLength))}
	if err := d.end(); err != nil {
		return Stamped{}, fmt.Errorf("lock: %w", err)
	}
	if status != StampDone {
		return out, &UnstampedError{Status: status, Stamped: out.Stamped}
	}
	return out, nil
}

// Unlock ends a token's lock, if it has it.
func (c *Client) Unlock(ctx context.Context, t Token) error {
	_, err := c.read(ctx, scriptLock, nil, "unlock", string(t))
	return err
}

// Part is what a plan does on one shard.
type Part struct {
	// Position is the one that it takes, 0 for none.
	Position Position
	Effects  []byte
	// Begun are leases whose keys the shard may hold from then on, Ended those that
	// have ended.
	Begun, Ended []int64
	// Gate is the epoch from which on calls are taken, 0 to leave it.
	Gate Epoch
}

// Apply carries out a plan's part on this shard, and unlocks it. The error may be an
// *UnstampedError. Twice is as good as once.
func (c *Client) Apply(ctx context.Context, t Token, revision Revision, p Part, s Stamp) error {
	var err error
	if p.Effects, err = c.SealEffects(ctx, p.Effects); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	reply, err := c.read(ctx, scriptApply, nil, applyArguments(t, revision, p, s)...)
	if err != nil {
		return err
	}
	return applied(reply)
}

func applyArguments(t Token, revision Revision, p Part, s Stamp) []any {
	gate := ""
	if p.Gate != 0 {
		gate = decimal(int64(p.Gate))
	}
	return []any{string(t), int64(p.Position), int64(revision), notNil(p.Effects),
		ids(p.Begun), ids(p.Ended), gate, s.packed(), int64(s.Horizon), int64(s.Compacted)}
}

// applied reads the reply of lua/apply.lua.
func applied(reply []byte) error {
	d := decoder{rest: reply}
	status, stamped := StampStatus(d.byte()), Position(d.int8())
	if err := d.end(); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if status != StampDone {
		return &UnstampedError{Status: status, Stamped: stamped}
	}
	return nil
}

func ids(leases []int64) []byte {
	out := []byte{}
	for _, l := range leases {
		out = binary.BigEndian.AppendUint64(out, uint64(l))
	}
	return out
}

// LeasedKeys lists the keys of a lease that this shard holds.
func (c *Client) LeasedKeys(ctx context.Context, lease int64) ([][]byte, error) {
	reply, err := c.read(ctx, scriptLeased, nil, id8(uint64(lease)))
	if err != nil {
		return nil, err
	}
	d := decoder{rest: reply}
	var keys [][]byte
	for range min(d.length(), len(d.rest)/4) {
		keys = append(keys, d.text())
	}
	return keys, d.end()
}
