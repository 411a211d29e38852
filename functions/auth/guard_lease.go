package auth

import (
	"context"
	"sync"

	"github.com/tierd/tierd/router"
)

// leaseLookups is how many leases are looked up at once for a caller who lists them.
const leaseLookups = 16

// leaseAnswer is what the router's calls on a lease answer.
type leaseAnswer struct {
	lease    router.Lease
	revision router.Revision
}

func onLease(lease router.Lease, revision router.Revision, err error) (leaseAnswer, error) {
	return leaseAnswer{lease: lease, revision: revision}, err
}

// LeaseGrant implements router.API.
func (g *guarded) LeaseGrant(ctx context.Context, id, ttlSeconds int64) (router.Lease, router.Revision, error) {
	a, err := allowed(ctx, g, mayCall, func(ctx context.Context) (leaseAnswer, error) {
		return onLease(g.API.LeaseGrant(ctx, id, ttlSeconds))
	})
	return a.lease, a.revision, err
}

// mayWriteAll is the rule for calls that end a lease, or keep it: they need the right
// to write all keys that hang on it.
func (g *guarded) mayWriteAll(id int64) needs {
	return func(ctx context.Context, st *state, who identity) error {
		if err := st.require(who); err != nil {
			return refuse(err)
		}
		return g.checker(ctx, st, who).lease(id, write)
	}
}

// LeaseRevoke implements router.API.
func (g *guarded) LeaseRevoke(ctx context.Context, id int64) (router.Revision, error) {
	return allowed(ctx, g, g.mayWriteAll(id), func(ctx context.Context) (router.Revision, error) { return g.API.LeaseRevoke(ctx, id) })
}

// LeaseKeepAlive implements router.API.
func (g *guarded) LeaseKeepAlive(ctx context.Context, id int64) (router.Lease, router.Revision, error) {
	a, err := allowed(ctx, g, g.mayWriteAll(id), func(ctx context.Context) (leaseAnswer, error) {
		return onLease(g.API.LeaseKeepAlive(ctx, id))
	})
	return a.lease, a.revision, err
}

// LeaseTimeToLive implements router.API: the keys are told to those who may read all of them.
func (g *guarded) LeaseTimeToLive(ctx context.Context, id int64, keys bool) (router.Lease, router.Revision, error) {
	var (
		st  *state
		who identity
	)
	a, err := allowed(ctx, g, func(ctx context.Context, now *state, caller identity) error {
		st, who = now, caller
		return mayCall(ctx, now, caller)
	}, func(ctx context.Context) (leaseAnswer, error) {
		a, err := onLease(g.API.LeaseTimeToLive(ctx, id, keys))
		if err != nil || !keys || st.admin(who) == nil {
			return a, err
		}
		return a, g.checker(ctx, st, who).all(a.lease.Keys, read)
	})
	return a.lease, a.revision, err
}

// Leases implements router.API: the list is for those who may read the keys of all leases.
func (g *guarded) Leases(ctx context.Context) ([]router.Lease, router.Revision, error) {
	var (
		leases   []router.Lease
		revision router.Revision
	)
	err := g.store.decide(ctx, func(bound context.Context, st *state) error {
		who, err := g.store.identify(bound, st)
		if err != nil {
			return err
		}
		if err := st.require(who); err != nil {
			return refuse(err)
		}
		if leases, revision, err = g.API.Leases(bound); err != nil {
			return err
		}
		if st.admin(who) != nil {
			if err := g.mayReadAll(bound, st, who, leases); err != nil {
				return err
			}
		}
		// The list was read before, so it was permitted.
		_, err = g.API.ConfirmAuth(bound)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return leases, revision, nil
}

// mayReadAll checks the keys of many leases. Of several refusals it does not matter which is told.
func (g *guarded) mayReadAll(ctx context.Context, st *state, who identity, leases []router.Lease) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan int64)
	var workers sync.WaitGroup
	for range min(leaseLookups, len(leases)) {
		workers.Go(func() {
			for id := range todo {
				if err := g.checker(ctx, st, who).lease(id, read); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, l := range leases {
		if ctx.Err() != nil {
			break
		}
		todo <- l.ID
	}
	close(todo)
	workers.Wait()
	return context.Cause(ctx) // nil where nothing has ended it
}
