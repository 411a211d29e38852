package feed

import "github.com/prometheus/client_golang/prometheus"

// metrics are the feed's series. Those named after etcd mean what they mean
// there.
type metrics struct {
	watchers, streams, slow, pending, lag prometheus.Gauge
	events                                prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	etcd := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Namespace: "etcd_debugging", Subsystem: "mvcc", Name: name, Help: help}
	}
	m := &metrics{
		watchers: prometheus.NewGauge(etcd("watcher_total", "Number of watchers.")),
		streams:  prometheus.NewGauge(etcd("watch_stream_total", "Number of watch streams.")),
		slow:     prometheus.NewGauge(etcd("slow_watcher_total", "Number of watchers that catch up from history.")),
		pending:  prometheus.NewGauge(etcd("pending_events_total", "Number of events queued for watchers.")),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "etcd_debugging", Subsystem: "mvcc", Name: "events_total",
			Help: "Number of events handed to watch streams.",
		}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "tierd", Subsystem: "watch", Name: "lag_revisions",
			Help: "Revisions that this frontend knows of and has not dispatched to its watchers yet.",
		}),
	}
	registerer.MustRegister(m.watchers, m.streams, m.slow, m.pending, m.events, m.lag)
	return m
}
