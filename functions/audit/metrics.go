package audit

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the series of the audit log; docs/metrics.md lists them.
type metrics struct{ lines, lost, failures prometheus.Counter }

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		lines:    counter("tierd_audit_lines_total", "Lines written to the audit log."),
		lost:     counter("tierd_audit_lines_lost_total", "Lines that the audit log has no room for: it could not be written for a while."),
		failures: counter("tierd_audit_write_failures_total", "Attempts to write the audit log that failed."),
	}
	for _, c := range []prometheus.Collector{m.lines, m.lost, m.failures} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of the audit log: %w", err)
		}
	}
	return m, nil
}
