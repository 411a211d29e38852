package reseal

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tierd/tierd/backup/vault"
	"github.com/tierd/tierd/router"
)

// Metrics show whether values are sealed, and how far it is where that changes.
type Metrics struct {
	on, settled, key prometheus.Gauge
	looked, total    prometheus.Gauge
	renewed          prometheus.Counter
}

// NewMetrics registers them.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &Metrics{
		on:      gauge("tierd_seal_on", "1 if values are sealed before they reach Redis."),
		settled: gauge("tierd_seal_settled", "1 if all values are as the keyspace says, 0 while some are still to be sealed anew."),
		key:     gauge("tierd_seal_key", "Number of the data key that values are sealed with."),
		looked:  gauge("tierd_reseal_looked", "Records that the job at work on this frontend has looked at."),
		total:   gauge("tierd_reseal_records", "Records that the job at work on this frontend is to look at."),
		renewed: prometheus.NewCounter(prometheus.CounterOpts{Name: "tierd_reseal_renewed_total", Help: "Records that this frontend has sealed anew, or made plain."}),
	}
	var failures []error
	for _, c := range []prometheus.Collector{m.on, m.settled, m.key, m.looked, m.total, m.renewed} {
		failures = append(failures, registry.Register(c))
	}
	if err := errors.Join(failures...); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

func (m *Metrics) show(s vault.State) {
	m.on.Set(number(s.On))
	m.settled.Set(number(s.Settled))
	m.key.Set(float64(s.Current))
}

func (m *Metrics) progress(now, before router.SealProgress) {
	m.looked.Set(float64(now.Looked))
	m.total.Set(float64(now.Total))
	m.renewed.Add(float64(max(0, now.Renewed-before.Renewed)))
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
