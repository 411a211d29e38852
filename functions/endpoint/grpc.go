package endpoint

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
)

// streamWorkers is the number of goroutines that are kept for calls. A new one
// begins with a small stack, and growing it to what a call needs was measured to
// take an eighth of the processor time of a put. Calls beyond them get goroutines
// of their own; an endless stream keeps its worker. More of them cost a hundred
// clients what a thousand gain: they take turns, so that a stack has left the
// caches when it is used again.
const streamWorkers = 512

// streamWindow and connectionWindow are how much of one request, and of all that
// come on a connection, a client may send ahead: a request of the usual largest
// size, and some of those. They are fixed, because gRPC finds better ones for links
// that are long and fast by a ping along with every request, whose answer wakes
// both sides once more; requests are small, and what is large are the responses,
// which depend on the client's windows.
const (
	streamWindow     = 2 << 20
	connectionWindow = 4 * streamWindow
)

// newGRPCServer is a gRPC server with etcd's limits.
func newGRPCServer(s Settings, c Components, m *series, g *guard) *grpc.Server {
	opts := []grpc.ServerOption{
		grpc.ForceServerCodecV2(countingCodec{
			CodecV2: limitingCodec{encoding.GetCodecV2(proto.Name), g.limits.bytes}, sent: m.sentBytes, received: m.receivedBytes,
		}),
		grpc.Creds(splitCredentials{}),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.InTapHandle(g.limits.tap),
		grpc.MaxRecvMsgSize(s.MaxRequestBytes + overheadBytes),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(s.MaxConcurrentStreams),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
		grpc.ConnectionTimeout(sniffTimeout),
	}
	opts = append(opts, interceptors(s, c, g)...)
	opts = append(opts, keepaliveOptions(s.Keepalive)...)
	if c.Tracing != nil {
		opts = append(opts, grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithTracerProvider(c.Tracing),
			// So that a call's span hangs below its client's, such as an API server's.
			otelgrpc.WithPropagators(propagation.TraceContext{}),
		)))
	}
	return grpc.NewServer(opts...)
}

// interceptors stand around every call, from the outside in: who calls, what is written
// down of it, and what may refuse it.
func interceptors(s Settings, c Components, g *guard) []grpc.ServerOption {
	who := identify{s.ClientCertAuth}
	unary, stream := []grpc.UnaryServerInterceptor{who.unary}, []grpc.StreamServerInterceptor{who.stream}
	if c.Audit != nil {
		a := &auditor{log: c.Audit, now: c.Now}
		unary, stream = append(unary, a.unary), append(stream, a.stream)
	}
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(append(unary, g.unary)...), grpc.ChainStreamInterceptor(append(stream, g.stream)...),
	}
}

// keepaliveOptions are etcd's, but for pings on connections without a stream,
// which etcd punishes and clients send nevertheless: an idle API server must not
// be told to go away.
func keepaliveOptions(k Keepalive) []grpc.ServerOption {
	var opts []grpc.ServerOption
	if k.MinTime > 0 {
		opts = append(opts, grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: k.MinTime, PermitWithoutStream: true,
		}))
	}
	if k.Interval > 0 && k.Timeout > 0 {
		opts = append(opts, grpc.KeepaliveParams(keepalive.ServerParameters{Time: k.Interval, Timeout: k.Timeout}))
	}
	return opts
}

// countingCodec is gRPC's own codec, counting bytes.
type countingCodec struct {
	encoding.CodecV2
	sent, received prometheus.Counter
}

func (c countingCodec) Marshal(v any) (mem.BufferSlice, error) {
	data, err := c.CodecV2.Marshal(v)
	c.sent.Add(float64(data.Len()))
	return data, err
}

func (c countingCodec) Unmarshal(data mem.BufferSlice, v any) error {
	c.received.Add(float64(data.Len()))
	return c.CodecV2.Unmarshal(data, v)
}
