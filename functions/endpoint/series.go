package endpoint

import (
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// clientVersionsMax bounds the values of the label client_api_version, which
// clients choose; what comes after that is counted as otherVersion.
const (
	clientVersionsMax = 32
	otherVersion      = "other"
)

// series are the metrics that this package itself counts. docs/metrics.md lists
// all that a frontend publishes.
type series struct {
	calls                          *callSeries
	requests                       *prometheus.CounterVec
	sentBytes, receivedBytes       prometheus.Counter
	healthSuccesses, healthFailure prometheus.Counter
	healthCheck                    *prometheus.GaugeVec
	healthChecks                   *prometheus.CounterVec
	build                          *prometheus.GaugeVec
}

// newSeries creates the metrics and registers them, and those of the process and
// the Go runtime.
func newSeries(registry *prometheus.Registry) (*series, error) {
	s := &series{
		calls: newCallSeries(),
		requests: counterVec("etcd_server_client_requests_total",
			"The number of client requests per client version.", "type", "client_api_version"),
		sentBytes:       counter("etcd_network_client_grpc_sent_bytes_total", "The number of bytes sent to gRPC clients."),
		receivedBytes:   counter("etcd_network_client_grpc_received_bytes_total", "The number of bytes received from gRPC clients."),
		healthSuccesses: counter("etcd_server_health_success", "The number of successful answers of /health."),
		healthFailure:   counter("etcd_server_health_failures", "The number of failed answers of /health."),
		healthCheck:     gaugeVec("etcd_server_healthcheck", "The last result of each health check: 1 passed, 0 failed.", "type", "name"),
		healthChecks:    counterVec("etcd_server_healthchecks_total", "The number of results of each health check.", "type", "name", "status"),
		build:           gaugeVec("tierd_build_info", "1, with the version of this frontend as a label.", "version"),
	}
	for _, c := range append(s.calls.collectors(),
		s.requests, s.sentBytes, s.receivedBytes, s.healthSuccesses, s.healthFailure, s.healthCheck,
		s.healthChecks, s.build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	) {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return s, nil
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

// requestCounter counts calls by the version their client names, without
// letting clients create series at will.
type requestCounter struct {
	total *prometheus.CounterVec

	mu struct {
		sync.RWMutex
		// versions maps what clients named to its counters.
		versions map[string]versionCounters
		other    versionCounters
	}
}

type versionCounters map[callKind]prometheus.Counter

func newRequestCounter(total *prometheus.CounterVec) *requestCounter {
	r := &requestCounter{total: total}
	r.mu.versions = make(map[string]versionCounters)
	return r
}

func (r *requestCounter) count(kind callKind, version string) {
	r.mu.RLock()
	counters, known := r.mu.versions[version]
	if !known && len(r.mu.versions) >= clientVersionsMax {
		counters, known = r.mu.other, true
	}
	r.mu.RUnlock()
	if !known {
		counters = r.learn(version)
	}
	counters[kind].Inc()
}

// learn gives a version its counters, or those of otherVersion when it comes too
// late.
func (r *requestCounter) learn(version string) versionCounters {
	r.mu.Lock()
	defer r.mu.Unlock()
	if counters, known := r.mu.versions[version]; known {
		return counters
	}
	if len(r.mu.versions) >= clientVersionsMax {
		return r.mu.other
	}
	counters := r.counters(version)
	r.mu.versions[version] = counters
	if len(r.mu.versions) == clientVersionsMax {
		r.mu.other = r.counters(otherVersion)
	}
	return counters
}

func (r *requestCounter) counters(version string) versionCounters {
	return versionCounters{
		unaryCall:  r.total.WithLabelValues(string(unaryCall), version),
		streamCall: r.total.WithLabelValues(string(streamCall), version),
	}
}
