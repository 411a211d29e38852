package hot

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Target is what a condition compares.
type Target byte

// The targets of conditions. Value and Lease know Equal and NotEqual only.
const (
	TargetVersion Target = iota
	TargetCreate
	TargetMod
	TargetValue
	TargetLease
	targetUnchanged Target = 9
	targetKept      Target = 10
)

// Comparison is how a condition compares.
type Comparison byte

// The comparisons.
const (
	Equal Comparison = iota
	Greater
	Less
	NotEqual
)

// OperandMax is the largest number a condition can compare with; no revision or
// version reaches it.
const OperandMax = 1 << 53

// Condition is checked before a transaction does anything.
type Condition struct {
	target     Target
	comparison Comparison
	span       Span
	value      []byte
	operand    int64
}

// CompareNumber compares a key's version, create or mod revision; 0 stands for
// an absent key. The operand is cut to -1..OperandMax.
func CompareNumber(key []byte, target Target, how Comparison, operand int64) Condition {
	operand = min(max(operand, -1), OperandMax)
	return Condition{target: target, comparison: how, span: KeySpan(key), operand: operand + 1}
}

// CompareValue compares a key's value; it never holds for an absent key.
func CompareValue(key []byte, how Comparison, value []byte) Condition {
	return Condition{target: TargetValue, comparison: how, span: KeySpan(key), value: value}
}

// CompareLease compares a key's lease; 0 stands for none and for an absent key.
func CompareLease(key []byte, how Comparison, lease int64) Condition {
	return Condition{target: TargetLease, comparison: how, span: KeySpan(key), value: []byte(id8(uint64(lease)))}
}

// Unchanged holds if no event after revision r touched the span. The script
// looks back a bounded number of revisions; beyond, it says that it changed.
func Unchanged(span Span, r Revision) Condition {
	return Condition{target: targetUnchanged, span: span, operand: int64(r)}
}

// Kept holds if a key was last written at revision r, 0 standing for an absent key; else what was
// read of it has changed, and the transaction's outcome is OutcomeChanged.
func Kept(key []byte, r Revision) Condition {
	return CompareNumber(key, targetKept, Equal, int64(r))
}

type opKind byte

const (
	opPut opKind = iota + 1
	opDelete
	opGet
	opDeleteRange
	opRevoke
)

// Operation is one step of a transaction.
type Operation struct {
	kind  opKind
	flags byte
	span  Span
	value []byte
	lease int64
}

// Flags of a put and, the last, of deletions.
const (
	IgnoreValue byte = 1 << iota
	IgnoreLease
	WantPrevious
	// putSealed says that the value is sealed.
	putSealed
)

// Put sets a key. With IgnoreValue or IgnoreLease the key must exist.
func Put(key, value []byte, lease int64, flags byte) Operation {
	return Operation{kind: opPut, flags: flags, span: KeySpan(key), value: value, lease: lease}
}

// Delete removes the keys of a span. WantPrevious is for single keys only.
func Delete(span Span, flags byte) Operation {
	if span.Single() {
		return Operation{kind: opDelete, flags: flags, span: span}
	}
	return Operation{kind: opDeleteRange, flags: span.kind, span: span}
}

// Get reads a key, as the operations before it left it.
func Get(key []byte) Operation { return Operation{kind: opGet, span: KeySpan(key)} }

// Revoke removes a lease and deletes its keys; with onlyDue it is refused if the
// lease has time left.
func Revoke(lease int64, onlyDue bool) Operation {
	o := Operation{kind: opRevoke, lease: lease}
	if onlyDue {
		o.flags = 1
	}
	return o
}

// RevokePart deletes some keys of a lease, as many as a transaction may delete, and
// leaves the lease itself.
func RevokePart(lease int64, onlyDue bool) Operation {
	o := Revoke(lease, onlyDue)
	o.flags |= 2
	return o
}

// Transaction is decided and executed in one script call.
type Transaction struct {
	// Puts says that some branch puts; such a transaction is refused as a whole
	// when space is out.
	Puts       bool
	Conditions []Condition
	Then, Else []Operation
	// DeletesMax bounds the keys that deletions of spans and revokes may delete together, 0
	// for no bound.
	DeletesMax int
}

// Outcome is what became of a transaction.
type Outcome byte

