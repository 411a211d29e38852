package router

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tierd/tierd/tiers/hot"
)

// metrics show how well requests are batched, and how the shards are.
type metrics struct {
	batches *prometheus.HistogramVec
	// bytes, keys and unstamped are by shard.
	bytes, keys, unstamped *prometheus.GaugeVec
	// across counts transactions over several shards, settled what others had left.
	across, settled prometheus.Counter
	// noSpace counts writes refused for want of space.
	noSpace prometheus.Counter
	// tooMany counts transactions that would have deleted too many keys.
	tooMany prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) (metrics, error) {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"shard"})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := metrics{
		batches: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tierd_batch_requests", Help: "Requests that one call to the hot tier carried, by queue.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}, []string{"queue"}),
		bytes:     gauge("tierd_shard_bytes", "Data of each shard with its history, in bytes, at the last look."),
		keys:      gauge("tierd_shard_keys", "Live keys of each shard at the last look."),
		unstamped: gauge("tierd_shard_unstamped", "Positions of each shard that have a revision its index did not show at the last look."),
		across:    counter("tierd_transactions_across_total", "Transactions over several shards that this frontend committed."),
		noSpace:   counter("tierd_no_space_total", "Writes refused because the keyspace is at its quota or Redis out of memory."),
		tooMany:   counter("tierd_deletions_refused_total", "Transactions refused because they would delete too many keys."),
		settled:   counter("tierd_tokens_settled_total", "Locks and plans of others that this frontend ended or carried out."),
	}
	if registry == nil {
		return m, nil
	}
	var failures []error
	for _, c := range []prometheus.Collector{m.batches, m.bytes, m.keys, m.unstamped, m.across, m.tooMany, m.noSpace, m.settled} {
		failures = append(failures, registry.Register(c))
	}
	if err := errors.Join(failures...); err != nil {
		return m, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

// show publishes what a shard says of itself.
func (m *metrics) show(id hot.Shard, bytes, keys, unstamped int64) {
	label := strconv.Itoa(int(id))
	m.bytes.WithLabelValues(label).Set(float64(bytes))
	m.keys.WithLabelValues(label).Set(float64(keys))
	m.unstamped.WithLabelValues(label).Set(float64(unstamped))
}

// hide ends the series of a shard that is gone.
func (m *metrics) hide(id hot.Shard) {
	label := strconv.Itoa(int(id))
	for _, gauge := range []*prometheus.GaugeVec{m.bytes, m.keys, m.unstamped} {
		gauge.DeleteLabelValues(label)
	}
}
