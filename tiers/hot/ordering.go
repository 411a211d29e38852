package hot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Cut says which revisions a shard's positions From..To have: that of From is
// Revision, and so on.
type Cut struct {
	From, To Position
	Revision Revision
	// Planned says that a plan has to be carried out at the position.
	Planned bool
}

// cutBytes is the length of a cut in calls and replies (CUT_FORMAT in lua/lib.lua).
const cutBytes = 22

func (c *Cut) append(to []byte) []byte {
	planned := byte(0)
	if c.Planned {
		planned = 1
	}
	to = append7(append7(append7(to, int64(c.From)), int64(c.To)), int64(c.Revision))
	return append(to, planned)
}

func append7(to []byte, n int64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	return append(to, b[1:]...)
}

// RevisionOf gives the revision of a position that one of the cuts covers.
func RevisionOf(cuts []Cut, p Position) (Revision, bool) {
	for i := range cuts {
		if c := &cuts[i]; p >= c.From && p <= c.To {
			return c.Revision + Revision(p-c.From), true
		}
	}
	return 0, false
}

// Stamp is what a caller tells a shard of the order: the cuts after the shard's last
// stamped position, complete up to Horizon.
type Stamp struct {
	Cuts               []Cut
	Horizon, Compacted Revision
	// Incarnation is the one that the sequencer has adopted: only a shard in that one
	// may answer for it. "" means any.
	Incarnation string
	// Through is the last ordered position at the horizon: a shard that has not stamped
	// as far needs more cuts than these.
	Through Position
	// Space is the sequencer's; 0 tells nothing.
	Space Space
}

func (s *Stamp) packed() []byte {
	out := append7(make([]byte, 0, 14+incarnationLength+cutBytes*len(s.Cuts)), int64(s.Through))
	out = append(out, withDefault(s.Incarnation, noIncarnation)...)
	out = append7(out, int64(s.Space))
	for i := range s.Cuts {
		out = s.Cuts[i].append(out)
	}
	return out
}

// StampStatus says how far stamping came.
type StampStatus byte

// What lua/stamping.lua answers.
const (
	StampDone StampStatus = iota
	// StampMore: another call goes on.
	StampMore
	// StampPlan: a plan has to be carried out first.
	StampPlan
	// StampGap: cuts from before those given are needed.
	StampGap
	// StampLost: positions that have a revision are not there.
	StampLost
)

// UnstampedError refuses a call because the cuts given could not all be stamped.
type UnstampedError struct {
	Status  StampStatus
	Stamped Position
}

func (e *UnstampedError) Error() string {
	return fmt.Sprintf("the shard is stamped up to position %d only (status %d)", e.Stamped, e.Status)
}

// Unwrap marks a loss as such.
func (e *UnstampedError) Unwrap() error {
	if e.Status == StampLost {
		return ErrCorrupt
	}
	return nil
}

// stampFailure reads "<status> <stamped>".
func stampFailure(text string) error {
	status, stamped, _ := strings.Cut(text, " ")
	s, errStatus := strconv.Atoi(status)
	p, errStamped := strconv.ParseInt(stamped, 10, 64)
	if err := errors.Join(errStatus, errStamped); err != nil {
		return fmt.Errorf("%w: %w", ErrReply, err)
	}
	return &UnstampedError{Status: StampStatus(s), Stamped: Position(p)}
}

// Stamped is how far a shard is.
type Stamped struct {
	Stamped, Tail Position
	// Incarnation is the one that Tail was read in, where it is told.
	Incarnation string
	// Horizon is the revision up to which the shard has everything that is its own.
	Horizon Revision
}

// Stamp gives positions of this shard their revisions. The error is an
// *UnstampedError if not all could be.
func (c *Client) Stamp(ctx context.Context, epoch Epoch, s Stamp) (Stamped, error) {
	reply, err := c.read(ctx, scriptStamp, nil, s.packed(), int64(s.Horizon), int64(s.Compacted), int64(epoch))
	if err != nil {
		return Stamped{}, err
	}
	d := decoder{rest: reply}
	status := StampStatus(d.byte())
	out := Stamped{Stamped: Position(d.int8()), Tail: Position(d.int8()), Horizon: d.revision()}
	if err := d.end(); err != nil {
		return out, fmt.Errorf("stamp: %w", err)
	}
	if status != StampDone {
		return out, &UnstampedError{Status: status, Stamped: out.Stamped}
	}
	return out, nil
}

// Appended is the result of Append.
type Appended struct {
	Tail, Stamped Position
	// Incarnation is the one that it was appended in.
	Incarnation string
	// Results have positions in place of revisions where the outcome is OutcomeThen or
	// OutcomeElse.
	Results []TransactionResult
}

