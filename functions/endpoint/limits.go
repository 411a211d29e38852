package endpoint

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/functions/watch"
	"github.com/tierd/tierd/router"
)

// Defaults of Limits.
const (
	MaxInFlightRequestsDefault      = 4096
	MaxInFlightBytesDefault         = 1 << 30
	MaxStreamsOpenDefault           = 65_536
	MaxConnectionsDefault           = 16_384
	MaxConnectionsPerAddressDefault = 4096
)

// Limits bound what clients can make a frontend hold at once. What is beyond is
// refused with etcd's "too many requests", before any work is done for it. A
// field of 0 means its default, a negative one no limit.
type Limits struct {
	// InFlightRequests is how many unary calls are open at once, from their first
	// byte to their last; streams, calls that wait for other clients (see
	// waitsForOthers) and health checks do not count.
	InFlightRequests int
	// InFlightBytes is how large the requests and answers that are in memory may be
	// together, in bytes: a request until it is answered, the answer while it is
	// gathered and until the client has taken it.
	InFlightBytes int64
	// Streams is how many streams are open at once, and calls that wait for other clients.
	Streams int
	// WatchesPerStream is how many watches one watch stream may have.
	WatchesPerStream int
	// Connections is how many clients may be connected at once to the client addresses,
	// ConnectionsPerAddress how many of them from one IP address.
	Connections, ConnectionsPerAddress int
}

// withDefaults fills in what is 0 and turns "no limit" into a number.
func (l Limits) withDefaults() Limits {
	fill := func(field *int, value int) {
		switch {
		case *field == 0:
			*field = value
		case *field < 0:
			*field = math.MaxInt
		}
	}
	fill(&l.InFlightRequests, MaxInFlightRequestsDefault)
	fill(&l.Streams, MaxStreamsOpenDefault)
	fill(&l.WatchesPerStream, watch.WatchesMaxDefault)
	fill(&l.Connections, MaxConnectionsDefault)
	fill(&l.ConnectionsPerAddress, MaxConnectionsPerAddressDefault)
	switch {
	case l.InFlightBytes == 0:
		l.InFlightBytes = MaxInFlightBytesDefault
	case l.InFlightBytes < 0:
		l.InFlightBytes = math.MaxInt64
	}
	return l
}

// Names of the limits, as the metric of refusals has them.
const (
	limitRequests             = "requests"
	limitBytes                = "bytes"
	limitStreams              = "streams"
	limitConnections          = "connections"
	limitConnectionsOfAddress = "connections_of_address"
	limitHandshakes           = "handshakes"
)

// limitSeries show how much is in flight, and what was refused.
type limitSeries struct {
	refused                               *prometheus.CounterVec
	requests, bytes, streams, connections prometheus.Gauge
	// pace is how many requests are let in now.
	pace prometheus.Gauge
}

func newLimitSeries(registry *prometheus.Registry) (*limitSeries, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	s := &limitSeries{
		refused:     counterVec("tierd_refused_total", "Calls, streams and connections refused because a limit was reached, by limit.", "limit"),
		requests:    gauge("tierd_in_flight_requests", "Unary calls that are open."),
		pace:        gauge("tierd_in_flight_requests_limit", "Unary calls that may be open now: fewer than the limit while calls take long."),
		bytes:       gauge("tierd_in_flight_bytes", "Bytes of requests and answers in memory."),
		streams:     gauge("tierd_open_streams", "Streams that are open, and calls that wait for other clients."),
		connections: gauge("tierd_open_connections", "Connections to the client and the metrics addresses."),
	}
	for _, limit := range []string{limitRequests, limitBytes, limitStreams, limitConnections, limitConnectionsOfAddress, limitHandshakes} {
		s.refused.WithLabelValues(limit) // so that it is seen at 0
	}
	for _, c := range []prometheus.Collector{s.refused, s.requests, s.bytes, s.streams, s.connections, s.pace} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return s, nil
}

// gate counts something that is open, up to a limit.
type gate struct {
	open    atomic.Int64
	limit   int64
	refused prometheus.Counter
	gauge   prometheus.Gauge
}

func newGate(limit int64, refused prometheus.Counter, gauge prometheus.Gauge) *gate {
	return &gate{limit: limit, refused: refused, gauge: gauge}
}

// enter counts n more, unless that is beyond the limit.
func (g *gate) enter(n int64) bool {
	if g.open.Add(n) > g.limit {
		g.open.Add(-n)
		g.refused.Inc()
		return false
	}
	g.gauge.Add(float64(n))
	return true
}

// force counts n more, whatever the limit.
func (g *gate) force(n int64) {
	g.open.Add(n)
	g.gauge.Add(float64(n))
}

func (g *gate) leave(n int64) {
	g.open.Add(-n)
	g.gauge.Sub(float64(n))
}

// unlimited are the unary calls that pass when all others are refused: those that
// tell whether, and why, a frontend is in trouble.
var unlimited = map[string]bool{
	"/grpc.health.v1.Health/Check":     true,
	"/etcdserverpb.Maintenance/Status": true,
	"/etcdserverpb.Maintenance/Alarm":  true,
	"/etcdserverpb.Cluster/MemberList": true,
}

// limiter admits calls. It stands in front of everything that a call costs.
type limiter struct {
	requests, streams, bytes *gate
	pace                     *pace
	collecting               rate.Sometimes
	// unary says which methods are counted as requests; it is complete before the
	// first call.
	unary map[string]bool
}

