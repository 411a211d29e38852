package endpoint

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
)

// errCut marks the cause of a context that this package has ended.
type errCut struct{ error }

func (e errCut) Unwrap() error { return e.error }

// cutOff derives a context that also ends, with cause, when signal ends. release
// frees what it holds.
func cutOff(ctx, signal context.Context, cause error) (cut context.Context, release func()) {
	cut, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(signal, func() { cancel(errCut{cause}) })
	return cut, func() { stop(); cancel(nil) }
}

// isCut says whether ctx was ended by cutOff's signal.
func isCut(ctx context.Context) bool {
	var cut errCut
	return errors.As(context.Cause(ctx), &cut)
}

// stream admits a stream and counts it with the code that the client gets.
func (g *guard) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	series := g.calls.of(info.FullMethod)
	series.started.Inc()
	start := g.now()
	if lends(info.FullMethod) {
		ctx, release := g.loans.lend(ss.Context())
		defer release()
		ss = &knownStream{ServerStream: ss, ctx: ctx}
	}
	err := g.bounded(srv, &countedStream{ServerStream: ss, series: series}, info, handler)
	series.ended(err, g.now().Sub(start))
	return err
}

// bounded runs a stream and, unless it ends by itself, cuts it off when the
// frontend drains, or when the hot tier is lost and the client requires it.
// Handlers need to do nothing for that but to obey the stream's context and the
// errors of Recv.
func (g *guard) bounded(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if g.draining.Err() != nil {
		return rpctypes.ErrGRPCStopped
	}
	leaderRequired, err := g.admit(ss.Context(), streamCall)
	if err != nil {
		return err
	}
	if !finite[info.FullMethod] {
		return g.endless(srv, ss, info, handler, leaderRequired)
	}
	if err := handler(srv, ss); err != nil {
		return g.settle(ss.Context(), info.FullMethod, err)
	}
	return nil
}

func (g *guard) endless(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler, leaderRequired bool) error {
	ctx, release := cutOff(ss.Context(), g.draining, rpctypes.ErrGRPCStopped)
	defer release()
	if leaderRequired {
		var releaseToo func()
		ctx, releaseToo = cutOff(ctx, g.pulse.context(), rpctypes.ErrGRPCNoLeader)
		defer releaseToo()
	}
	err := handler(srv, &cuttableStream{ServerStream: ss, ctx: ctx, receives: info.IsClientStream})
	switch {
	case isCut(ctx):
		return cutStatus(ctx)
	case err != nil:
		return g.settle(ss.Context(), info.FullMethod, err)
	}
	return nil
}

// cutStatus is the gRPC status with which a cut stream or call ends.
func cutStatus(ctx context.Context) error {
	var cut errCut
	if errors.As(context.Cause(ctx), &cut) {
		return cut.error
	}
	return nil
}

// cuttableStream is a server stream that ends when ctx does, even for a handler
// that waits in Recv: gRPC itself ends a Recv only with the handler.
type cuttableStream struct {
	grpc.ServerStream
	ctx      context.Context
	receives bool
}

func (c *cuttableStream) Context() context.Context { return c.ctx }

// RecvMsg receives into m, or returns the status of the cut. In the second case
// the abandoned receive still owns m; it ends with the stream.
func (c *cuttableStream) RecvMsg(m any) error {
	if !c.receives {
		return c.ServerStream.RecvMsg(m)
	}
	received := make(chan error, 1)
	go func() { received <- c.ServerStream.RecvMsg(m) }()
	select {
	case err := <-received:
		return err
	case <-c.ctx.Done():
		if err := cutStatus(c.ctx); err != nil {
			return err
		}
		return <-received // the client ended the stream, and with it the receive
	}
}
