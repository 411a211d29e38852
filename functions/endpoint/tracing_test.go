package endpoint

import (
	"context"
	"net"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

// fakeCollector receives spans as an OpenTelemetry collector does.
type fakeCollector struct {
	collector.UnimplementedTraceServiceServer
	got chan *collector.ExportTraceServiceRequest
}

func (c fakeCollector) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.got <- r
	return &collector.ExportTraceServiceResponse{}, nil
}

func TestTracingSendsSpans(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	receiver := fakeCollector{got: make(chan *collector.ExportTraceServiceRequest, 1)}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, receiver)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() { server.Stop(); <-served }()

	provider, shutdown, err := NewTracing(t.Context(), TracingSettings{
		Address: l.Addr().String(), ServiceName: "tierd", InstanceID: "a", SamplingRatePerMillion: 1_000_000,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(t.Context(), "work")
	span.End()
	if err := shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans := (<-receiver.got).ResourceSpans
	if name := spans[0].ScopeSpans[0].Spans[0].Name; name != "work" {
		t.Errorf("span = %q", name)
	}
	named := map[string]string{}
	for _, a := range spans[0].Resource.Attributes {
		named[a.Key] = a.Value.GetStringValue()
	}
	if named["service.name"] != "tierd" || named["service.instance.id"] != "a" {
		t.Errorf("resource = %v", named)
	}
}

func TestTracingSettings(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{-1, 1_000_001} {
		if _, _, err := NewTracing(t.Context(), TracingSettings{Address: "127.0.0.1:4317", SamplingRatePerMillion: rate}); err == nil {
			t.Errorf("a sampling rate of %d was taken", rate)
		}
	}
}