// The outcomes, as in lua/commit.lua. From OutcomeLeaseNotFound on nothing was
// done.
const (
	OutcomeThen Outcome = iota + 1
	OutcomeElse
	OutcomeLeaseNotFound
	OutcomeKeyNotFound
	OutcomeNoSpace
	OutcomeChanged
	OutcomeNotDue
	// OutcomeAgain: it touches what has no revision yet.
	OutcomeAgain
	// OutcomeRead: it would change nothing, and is to be answered by a read.
	OutcomeRead
	// OutcomeElsewhere: other shards may hold keys of the lease, too.
	OutcomeElsewhere
	// OutcomeSealed: it compares a value that is sealed, which Redis cannot.
	OutcomeSealed
	// OutcomeTooMany: it would delete more than DeletesMax keys.
	OutcomeTooMany
)

// OperationResult is what one operation gave.
type OperationResult struct {
	// Item is what Get read, or what Put or Delete replaced if that was wanted;
	// nil if there was nothing.
	Item *Item
	// Deleted counts the keys that a deletion or revoke removed.
	Deleted int64
}

// TransactionResult is the result of one transaction of a batch.
type TransactionResult struct {
	Outcome Outcome
	// Revision is the transaction's own if it wrote, else the current one.
	Revision   Revision
	Operations []OperationResult
	// Err is why a value that it read could not be opened; what it writes is written all
	// the same.
	Err error
}

// BatchStringsMax bounds the strings that one batch refers to.
const BatchStringsMax = 60000

// Strings is how many strings a transaction adds to a batch.
func (t *Transaction) Strings() int {
	return 2 * (len(t.Conditions) + len(t.Then) + len(t.Else))
}

// Bytes is about how large a transaction makes its batch.
func (t *Transaction) Bytes() int {
	n := 64
	for i := range t.Conditions {
		n += len(t.Conditions[i].span.from) + len(t.Conditions[i].value)
	}
	for _, ops := range [][]Operation{t.Then, t.Else} {
		for i := range ops {
			n += len(ops[i].span.from) + len(ops[i].value)
		}
	}
	return n
}

// Lane is a sequence of commit calls of which at most one is under way. Its name
// and the call's number let Redis refuse a call that arrives late or twice.
type Lane struct {
	name     string
	sequence int64
}

// NewLane gives a lane whose name was never used.
func (c *Client) NewLane() (*Lane, error) {
	name := make([]byte, 8)
	if _, err := io.ReadFull(c.parts.Random, name); err != nil {
		return nil, fmt.Errorf("name a lane: %w", err)
	}
	return &Lane{name: c.member + string(name)}, nil
}

// Commit runs a batch in one call. On ErrUnknown the caller asks Resolve.
func (c *Client) Commit(ctx context.Context, lane *Lane, epoch Epoch, quotaBytes int64, batch []*Transaction) ([]TransactionResult, error) {
	args, err := c.encodeBatch(lane, quotaBytes, batch)
	if err != nil {
		return nil, err
	}
	args = append(args, int64(epoch))
	reply, err := c.call(ctx, scriptCommit, leadingRevision, args...)
	if err != nil {
		return nil, err
	}
	d := decoder{rest: reply, open: c.opener(ctx)}
	d.revision()
	if d.byte() == 1 {
		lane.sequence++
	}
	results := make([]TransactionResult, len(batch))
	for i, t := range batch {
		results[i] = d.transaction(t)
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("commit: %w", errors.Join(ErrUnknown, err))
	}
	return results, nil
}

// Resolved is what became of one transaction of a lost call.
type Resolved struct {
	// Done says that it wrote; otherwise it changed nothing and can be sent again.
	Done bool
	// Revision is the one it took, 0 if it wrote without taking one. On a shard other
	// than the home shard it is its position.
	Revision Revision
	// Incarnation is the one that this was found out in.
	Incarnation string
}

// Reopen takes back the last call of a lane, so that Resolve asks what became of it.
func (l *Lane) Reopen() { l.sequence-- }

