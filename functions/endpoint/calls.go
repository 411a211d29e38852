package endpoint

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// codesMax is one more than the largest gRPC code.
const codesMax = int(codes.Unauthenticated) + 1

// callSeries are the metrics of calls, under the names that dashboards of gRPC
// servers read. Every method has all of its series from the start, found by one
// look-up a call: to find a series by its labels costs more than to count.
type callSeries struct {
	started, received, sent *prometheus.CounterVec
	handled                 *prometheus.CounterVec
	seconds                 *prometheus.HistogramVec
	// methods is complete before the first call; by full method.
	methods map[string]*methodSeries
}

// methodSeries are the metrics of one method.
type methodSeries struct {
	started, received, sent prometheus.Counter
	handled                 [codesMax]prometheus.Counter
	seconds                 prometheus.Observer
}

func newCallSeries() *callSeries {
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	return &callSeries{
		started:  counterVec("grpc_server_started_total", "Total number of RPCs started on the server.", labels...),
		received: counterVec("grpc_server_msg_received_total", "Total number of RPC stream messages received on the server.", labels...),
		sent:     counterVec("grpc_server_msg_sent_total", "Total number of gRPC stream messages sent by the server.", labels...),
		handled: counterVec("grpc_server_handled_total",
			"Total number of RPCs completed on the server, regardless of success or failure.", append(labels, "grpc_code")...),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "grpc_server_handling_seconds",
			Help:    "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.",
			Buckets: prometheus.DefBuckets,
		}, labels),
		methods: make(map[string]*methodSeries),
	}
}

// collectors are what a registry publishes.
func (s *callSeries) collectors() []prometheus.Collector {
	return []prometheus.Collector{s.started, s.received, s.sent, s.handled, s.seconds}
}

// learn makes the series of every method of a server.
func (s *callSeries) learn(server *grpc.Server) {
	for service, info := range server.GetServiceInfo() {
		for _, m := range info.Methods {
			s.methods["/"+service+"/"+m.Name] = s.series(callType(m.IsClientStream, m.IsServerStream), service, m.Name)
		}
	}
}

func (s *callSeries) series(labels ...string) *methodSeries {
	m := &methodSeries{
		started:  s.started.WithLabelValues(labels...),
		received: s.received.WithLabelValues(labels...),
		sent:     s.sent.WithLabelValues(labels...),
		seconds:  s.seconds.WithLabelValues(labels...),
	}
	for code := range m.handled {
		m.handled[code] = s.handled.WithLabelValues(append(labels, codes.Code(code).String())...)
	}
	return m
}

// of gives the series of a method: gRPC passes on no calls of methods that the
// server does not have.
func (s *callSeries) of(fullMethod string) *methodSeries { return s.methods[fullMethod] }

// ended counts the end of a call.
func (m *methodSeries) ended(err error, took time.Duration) {
	code := status.Code(err)
	if int(code) >= codesMax {
		code = codes.Unknown
	}
	m.handled[code].Inc()
	m.seconds.Observe(took.Seconds())
}

func callType(clientStream, serverStream bool) string {
	switch {
	case clientStream && serverStream:
		return "bidi_stream"
	case clientStream:
		return "client_stream"
	case serverStream:
		return "server_stream"
	}
	return "unary"
}

// countedStream counts the messages of a stream.
type countedStream struct {
	grpc.ServerStream
	series *methodSeries
}

func (c *countedStream) SendMsg(m any) error {
	err := c.ServerStream.SendMsg(m)
	if err == nil {
		c.series.sent.Inc()
	}
	return err
}

func (c *countedStream) RecvMsg(m any) error {
	err := c.ServerStream.RecvMsg(m)
	if err == nil {
		c.series.received.Inc()
	}
	return err
}
