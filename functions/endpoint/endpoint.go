// Package endpoint is the server of one frontend: it listens, tells gRPC and
// HTTP/1 apart on one port, serves etcd's services, its HTTP endpoints, its JSON
// gateway and its metrics, and drains when the frontend is to stop.
//
// It owns sockets and connections and nothing that outlives them: the answers
// come from router.API, through one package per etcd service (see services in
// register.go). It promises:
//
//   - Nothing larger than Settings.MaxRequestBytes reaches a service's write.
//   - No call ends with Canceled or DeadlineExceeded while its client still
//     waits: Go clients would repeat the call, writes included.
//   - After Shutdown has begun, no new stream starts; endless streams (watch,
//     lease keepalive) end with Unavailable, on which clients resume on another
//     frontend; unary calls in flight finish. Shutdown returns by the end of its
//     context, and leaves no connection or listener behind.
//   - A client that asked for a leader is cut off with "no leader" once the hot
//     tier has been out of reach for a few seconds (see pulse).
package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"github.com/tierd/tierd/functions/audit"
	"github.com/tierd/tierd/functions/auth"
	"github.com/tierd/tierd/router"
)

// Defaults are etcd's own.
const (
	MaxRequestBytesDefault = 1_572_864
	MaxTxnOpsDefault       = 128
	MaxStreamsDefault      = math.MaxUint32

	KeepaliveMinTimeDefault  = 5 * time.Second
	KeepaliveIntervalDefault = 2 * time.Hour
	KeepaliveTimeoutDefault  = 20 * time.Second
)

// Settings are the values a user may change.
type Settings struct {
	// ListenClientURLs are http://host:port or unix:///path addresses for gRPC
	// and HTTP/1 alike, with TLS where they are https or unixs. Port 0 takes a free
	// one, see Server.Addrs.
	ListenClientURLs []url.URL
	// ListenMetricsURLs additionally serve /metrics, the health endpoints and,
	// with EnablePprof, /debug/pprof/.
	ListenMetricsURLs []url.URL
	// TLS is required if any address is https or unixs.
	TLS *TLS
	// MaxRequestBytes bounds one write request, in bytes; above it the client
	// gets etcd's "request is too large". It is also the size of a page of
	// RangeStream.
	MaxRequestBytes int
	// MaxTxnOps bounds the operations of each part of a transaction.
	MaxTxnOps int
	// MaxConcurrentStreams bounds the streams of one client connection; 0 means
	// no bound.
	MaxConcurrentStreams uint32
	// Limits bound what all clients together make this frontend hold.
	Limits    Limits
	Keepalive Keepalive
	// WatchProgressNotifyInterval is how often an idle watch that asked for
	// progress is told of it; 0 means etcd's default.
	WatchProgressNotifyInterval time.Duration
	// SnapshotDir is where snapshots are built before they are sent; empty means
	// the system's folder for temporary files.
	SnapshotDir string
	// ProbeInterval is how often the hot tier is asked whether it is there; 0
	// means a second.
	ProbeInterval time.Duration
	// Version is this program's own version, for logs and metrics. What clients
	// are told is wire.EtcdVersion.
	Version string
	// ClientCertAuth says that the common name of a client's verified certificate is
	// the user that its calls are made as, unless they bring a token.
	ClientCertAuth bool
	// Auth are the settings of users' tokens and passwords.
	Auth auth.Settings
	// Browsers says which pages may use the HTTP side of client addresses.
	Browsers Browsers
	// EnablePprof serves profiles, on the metrics addresses only.
	EnablePprof bool
}

// Keepalive holds etcd's three gRPC keepalive settings; 0 leaves gRPC's default.
type Keepalive struct {
	// MinTime is the shortest interval at which a client may ping.
	MinTime time.Duration
	// Interval and Timeout are when the server pings an idle connection and how
	// long it waits for the answer.
	Interval, Timeout time.Duration
}

// Components are what a server is built from. All but Audit, Tracing and
// Jitter are required.
type Components struct {
	API    router.API
	Logger *slog.Logger
	// Metrics gets every collector of this package, and those of the process and
	// of the Go runtime. One server per registry.
	Metrics *prometheus.Registry
	// Now is the clock for measuring calls and for deadlines of connections.
	Now func() time.Time
	// Jitter draws a random part of a duration, by which the progress of each
	// watch stream is delayed, so that not all come at once; nil for none.
	Jitter func(max time.Duration) time.Duration
	// Audit is told of every call; nil for none.
	Audit *audit.Log
	// Tracing makes a span of every call; nil for none. See NewTracing.
	Tracing trace.TracerProvider
}

// Server is a frontend's server. Its life is New, Serve, Shutdown.
type Server struct {
	settings Settings
	logger   *slog.Logger
	now      func() time.Time

	grpc       *grpc.Server
	health     *health.Server
	http       *http.Server
	metricsWeb *http.Server
	gateway    *gateway
	loopback   *loopback
	pulse      *pulse
	// closeServices is services.close.
	closeServices func()
	// limits is what the limits are seen by; see limiter and connectionLimits.
	limits *limitSeries

	client, metrics []*splitter
	// tls is nil without Settings.TLS.
	tls *tlsGate

	// draining ends when Shutdown begins; requests is the context under which
	// HTTP requests and the probe of the hot tier run, and ends when all is over.
	draining, requests           context.Context
	beginDraining, endOfRequests context.CancelFunc

	// running counts the goroutines that Serve has started.
	running sync.WaitGroup
	// failed takes the first error of a listener or server; stopped is closed
	// when Shutdown has finished.
	failed   chan error
	stopped  chan struct{}
	stopOnce sync.Once
}

