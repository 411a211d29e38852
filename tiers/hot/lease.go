package hot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// LeaseCall is one call on a lease in a batch.
type LeaseCall struct {
	kind   byte
	lease  int64
	number uint64
}

const (
	leaseGrant byte = iota + 1
	leaseKeepAlive
	leaseDescribe
	leaseDescribeKeys
	leaseList
	leaseDue
	leaseEnd
)

// GrantLease creates a lease with a time to live in seconds.
func GrantLease(lease, ttlSeconds int64) LeaseCall {
	return LeaseCall{kind: leaseGrant, lease: lease, number: uint64(ttlSeconds)}
}

// KeepAliveLease gives a lease its full time to live again.
func KeepAliveLease(lease int64) LeaseCall { return LeaseCall{kind: leaseKeepAlive, lease: lease} }

// DescribeLease reads a lease, and its keys if they are wanted.
func DescribeLease(lease int64, keys bool) LeaseCall {
	if keys {
		return LeaseCall{kind: leaseDescribeKeys, lease: lease}
	}
	return LeaseCall{kind: leaseDescribe, lease: lease}
}

// ListLeases reads leases, a page of some thousands from a result's More on, and all of
// them where there are no more than that; 0 begins. A lease that is there all the while is in
// one page at least.
func ListLeases(from uint64) LeaseCall { return LeaseCall{kind: leaseList, number: from} }

// Long says that the call may keep Redis busy for milliseconds, so that a batch should
// hold one of them only.
func (c LeaseCall) Long() bool { return c.kind >= leaseDescribeKeys && c.kind <= leaseDue }

// DueLeases reads leases that have ended, at most as many as given.
func DueLeases(most int) LeaseCall { return LeaseCall{kind: leaseDue, number: uint64(most)} }

// EndLease lets a lease end now: it can be revoked as due, and not be renewed.
func EndLease(lease int64) LeaseCall { return LeaseCall{kind: leaseEnd, lease: lease} }

// What a call on a lease can be refused for.
var (
	ErrLeaseNotFound = errors.New("lease not found")
	ErrLeaseExists   = errors.New("lease exists")
	ErrNoSpace       = errors.New("no space")
)

// Lease is one lease.
type Lease struct {
	ID         int64
	TTLSeconds int64
	Remaining  time.Duration
	Keys       [][]byte
	// Sharers are other shards that may hold keys of the lease.
	Sharers []Shard
}

// LeaseResult is the result of one call.
type LeaseResult struct {
	// Err is nil, ErrLeaseNotFound, ErrLeaseExists or ErrNoSpace.
	Err    error
	Leases []Lease
	// More, for ListLeases, is where to go on, 0 at the end.
	More uint64
	// NextDue, for DueLeases, is how long until another lease can end.
	NextDue time.Duration
}

// Leases makes a batch of calls. Those that change something may be repeated
// after a lost reply only by a caller for whom twice is as good as once: a
// keep-alive is, a grant whose id exists afterwards may be its own.
// ErrStaleMap: the epoch is over, and nothing was done.
func (c *Client) Leases(ctx context.Context, epoch Epoch, batch []LeaseCall) (Revision, []LeaseResult, error) {
	program := make([]byte, 0, 17*len(batch))
	for _, call := range batch {
		program = append(program, call.kind)
		program = binary.BigEndian.AppendUint64(program, uint64(call.lease))
		program = binary.BigEndian.AppendUint64(program, call.number)
	}
	reply, err := c.call(ctx, scriptLease, leadingRevision, program, int64(epoch))
	if err != nil {
		return 0, nil, err
	}
	d := decoder{rest: reply}
	revision, results := d.revision(), make([]LeaseResult, len(batch))
	for i, call := range batch {
		results[i] = d.leaseResult(call)
	}
	if err := d.end(); err != nil {
		return 0, nil, fmt.Errorf("lease: %w", err)
	}
	return revision, results, nil
}

func (d *decoder) leaseResult(call LeaseCall) LeaseResult {
	switch call.kind {
	case leaseList:
		more := d.uint(8)
		leases := make([]Lease, 0, min(d.length(), len(d.rest)/24))
		for range cap(leases) {
			leases = append(leases, d.lease(int64(d.uint(8))))
		}
		return LeaseResult{Leases: leases, More: more}
	case leaseDue:
		r := LeaseResult{NextDue: time.Duration(d.int8()) * time.Millisecond}
		for range min(d.length(), len(d.rest)/8) {
			r.Leases = append(r.Leases, Lease{ID: int64(d.uint(8))})
		}
		return r
	}
	switch d.byte() {
	case 1:
		return LeaseResult{Err: ErrLeaseNotFound}
	case 2:
		return LeaseResult{Err: ErrLeaseExists}
	case 3:
		return LeaseResult{Err: ErrNoSpace}
	}
	lease := d.lease(call.lease)
	if call.kind == leaseDescribeKeys {
		for range min(d.length(), len(d.rest)/4) {
			lease.Keys = append(lease.Keys, d.text())
		}
		for range min(d.length(), len(d.rest)/2) {
			lease.Sharers = append(lease.Sharers, Shard(d.uint(2)))
		}
	}
	return LeaseResult{Leases: []Lease{lease}}
}

func (d *decoder) lease(id int64) Lease {
	return Lease{ID: id, TTLSeconds: d.int8(), Remaining: time.Duration(d.int8()) * time.Millisecond}
}
