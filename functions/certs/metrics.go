package certs

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics tell of the files of all stores of a process. A nil one tells nothing.
type Metrics struct {
	expiry, stale *prometheus.GaugeVec
	reads         *prometheus.CounterVec
}

// NewMetrics registers the series.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"use", "what"})
	}
	m := &Metrics{
		expiry: gauge("tierd_certificate_expiry_timestamp_seconds", "When the first of the certificates in use, or the next revocation list, is due, in seconds since 1970."),
		stale:  gauge("tierd_certificate_stale", "1 while a certificate file cannot be used and what was read before stays in use, else 0."),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tierd_certificate_reads_total",
			Help: "How often certificate files that are new were read, and could not be used."}, []string{"use", "what", "result"}),
	}
	for _, c := range []prometheus.Collector{m.expiry, m.stale, m.reads} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of certificates: %w", err)
		}
	}
	return m, nil
}

func (m *Metrics) read(use, what string, expires time.Time) {
	if m == nil {
		return
	}
	m.reads.WithLabelValues(use, what, "read").Inc()
	m.stale.WithLabelValues(use, what).Set(0)
	if expires.IsZero() {
		m.expiry.DeleteLabelValues(use, what)
		return
	}
	m.expiry.WithLabelValues(use, what).Set(float64(expires.Unix()))
}

func (m *Metrics) failed(use, what string) {
	if m == nil {
		return
	}
	m.reads.WithLabelValues(use, what, "failed").Inc()
	m.stale.WithLabelValues(use, what).Set(1)
}

func (m *Metrics) mended(use, what string) {
	if m != nil {
		m.stale.WithLabelValues(use, what).Set(0)
	}
}
