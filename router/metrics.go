package router

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics show how well requests are batched.
type metrics struct {
	batches *prometheus.HistogramVec
}

func newMetrics(registry prometheus.Registerer) (metrics, error) {
	m := metrics{batches: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tierd_batch_requests", Help: "Requests that one call to the hot tier carried, by queue.",
		Buckets: prometheus.ExponentialBuckets(1, 2, 10),
	}, []string{"queue"})}
	if registry == nil {
		return m, nil
	}
	if err := registry.Register(m.batches); err != nil {
		return m, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}
