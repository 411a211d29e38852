package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tierd/tierd/tiers/hot"
)

// LeaseRevoke implements API.
func (k *Keyspace) LeaseRevoke(ctx context.Context, id int64) (Revision, error) {
	return k.revoke(ctx, id, false)
}

func (k *Keyspace) revoke(ctx context.Context, id int64, onlyDue bool) (Revision, error) {
	result, err := k.commit(ctx, k.revocation(id, onlyDue))
	if errors.Is(err, ErrTooManyKeys) {
		return k.revokeInParts(ctx, id, onlyDue)
	}
	if errors.Is(err, errAcross) {
		return k.revokeAcross(ctx, id, onlyDue)
	}
	if err != nil {
		return 0, err
	}
	if result.Revision == 0 { // done, without a key to delete, and the reply was lost
		current, _, err := k.CurrentRevision(ctx)
		return current, err
	}
	return result.Revision, nil
}

const (
	// leaseKeysMax is how many keys of a lease go in one revision, if Settings.DeletesMax is not
	// less: what Redis deletes within about a tenth of a second. Leases end when it suits
	// nobody, unlike deletions, which somebody asks for.
	leaseKeysMax = 10_000
	// revokePartKeys is how many keys of a lease with more go at a time.
	revokePartKeys = 2048
)

// leaseKeysMax is how many keys of a lease go in one revision.
func (k *Keyspace) leaseKeysMax() int {
	if most := k.settings.DeletesMax; most > 0 {
		return min(most, leaseKeysMax)
	}
	return leaseKeysMax
}

// revocation is the transaction that revokes a lease, if it has few enough keys.
func (k *Keyspace) revocation(id int64, onlyDue bool) *hot.Transaction {
	return &hot.Transaction{Then: []hot.Operation{hot.Revoke(id, onlyDue)}, DeletesMax: k.leaseKeysMax()}
}

// revokeInParts revokes a lease that has more keys than one transaction may delete. First
// the lease ends, so that nobody can renew it and whoever comes next goes on if this call
// breaks off; then its keys go, part by part, and the lease with the last.
func (k *Keyspace) revokeInParts(ctx context.Context, id int64, onlyDue bool) (Revision, error) {
	if !onlyDue {
		if _, err := k.callLease(ctx, hot.EndLease(id), true); err != nil {
			return 0, err
		}
	}
	ctx = withoutAuth(ctx) // it has taken effect
	part := min(revokePartKeys, k.leaseKeysMax())
	for ctx.Err() == nil {
		_, err := k.commit(ctx, &hot.Transaction{Then: []hot.Operation{hot.RevokePart(id, true)}, DeletesMax: part})
		if errors.Is(err, errAcross) {
			return k.revokeAcross(ctx, id, true)
		}
		if err != nil {
			return 0, err
		}
		result, err := k.commit(ctx, k.revocation(id, true))
		if errors.Is(err, ErrTooManyKeys) {
			continue
		}
		return result.Revision, err
	}
	return 0, fmt.Errorf("%w: revoke lease %x: %w", ErrOutcomeUnknown, id, ctx.Err())
}

// revokeAcross removes a lease and deletes its keys on all shards that hold any.
func (k *Keyspace) revokeAcross(ctx context.Context, id int64, onlyDue bool) (Revision, error) {
	ctx, cancel := context.WithTimeout(ctx, k.settings.RequestTimeout)
	defer cancel()
	for range evaluationsMax {
		answer, err := k.callLease(ctx, hot.DescribeLease(id, true), true)
		if err != nil {
			return 0, err
		}
		if onlyDue && answer.Leases[0].Remaining > 0 {
			return 0, nil // renewed meanwhile
		}
		sharers := answer.Leases[0].Sharers
		c, err := k.crossSharers(ctx, sharers)
		if err != nil {
			return 0, err
		}
		outcome, revision, err := k.revokeLocked(ctx, c, id, onlyDue, sharers)
		switch {
		case errors.Is(err, errBeginAgain), err == nil && outcome == hot.OutcomeChanged:
			continue
		case err == nil && outcome == hot.OutcomeTooMany:
			onlyDue = true // the lease has ended, and some of its keys are gone
			ctx = withoutAuth(ctx)
			continue
		case err != nil:
			return 0, err
		case outcome == hot.OutcomeLeaseNotFound:
			return 0, ErrLeaseNotFound
		}
		return revision, nil
	}
	return 0, fmt.Errorf("%w: the lease's keys changed under each of %d attempts", ErrTooManyRequests, evaluationsMax)
}

// revokeLocked plans the end of a lease while its shards stand still; OutcomeTooMany says
// that only a part of its keys is gone.
func (k *Keyspace) revokeLocked(ctx context.Context, c *crossing, id int64, onlyDue bool, sharers []hot.Shard) (hot.Outcome, Revision, error) {
	answer, err := k.callLease(ctx, hot.DescribeLease(id, true), true)
	if err == nil && !slices.Equal(answer.Leases[0].Sharers, sharers) {
		c.abort(ctx)
		return hot.OutcomeChanged, 0, nil
	}
	var keys [][]byte
	if err == nil {
		keys, err = k.allLeasedKeys(ctx, &answer.Leases[0])
	}
	if err != nil {
		c.abort(ctx)
		return 0, 0, err
	}
	p := planned{effects: make(map[hot.Shard][]hot.Effect), ended: id, onlyDue: onlyDue}
	most := k.leaseKeysMax()
	part := len(keys) > most
	if part { // the lease goes with the last of them
		keys, p.ended = keys[:most], 0
		if _, err := k.callLease(ctx, hot.EndLease(id), true); err != nil {
			c.abort(ctx)
			return 0, 0, err
		}
	}
	for i, key := range keys {
		owner := c.m.owner(key)
		p.effects[owner] = append(p.effects[owner], hot.Effect{Sub: i, Deleted: true, Key: key})
	}
	outcome, revision, err := c.plan(ctx, p)
	if part && err == nil && outcome == hot.OutcomeThen {
		outcome = hot.OutcomeTooMany
	}
	return outcome, revision, err
}

// ExpireLeases implements API.
func (k *Keyspace) ExpireLeases(ctx context.Context) (revoked int, next time.Duration, err error) {
	answer, err := k.callLease(ctx, hot.DueLeases(expiriesMax), true)
	if err != nil {
		return 0, 0, err
	}
	// All at once, so that they share a call or two, between which others have their turn.
	failures := make([]error, len(answer.Leases))
	var revoking sync.WaitGroup
	for i, l := range answer.Leases {
		revoking.Go(func() {
			// Someone else may have revoked or renewed it meanwhile.
			if _, err := k.revoke(ctx, l.ID, true); err != nil && !errors.Is(err, ErrLeaseNotFound) {
				failures[i] = fmt.Errorf("expire lease %x: %w", l.ID, err)
			}
		})
	}
	revoking.Wait()
	for _, failure := range failures {
		if failure == nil {
			revoked++
		}
	}
	if err := errors.Join(failures...); err != nil {
		return revoked, 0, err
	}
	return revoked, answer.NextDue, nil
}