// Resolve finds out what became of the batch of a lane whose Commit ended with
// ErrUnknown. done is false if the batch never ran and never will; the lane is
// closed then. ErrUnknown means that it cannot be found out.
func (c *Client) Resolve(ctx context.Context, lane *Lane, size int) (results []Resolved, done bool, err error) {
	reply, err := c.read(ctx, scriptResolve, nil, lane.name, lane.sequence+1)
	if err != nil {
		return nil, false, err
	}
	word, rest, _ := strings.Cut(string(reply), ":")
	switch word {
	case "not done":
		return nil, false, nil
	case "done":
	default:
		return nil, false, fmt.Errorf("resolve: %w: redis answered %q", ErrUnknown, reply)
	}
	incarnation, rest, _ := strings.Cut(rest, ":")
	first, outcomes, _ := strings.Cut(rest, ":")
	next, err := strconv.ParseInt(first, 10, 64)
	if err != nil || len(outcomes) != size {
		return nil, false, fmt.Errorf("resolve: %w: redis answered %q", ErrReply, reply)
	}
	lane.sequence++
	results = make([]Resolved, size)
	for i := range results {
		results[i].Done, results[i].Incarnation = outcomes[i] != '0', incarnation
		if outcomes[i] == '1' {
			results[i].Revision = Revision(next)
			next++
		}
	}
	return results, true, nil
}

// firstString is where the strings of a batch begin in ARGV, counted from 1.
const firstString = 6

// encodeBatch lays out ARGV as lua/commit.lua reads it: keys first, then other
// strings; the program refers to both by index.
func (c *Client) encodeBatch(lane *Lane, quotaBytes int64, batch []*Transaction) ([]any, error) {
	e := batchEncoder{seal: c.sealOperation}
	for _, t := range batch {
		e.collectKeys(t)
	}
	for _, t := range batch {
		e.transaction(t)
	}
	args := make([]any, 0, 9+len(e.keys)+len(e.others))
	args = append(args, lane.name, lane.sequence+1, quotaBytes, e.program, len(e.keys))
	return append(append(args, e.keys...), e.others...), e.failure
}

type batchEncoder struct {
	keys, others []any
	// last is the key that was laid out last; places say where each one lies that
	// the program will name, in its order.
	last    []byte
	places  []int
	program []byte
	// seal gives an operation's value as it is stored, and its flags; failure is the first
	// reason why it could not.
	seal    func(*Operation) (value []byte, flags byte, err error)
	failure error
}

// prefetched says that the operation's key has an entry worth reading ahead.
func (o *Operation) prefetched() bool { return o.kind <= opGet }

// collectKeys lays out the keys. One that is named several times in a row, as in
// a compare-and-swap, is sent once.
func (e *batchEncoder) collectKeys(t *Transaction) {
	for i := range t.Conditions {
		if t.Conditions[i].target != targetUnchanged {
			e.collect(t.Conditions[i].span.from)
		}
	}
	for _, ops := range [][]Operation{t.Then, t.Else} {
		for i := range ops {
			if ops[i].prefetched() {
				e.collect(ops[i].span.from)
			}
		}
	}
}

func (e *batchEncoder) collect(key []byte) {
	if e.last == nil || !bytes.Equal(e.last, key) {
		e.keys = append(e.keys, key)
		e.last = key
	}
	e.places = append(e.places, firstString+len(e.keys)-1)
}

// key is where the next key was laid out.
func (e *batchEncoder) key() int {
	at := e.places[0]
	e.places = e.places[1:]
	return at
}

func (e *batchEncoder) other(value []byte) int {
	e.others = append(e.others, notNil(value))
	return firstString + len(e.keys) + len(e.others) - 1
}

func (e *batchEncoder) transaction(t *Transaction) {
	flags := byte(0)
	if t.Puts {
		flags = 1
	}
	e.program = append(e.program, flags)
	for _, n := range []int{len(t.Conditions), len(t.Then), len(t.Else)} {
		e.program = binary.BigEndian.AppendUint16(e.program, uint16(n))
	}
	for i := range t.Conditions {
		e.condition(&t.Conditions[i])
	}
	for _, ops := range [][]Operation{t.Then, t.Else} {
		for i := range ops {
			e.operation(&ops[i], t.DeletesMax)
		}
	}
}

func (e *batchEncoder) condition(c *Condition) {
	var a, b int
	how := byte(c.comparison)
	if c.target == targetUnchanged {
		how = c.span.kind
		a, b = e.other(c.span.from), e.other(c.span.to)
	} else {
		a = e.key()
		if c.target == TargetValue || c.target == TargetLease {
			b = e.other(c.value)
		}
	}
	e.instruction(byte(c.target), how, a, b, uint64(c.operand))
}

