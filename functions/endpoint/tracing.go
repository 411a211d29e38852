package endpoint

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TracingSettings say where spans go.
type TracingSettings struct {
	// Address is the host:port of an OpenTelemetry collector's gRPC receiver.
	Address string
	// ServiceName and InstanceID name this frontend in the traces.
	ServiceName, InstanceID string
	// SamplingRatePerMillion is how many of a million calls make a trace when
	// their caller has not decided (etcd's unit).
	SamplingRatePerMillion int
}

// NewTracing makes a provider that sends spans in the background, and the
// function that sends the rest and closes it. Spans are dropped, never waited
// for, when the collector is slow or away. The connection is not encrypted.
func NewTracing(ctx context.Context, s TracingSettings) (trace.TracerProvider, func(context.Context) error, error) {
	if s.SamplingRatePerMillion < 0 || s.SamplingRatePerMillion > 1_000_000 {
		return nil, nil, fmt.Errorf("tracing: sampling rate is %d, must be from 0 to 1000000 per million", s.SamplingRatePerMillion)
	}
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(s.Address), otlptracegrpc.WithInsecure())
	if err != nil {
		return nil, nil, fmt.Errorf("tracing: create an exporter to %s: %w", s.Address, err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", s.ServiceName), attribute.String("service.instance.id", s.InstanceID),
		)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(float64(s.SamplingRatePerMillion)/1_000_000))),
	)
	return provider, provider.Shutdown, nil
}
