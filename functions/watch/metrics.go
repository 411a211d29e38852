package watch

import "github.com/prometheus/client_golang/prometheus"

// metrics count the responses by what they tell.
type metrics struct {
	created, refused, canceled, compacted, revoked, progress, events prometheus.Counter
	// tooMany counts the watches that were refused because their stream had as many as
	// one may have; they are among the refused.
	tooMany prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	responses := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "tierd", Subsystem: "watch", Name: "responses_total",
		Help: "Watch responses sent, by what they tell; those in fragments count once.",
	}, []string{"kind"})
	tooMany := prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "tierd", Subsystem: "watch", Name: "refused_total",
		Help: "Watches refused because their stream had as many as one may have.",
	})
	registerer.MustRegister(responses, tooMany)
	return &metrics{
		tooMany:   tooMany,
		created:   responses.WithLabelValues("created"),
		refused:   responses.WithLabelValues("refused"),
		canceled:  responses.WithLabelValues("canceled"),
		compacted: responses.WithLabelValues("compacted"),
		revoked:   responses.WithLabelValues("revoked"),
		progress:  responses.WithLabelValues("progress"),
		events:    responses.WithLabelValues("events"),
	}
}
