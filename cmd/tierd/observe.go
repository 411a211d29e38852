package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// roundTripBuckets are the upper bounds of the histogram's buckets, in seconds,
// from a unix socket without a sync to a Redis that is nearly lost.
func roundTripBuckets() []float64 {
	return prometheus.ExponentialBuckets(0.0001, 2, 17)
}

// observer is told of every round trip to Redis, see hot.Components.
type observer = func(ctx context.Context, script string, started time.Time, err error)

// observeRoundTrips measures every round trip to Redis and makes a span of it.
func observeRoundTrips(metrics prometheus.Registerer, tracer trace.Tracer) (observer, error) {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "tierd_redis_round_trip_seconds", Help: "Time of one round trip to Redis, by script.", Buckets: roundTripBuckets(),
	}, []string{"script"})
	failed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tierd_redis_round_trips_failed_total", Help: "Round trips to Redis that ended in an error, by script.",
	}, []string{"script"})
	for _, collector := range []prometheus.Collector{seconds, failed} {
		if err := metrics.Register(collector); err != nil {
			return nil, fmt.Errorf("register the metrics of Redis: %w", err)
		}
	}
	return func(ctx context.Context, script string, started time.Time, err error) {
		seconds.WithLabelValues(script).Observe(time.Since(started).Seconds())
		if err != nil {
			failed.WithLabelValues(script).Inc()
		}
		_, span := tracer.Start(ctx, "redis "+script, trace.WithTimestamp(started), trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(attribute.String("db.system", "redis")))
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}, nil
}