// Append decides a batch on a shard that is not the home shard. What it wrote counts
// once the sequencer has ordered it. On ErrUnknown the caller asks Resolve, which
// tells positions in place of revisions. The error may be a *LockedError or an
// *UnstampedError.
func (c *Client) Append(ctx context.Context, lane *Lane, epoch Epoch, quotaBytes int64, s Stamp, batch []*Transaction) (Appended, error) {
	args, err := c.encodeBatch(lane, quotaBytes, batch)
	if err != nil {
		return Appended{}, err
	}
	args = append(args, s.packed(), int64(s.Horizon), int64(s.Compacted), int64(epoch))
	reply, err := c.call(ctx, scriptAppend, nil, args...)
	if err != nil {
		return Appended{}, err
	}
	d := decoder{rest: reply, open: c.opener(ctx)}
	d.revision()
	if d.byte() == 1 {
		lane.sequence++
	}
	out := Appended{Tail: Position(d.int8()), Stamped: Position(d.int8()), Incarnation: string(d.take(incarnationLength)),
		Results: make([]TransactionResult, len(batch))}
	for i, t := range batch {
		out.Results[i] = d.transaction(t)
	}
	if err := d.end(); err != nil {
		return Appended{}, fmt.Errorf("append: %w", errors.Join(ErrUnknown, err))
	}
	return out, nil
}

// Settle fills the revision into what a transaction read of its own changes.
func (r *TransactionResult) Settle(revision Revision) {
	r.Revision = revision
	for i := range r.Operations {
		if item := r.Operations[i].Item; item != nil && item.Mod == 0 {
			*item = itemOf(revision, item.Record)
		}
	}
}

// Ask is what is asked of the sequencer about one shard: the cuts after a position,
// and, with a tail, to order everything up to it first.
type Ask struct {
	Shard Shard
	// Incarnation is the one that Tail was read in; "" only asks.
	Incarnation string
	Tail, After Position
}

// Sequenced is the sequencer's answer for one shard.
type Sequenced struct {
	// Superseded says that the shard has begun another incarnation: nothing was ordered.
	Superseded bool
	// Ordered is the last position that has a revision, Last its revision.
	Ordered Position
	Last    Revision
	// Incarnation is the one that the sequencer has adopted.
	Incarnation string
	// Cuts come after Ask.After; there may be more if they do not reach Ordered.
	Cuts []Cut
}

// Space says whether the NOSPACE alarm is up, and counts how often it went up and down,
// so that a shard takes the newest.
type Space int64

// Out says that the alarm is up.
func (s Space) Out() bool { return s%2 == 1 }

// Sequence is the sequencer's answer.
type Sequence struct {
	Revision, Compacted Revision
	Epoch               Epoch
	Space               Space
	Shards              []Sequenced
}

// incarnationLength is the length of an incarnation, in hex digits.
const incarnationLength = 16

// noIncarnation stands for none in calls.
const noIncarnation = "----------------"

// Sequence orders positions of shards, and tells what has been ordered. Twice is as
// good as once.
func (c *Client) Sequence(ctx context.Context, asks []Ask) (Sequence, error) {
	program := make([]byte, 0, 32*len(asks))
	for _, a := range asks {
		program = binary.BigEndian.AppendUint16(program, uint16(a.Shard))
		if a.Incarnation == "" {
			a.Incarnation = noIncarnation
		}
		program = append(program, a.Incarnation...)
		program = append7(append7(program, int64(a.Tail)), int64(a.After))
	}
	reply, err := c.read(ctx, scriptSequence, leadingRevision, program)
	if err != nil {
		return Sequence{}, err
	}
	d := decoder{rest: reply}
	out := Sequence{Revision: d.revision(), Compacted: d.compacted(), Epoch: Epoch(d.int8()), Space: Space(d.int8())}
	out.Shards = make([]Sequenced, len(asks))
	for i := range out.Shards {
		s := &out.Shards[i]
		s.Superseded = d.byte() == 1
		s.Ordered, s.Last = Position(d.int7()), Revision(d.int7())
		s.Incarnation = string(d.take(incarnationLength))
		s.Cuts = d.cuts(int(d.uint(2)))
	}
	if err := d.end(); err != nil {
		return Sequence{}, fmt.Errorf("sequence: %w", err)
	}
	return out, nil
}

func (d *decoder) cuts(n int) []Cut {
	if n > len(d.rest)/cutBytes {
		d.failed = true
		return nil
	}
	cuts := make([]Cut, n)
	for i := range cuts {
		cuts[i] = Cut{From: Position(d.int7()), To: Position(d.int7()), Revision: Revision(d.int7()), Planned: d.byte() == 1}
	}
	return cuts
}
