package watch

import "github.com/prometheus/client_golang/prometheus"

// metrics count the responses by what they tell.
type metrics struct {
	created, refused, canceled, compacted, revoked, progress, events prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	responses := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "tierd", Subsystem: "watch", Name: "responses_total",
		Help: "Watch responses sent, by what they tell; those in fragments count once.",
	}, []string{"kind"})
	registerer.MustRegister(responses)
	return &metrics{
		created:   responses.WithLabelValues("created"),
		refused:   responses.WithLabelValues("refused"),
		canceled:  responses.WithLabelValues("canceled"),
		compacted: responses.WithLabelValues("compacted"),
		revoked:   responses.WithLabelValues("revoked"),
		progress:  responses.WithLabelValues("progress"),
		events:    responses.WithLabelValues("events"),
	}
}