func newLimiter(l Limits, s *limitSeries) *limiter {
	return &limiter{
		requests:   newGate(int64(l.InFlightRequests), s.refused.WithLabelValues(limitRequests), s.requests),
		streams:    newGate(int64(l.Streams), s.refused.WithLabelValues(limitStreams), s.streams),
		bytes:      newGate(l.InFlightBytes, s.refused.WithLabelValues(limitBytes), s.bytes),
		collecting: rate.Sometimes{Interval: collectInterval},
		pace:       newPace(int64(l.InFlightRequests), s.pace),
		unary:      make(map[string]bool),
	}
}

// learn finds out which methods of a server are unary.
func (l *limiter) learn(server *grpc.Server) {
	for service, info := range server.GetServiceInfo() {
		for _, m := range info.Methods {
			name := "/" + service + "/" + m.Name
			l.unary[name] = !m.IsClientStream && !m.IsServerStream && !waitsForOthers[name]
		}
	}
}

// tap admits a call when its headers have arrived, before it costs a goroutine or
// its message any memory. The call is counted until its stream has ended.
func (l *limiter) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	if unlimited[info.FullMethodName] {
		return ctx, nil
	}
	gate, paced := l.streams, false
	if l.unary[info.FullMethodName] {
		gate, paced = l.requests, l.requests.open.Load() >= l.pace.limit.Load()
	}
	if paced {
		gate.refused.Inc()
	}
	if paced || !gate.enter(1) {
		return nil, rpctypes.ErrGRPCRequestTooManyRequests
	}
	context.AfterFunc(ctx, func() { gate.leave(1) })
	return ctx, nil
}

// ended notes how long a call took.
func (l *limiter) ended(method string, now time.Time, took time.Duration) {
	if l.unary[method] {
		l.pace.observe(now, took, l.requests.open.Load())
	}
}

// budget takes the bytes of a request; its end gives them back, and those that are
// gathered for the answer meanwhile.
func (l *limiter) budget(req any) (*budget, error) {
	b := &budget{bytes: l.bytes, refused: l.collect}
	message, ok := req.(proto.Message)
	if !ok {
		return b, nil
	}
	if !b.take(int64(proto.Size(message))) {
		return nil, rpctypes.ErrGRPCRequestTooManyRequests
	}
	return b, nil
}

// collectInterval is the least time between two collections of garbage for want of room.
const collectInterval = time.Second

// collect looks for answers that nobody will take any more: those of connections that have
// broken are free when they are collected, and an idle frontend collects seldom.
func (l *limiter) collect() {
	l.collecting.Do(func() { go runtime.GC() })
}

// budget is what one call holds of the limit on bytes.
type budget struct {
	bytes *gate
	held  atomic.Int64
	// refused is called when there is no room.
	refused func()
}

// take takes bytes, if there is room; what is small it takes anyway, so that who holds all the
// room keeps nobody from small calls.
func (b *budget) take(n int64) bool {
	if n < smallBytes {
		b.bytes.force(n)
	} else if !b.bytes.enter(n) {
		b.refused()
		return false
	}
	b.held.Add(n)
	return true
}

// Take implements router.Budget.
func (b *budget) Take(n int64) error {
	if !b.take(n) {
		return fmt.Errorf("%w: %w", router.ErrTooManyRequests, errNoBytes)
	}
	return nil
}

func (b *budget) end() { b.bytes.leave(b.held.Swap(0)) }

// errNoBytes is the cause of a refused range.
var errNoBytes = errors.New("the answers under way are as large as --max-inflight-bytes allows")

// smallBytes is the size from which a request may be refused for its bytes, and from which an
// answer is counted until its client has taken it. Smaller ones are bounded by the number of
// requests.
const smallBytes = 16 << 10

// limitingCodec is a codec that counts large answers until they are written.
type limitingCodec struct {
	encoding.CodecV2
	bytes *gate
}

func (c limitingCodec) Marshal(v any) (mem.BufferSlice, error) {
	switch v.(type) {
	case *pb.RangeStreamResponse, *pb.WatchResponse, *pb.SnapshotResponse: // one at a time of each stream
		return c.CodecV2.Marshal(v)
	}
	message, ok := v.(proto.Message)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	size := int64(proto.Size(message))
	if size < smallBytes {
		return c.CodecV2.Marshal(v)
	}
	// Its parts were counted by the call's budget, which ends as this begins.
	c.bytes.force(size)
	data, err := c.CodecV2.Marshal(v)
	if err != nil {
		c.bytes.leave(size)
		return nil, err
	}
	return counted(data, c.bytes, size), nil
}

// counted gives data that leaves the gate when it has been written and is freed, or,
// where a broken connection keeps it from that, when it is garbage.
func counted(data mem.BufferSlice, bytes *gate, size int64) mem.BufferSlice {
	c := &charge{bytes: bytes, size: size}
	if len(data) != 1 {
		c.end() // gRPC's codec writes into one piece
		return data
	}
	text := data[0].ReadOnlyData()
	pool := &countedPool{whole: data[0], charge: c}
	runtime.AddCleanup(pool, (*charge).end, c)
	return mem.BufferSlice{mem.NewBuffer(&text, pool)}
}

// charge is what one answer holds of a gate, until it ends for the first time.
type charge struct {
	bytes *gate
	size  int64
	once  sync.Once
}

func (c *charge) end() { c.once.Do(func() { c.bytes.leave(c.size) }) }

// countedPool is where the bytes of one answer go when nobody needs them any more.
type countedPool struct {
	whole  mem.Buffer
	charge *charge
}

// Get implements mem.BufferPool; nobody takes anything from here.
func (p *countedPool) Get(length int) *[]byte {
	fresh := make([]byte, length)
	return &fresh
}

// Put implements mem.BufferPool.
func (p *countedPool) Put(*[]byte) {
	p.charge.end()
	p.whole.Free()
}