// New opens the listeners and builds the server. A caller that does not go on to
// Serve must call Shutdown to close them.
func New(settings Settings, components Components) (*Server, error) {
	return newServer(settings, components, assemble)
}

func newServer(settings Settings, components Components, build assembler) (_ *Server, err error) {
	settings, err = checked(settings, components)
	if err != nil {
		return nil, err
	}
	s := &Server{
		settings: settings, logger: components.Logger, now: components.Now,
		failed: make(chan error, 1), stopped: make(chan struct{}),
	}
	s.draining, s.beginDraining = context.WithCancel(context.Background())
	s.requests, s.endOfRequests = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			s.cut()
		}
	}()
	if err := s.prepareTLS(components.Metrics); err != nil {
		return nil, err
	}
	if s.limits, err = newLimitSeries(components.Metrics); err != nil {
		return nil, err
	}
	if err := s.listen(); err != nil {
		return nil, err
	}
	if err := s.build(components, build); err != nil {
		return nil, err
	}
	return s, nil
}

// build creates the parts of the server, from the inside out.
func (s *Server) build(c Components, build assembler) error {
	series, err := newSeries(c.Metrics)
	if err != nil {
		return err
	}
	s.health = health.NewServer()
	s.pulse = newPulse(c.API, c.Logger, s.health, s.settings.ProbeInterval)
	if s.loopback, err = newLoopback(); err != nil {
		return err
	}
	services, err := build(assembly{
		Settings: s.settings, Components: c, Draining: s.draining.Done(), Client: s.loopback.client,
	})
	if err != nil {
		return err
	}
	s.closeServices = services.close
	s.loopback.register(services)
	limits := newLimiter(s.settings.Limits, s.limits)
	s.grpc = newGRPCServer(s.settings, c, series, newGuard(s, series, limits))
	services.register(s.grpc, s.health)
	series.calls.learn(s.grpc)
	limits.learn(s.grpc)
	if s.gateway, err = newGateway(&webLimits{bytes: limits.bytes, now: c.Now, bodyMax: 2 * int64(s.settings.MaxRequestBytes+overheadBytes)}, c.Logger); err != nil {
		return err
	}
	checks := newHealthChecks(c.API, c.Logger, series, s.pulse, s.draining.Done())
	if err := c.Metrics.Register(newKeyspaceCollector(c.API, s.pulse)); err != nil {
		return fmt.Errorf("register keyspace metrics: %w", err)
	}
	series.build.WithLabelValues(s.settings.Version).Set(1)
	gated := s.gateway.handler
	if s.settings.ClientCertAuth && services.authEnabled != nil {
		gated = withoutNames(gated, services.authEnabled)
	}
	s.http = s.webServer(clientHandler(c.Metrics, checks, gated, s.settings.Browsers))
	s.metricsWeb = s.webServer(metricsHandler(c.Metrics, checks, s.settings.EnablePprof))
	return nil
}

// checked refuses settings that cannot work and fills in the defaults.
func checked(s Settings, c Components) (Settings, error) {
	switch {
	case c.API == nil || c.Logger == nil || c.Metrics == nil || c.Now == nil:
		return s, errors.New("endpoint: a component is missing")
	case len(s.ListenClientURLs) == 0:
		return s, errors.New("endpoint: no client URL to listen on")
	case s.MaxRequestBytes <= 0 || s.MaxRequestBytes > maxRequestBytesMax:
		return s, fmt.Errorf("endpoint: max-request-bytes is %d, must be from 1 to %d", s.MaxRequestBytes, maxRequestBytesMax)
	case s.TLS == nil && slices.ContainsFunc(slices.Concat(s.ListenClientURLs, s.ListenMetricsURLs), func(u url.URL) bool { return secured(u.Scheme) }):
		return s, errors.New("endpoint: an address asks for TLS, and there is no certificate")
	case s.MaxTxnOps <= 0:
		return s, fmt.Errorf("endpoint: max-txn-ops is %d, must be at least 1", s.MaxTxnOps)
	}
	if s.MaxConcurrentStreams == 0 {
		s.MaxConcurrentStreams = MaxStreamsDefault
	}
	s.Limits = s.Limits.withDefaults()
	if s.ProbeInterval <= 0 {
		s.ProbeInterval = probeIntervalDefault
	}
	return s, nil
}

// Addrs are the addresses that serve clients, in the order of the settings.
func (s *Server) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(s.client))
	for i, l := range s.client {
		addrs[i] = l.root.Addr()
	}
	return addrs
}

// MetricsAddrs are the addresses that serve metrics only.
func (s *Server) MetricsAddrs() []net.Addr {
	addrs := make([]net.Addr, len(s.metrics))
	for i, l := range s.metrics {
		addrs[i] = l.root.Addr()
	}
	return addrs
}