func (e *batchEncoder) operation(o *Operation, deletesMax int) {
	number := uint64(o.lease)
	var a, b int
	flags := o.flags
	switch {
	case o.kind == opPut:
		value, sealing, err := e.seal(o)
		if err != nil && e.failure == nil {
			e.failure = err
		}
		flags, a, b = sealing, e.key(), e.other(value)
	case o.prefetched():
		a = e.key()
	case o.kind == opRevoke:
		a, b = e.other(nil), e.other(strconv.AppendInt(nil, int64(deletesMax), 10))
	default:
		a, b = e.other(o.span.from), e.other(o.span.to)
		number = uint64(deletesMax)
	}
	e.instruction(byte(o.kind), flags, a, b, number)
}

func (e *batchEncoder) instruction(kind, flags byte, a, b int, number uint64) {
	e.program = append(e.program, kind, flags)
	e.program = binary.BigEndian.AppendUint16(e.program, uint16(a))
	e.program = binary.BigEndian.AppendUint16(e.program, uint16(b))
	e.program = binary.BigEndian.AppendUint64(e.program, number)
}

func (d *decoder) transaction(t *Transaction) TransactionResult {
	result := TransactionResult{Outcome: Outcome(d.byte()), Revision: d.revision()}
	var ops []Operation
	switch result.Outcome {
	case OutcomeThen:
		ops = t.Then
	case OutcomeElse:
		ops = t.Else
	}
	result.Operations = make([]OperationResult, len(ops))
	for i := range ops {
		result.Operations[i] = d.operation(&ops[i])
		if item := result.Operations[i].Item; item != nil && result.Err == nil {
			result.Err = item.Unopened
		}
	}
	return result
}

func (d *decoder) operation(o *Operation) OperationResult {
	var r OperationResult
	switch o.kind {
	case opPut, opGet:
		if d.byte() == 1 {
			item := d.item()
			r.Item = &item
		}
	default:
		r.Deleted = int64(d.length())
		if o.kind == opDelete && o.flags&WantPrevious != 0 && r.Deleted == 1 {
			item := d.item()
			r.Item = &item
		}
	}
	return r
}

// Spans are all that the transaction names, except what a revoke will find.
func (t *Transaction) Spans() []Span {
	spans := make([]Span, 0, len(t.Conditions)+len(t.Then)+len(t.Else))
	for i := range t.Conditions {
		spans = append(spans, t.Conditions[i].span)
	}
	for _, ops := range [][]Operation{t.Then, t.Else} {
		for i := range ops {
			if ops[i].kind != opRevoke {
				spans = append(spans, ops[i].span)
			}
		}
	}
	return spans
}

// Odd says that the transaction may change a key twice, which only a shard that knows
// its revisions at once can do: it puts, and deletes all keys from some key on; or it
// names the key in two transactions within it.
func (t *Transaction) Odd() bool { return changesTwice(t.Then) || changesTwice(t.Else) }

func changesTwice(ops []Operation) bool {
	puts, sweeps := false, false
	for i := range ops {
		puts = puts || ops[i].kind == opPut
		sweeps = sweeps || ops[i].kind == opDeleteRange
	}
	if !puts || len(ops) == 1 {
		return false
	}
	changed := make(map[string]bool, len(ops))
	for i := range ops {
		if o := &ops[i]; o.kind == opPut || o.kind == opDelete {
			if changed[string(o.span.First())] {
				return true
			}
			changed[string(o.span.First())] = true
		}
	}
	return sweeps
}

// Effects are the events of a transaction that was executed; not known if its result
// does not tell them all, as with spans and values that were kept.
func (t *Transaction) Effects(r *TransactionResult) (effects []Effect, known bool) {
	ops := t.Then
	if r.Outcome == OutcomeElse {
		ops = t.Else
	}
	for i := range ops {
		o := &ops[i]
		switch {
		case o.kind == opGet:
		case o.kind == opPut && o.flags&(IgnoreValue|IgnoreLease) == 0:
			effects = append(effects, Effect{Sub: len(effects), Lease: o.lease, Key: o.span.from, Value: o.value})
		case o.kind == opDelete:
			if r.Operations[i].Deleted > 0 {
				effects = append(effects, Effect{Sub: len(effects), Deleted: true, Key: o.span.from})
			}
		default:
			return nil, false
		}
	}
	return effects, true
}
