package archive

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tierd/tierd/router"
)

// Metrics are what the job shows. A nil one shows nothing.
type Metrics struct {
	now      func() time.Time
	bytes    prometheus.Counter
	blocks   prometheus.Counter
	failures prometheus.Counter
	seconds  prometheus.Histogram

	mu sync.Mutex
	// archived is the last archived revision, behind since when the keyspace has been ahead of it (zero: it
	// is not), by this frontend's clock. level is when it was last seen not to be.
	archived router.Revision
	behind   time.Time
	level    time.Time
	// problem is the failure that keeps the job from working, "" for none; failedAt when it was last met.
	problem  string
	failedAt time.Time
}

// NewMetrics makes and registers them.
func NewMetrics(registry prometheus.Registerer, now func() time.Time) (*Metrics, error) {
	m := &Metrics{
		now:      now,
		bytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: "tierd_archive_bytes_total", Help: "Bytes of keys and values that this frontend has archived."}),
		blocks:   prometheus.NewCounter(prometheus.CounterOpts{Name: "tierd_archive_blocks_total", Help: "Blocks that this frontend has archived."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "tierd_archive_failures_total", Help: "Failures of this frontend to write the archive."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tierd_archive_block_seconds", Help: "The time it takes to store a block.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15)}),
	}
	for _, c := range []prometheus.Collector{m.bytes, m.blocks, m.failures, m.seconds,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tierd_archive_lag_seconds", Help: "How long the keyspace has been ahead of its archive; 0 if it is not."}, m.lag),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tierd_archive_revision", Help: "The last archived revision."}, m.revision),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tierd_archive_failing", Help: "1 while this frontend cannot write the archive."}, m.failingNow),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tierd_archive_last_error_timestamp_seconds", Help: "When this frontend last failed to write the archive; 0 for never."}, m.lastFailure),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the archive's metrics: %w", err)
		}
	}
	return m, nil
}

// show takes how far the archive has come; to is the end of its last block and there the time, both by the
// keyspace's clock.
func (m *Metrics) show(archived, current router.Revision, to, there time.Time) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.archived = archived
	now := m.now()
	if archived >= current {
		m.behind, m.level = time.Time{}, now
		return
	}
	if m.behind.IsZero() {
		// It was level at the latest when this frontend saw it so; what it has not seen, the last block tells.
		m.behind = now
		if !m.level.IsZero() {
			m.behind = m.level
		} else if archived > 0 {
			m.behind = now.Add(-max(there.Sub(to), 0))
		}
	}
	if archived > 0 {
		m.behind = later(m.behind, now.Add(-max(there.Sub(to), 0)))
	}
}

func (m *Metrics) lag() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.behind.IsZero() {
		return 0
	}
	return max(m.now().Sub(m.behind), 0).Seconds()
}

func (m *Metrics) revision() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return float64(m.archived)
}

func (m *Metrics) failingNow() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.problem != "" {
		return 1
	}
	return 0
}

func (m *Metrics) lastFailure() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failedAt.IsZero() {
		return 0
	}
	return float64(m.failedAt.UnixMilli()) / 1000
}

func (m *Metrics) failed(err error) {
	if m == nil {
		return
	}
	m.failures.Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.problem, m.failedAt = err.Error(), m.now()
}

func (m *Metrics) works() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.problem = ""
}

func (m *Metrics) wrote(bytes int64, took time.Duration) {
	if m == nil {
		return
	}
	m.blocks.Inc()
	m.bytes.Add(float64(bytes))
	m.seconds.Observe(took.Seconds())
}
