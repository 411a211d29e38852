package endpoint

import (
	"context"
	"errors"
	"log/slog"
	"time"
	"unicode/utf8"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

const (
	// slowCall is from when on a unary call is worth a line in the log (etcd's
	// warning-unary-request-duration).
	slowCall = 300 * time.Millisecond
	// noteInterval is the least time between two lines of one kind; those in
	// between are only counted by the metrics.
	noteInterval = time.Second
)

// waitsForOthers are the unary calls that end when another client does
// something, which may be never. They are cut off when the frontend drains; all
// other unary calls finish.
var waitsForOthers = map[string]bool{
	"/v3lockpb.Lock/Lock":             true,
	"/v3electionpb.Election/Campaign": true,
}

// finite are the streams that end by themselves; they too finish while the
// frontend drains. All others are cut off.
var finite = map[string]bool{
	"/etcdserverpb.KV/RangeStream":       true,
	"/etcdserverpb.Maintenance/Snapshot": true,
}

// guard stands before and after every call.
type guard struct {
	maxRequestBytes int
	draining        context.Context
	pulse           *pulse
	loans           *loans
	requests        *requestCounter
	calls           *callSeries
	limits          *limiter
	logger          *slog.Logger
	now             func() time.Time
	slow, failures  *rate.Sometimes
}

func newGuard(s *Server, m *series, limits *limiter) *guard {
	return &guard{
		maxRequestBytes: s.settings.MaxRequestBytes, draining: s.draining, pulse: s.pulse,
		loans:    s.loopback.loans,
		requests: newRequestCounter(m.requests), calls: m.calls, limits: limits, logger: s.logger, now: s.now,
		slow: &rate.Sometimes{Interval: noteInterval}, failures: &rate.Sometimes{Interval: noteInterval},
	}
}

// unary admits a call, bounds it, settles its error, and counts it with the code
// that the client gets.
func (g *guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	series := g.calls.of(info.FullMethod)
	series.started.Inc()
	series.received.Inc()
	start := g.now()
	resp, err := g.admitted(ctx, req, info, handler)
	end := g.now()
	took := end.Sub(start)
	g.limits.ended(info.FullMethod, end, took)
	if took > slowCall && !waitsForOthers[info.FullMethod] {
		g.slow.Do(func() {
			g.logger.Warn("slow call", "method", info.FullMethod, "took", took, "code", status.Code(err))
		})
	}
	if err != nil {
		resp, err = nil, g.settle(ctx, info.FullMethod, err)
	} else {
		series.sent.Inc()
	}
	series.ended(err, took)
	return resp, err
}

// admitted answers a call, unless it is refused.
func (g *guard) admitted(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if _, err := g.admit(ctx, unaryCall); err != nil {
		return nil, err
	}
	if writeSize(req) > g.maxRequestBytes {
		return nil, rpctypes.ErrGRPCRequestTooLarge
	}
	if lends(info.FullMethod) {
		var release func()
		ctx, release = g.loans.lend(ctx)
		defer release()
	}
	budget, err := g.limits.budget(req)
	if err != nil {
		return nil, err
	}
	defer budget.end()
	return g.call(router.WithBudget(ctx, budget), req, info, handler)
}

// call runs the handler, and cuts it off if it may wait for ever.
func (g *guard) call(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if !waitsForOthers[info.FullMethod] {
		return handler(ctx, req)
	}
	ctx, release := cutOff(ctx, g.draining, rpctypes.ErrGRPCStopped)
	defer release()
	resp, err := handler(ctx, req)
	if err != nil && isCut(ctx) {
		err = cutStatus(ctx)
	}
	return resp, err
}

// callKind is the label of a call in the request counter.
type callKind string

const (
	unaryCall  callKind = "unary"
	streamCall callKind = "stream"
)

// admit looks at the metadata of a call: it counts it by the client's version
// and refuses it when the client requires a leader and there is none. It says
// whether the client does.
func (g *guard) admit(ctx context.Context, kind callKind) (leaderRequired bool, err error) {
	version := "unknown"
	if vs := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataClientAPIVersionKey); len(vs) > 0 {
		version = vs[0]
	}
	if !utf8.ValidString(version) {
		return false, rpctypes.ErrGRPCInvalidClientAPIVersion
	}
	g.requests.count(kind, version)
	vs := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataRequireLeaderKey)
	leaderRequired = len(vs) > 0 && vs[0] == rpctypes.MetadataHasLeader
	if leaderRequired && g.pulse.lost() {
		return true, rpctypes.ErrGRPCNoLeader
	}
	return leaderRequired, nil
}

// settle makes of a handler's error what the client gets. A handler's Canceled
// or DeadlineExceeded is only true if it is the client that stopped waiting;
// otherwise it is a time limit of ours, after which the outcome is unknown.
func (g *guard) settle(ctx context.Context, method string, err error) error {
	err = wire.Error(err)
	if code := status.Code(err); (code == codes.Canceled || code == codes.DeadlineExceeded) && ctx.Err() == nil {
		err = rpctypes.ErrGRPCTimeout
	}
	var failure *wire.Failure
	if errors.As(err, &failure) {
		g.failures.Do(func() {
			g.logger.Warn("call failed", "method", method, "code", status.Code(err),
				"text", failure.Error(), "cause", failure.Unwrap())
		})
	}
	return err
}
