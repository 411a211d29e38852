// Package session runs the calls of the Lock and Election services, which are
// recipes over the other services: a client of this same frontend carries them
// out, as etcd's do.
//
// It promises that a call ends when its caller goes away or the frontend drains,
// whatever it is waiting for, and that its errors reach the caller as etcd sends
// them. What the client does for a call it does as the call's caller, which package
// endpoint lends it; it has no rights of its own.
//
// Nothing is kept between calls. Whatever a call has written hangs on a lease and
// goes with it, so a crash at any line leaves nothing for ever.
package session

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"google.golang.org/grpc/status"
)

// NoLease is for calls that only read: a lease that no server has.
const NoLease int64 = -1

// Runner runs calls.
type Runner struct {
	// Client speaks to this frontend. Its owner closes it, after the last call.
	Client *clientv3.Client
	// Draining, once closed, ends the calls under way as Unavailable.
	Draining <-chan struct{}
}

// Call runs do on a session with a lease; 0 has one granted, for a minute, which
// the call does not renew. The context that do gets ends with ctx or a drain. The
// error carries the status that the caller gets.
func (r Runner) Call(ctx context.Context, lease int64, do func(context.Context, *concurrency.Session) error) error {
	return r.run(ctx, func(ctx context.Context) error {
		s, err := concurrency.NewSession(r.Client,
			concurrency.WithContext(ctx), concurrency.WithLease(clientv3.LeaseID(lease)))
		if err != nil {
			return err
		}
		s.Orphan() // keeping the lease alive is the caller's business
		return do(ctx, s)
	})
}

// Plain runs do without a session, otherwise like Call.
func (r Runner) Plain(ctx context.Context, do func(context.Context, *clientv3.Client) error) error {
	return r.run(ctx, func(ctx context.Context) error { return do(ctx, r.Client) })
}

func (r Runner) run(ctx context.Context, do func(context.Context) error) error {
	bound, end := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-r.Draining:
			end(rpctypes.ErrGRPCStopped)
		case <-bound.Done():
		}
	}()
	defer func() {
		end(nil)
		<-watched
	}()
	err := do(bound)
	if err != nil && errors.Is(context.Cause(bound), rpctypes.ErrGRPCStopped) {
		return rpctypes.ErrGRPCStopped
	}
	return sent(err)
}

// sent is the status that etcd's Lock and Election services send for an error.
// They hand on their client's errors as they are, and those carry no status: the
// caller gets the text, under the code Unknown.
func sent(err error) error {
	if _, carries := status.FromError(err); carries {
		return err
	}
	return status.FromContextError(err).Err()
}
