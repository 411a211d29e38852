package endpoint

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
)

func newTestServer(t *testing.T, f *frontend) *Server {
	t.Helper()
	server, err := newServer(testSettings(), Components{
		API: f.keyspace, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now,
	}, f.services.assemble)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func get(t *testing.T, address string) (code int, body string) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func TestSettingsThatCannotWork(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for want, change := range map[string]func(*Settings){
		"no client URL":                func(s *Settings) { s.ListenClientURLs = nil },
		"max-request-bytes":            func(s *Settings) { s.MaxRequestBytes = 0 },
		"max-request-bytes is 3000000": func(s *Settings) { s.MaxRequestBytes = 3_000_000_000 },
		"max-txn-ops":                  func(s *Settings) { s.MaxTxnOps = 0 },
		"there is no certificate":      func(s *Settings) { s.ListenClientURLs[0].Scheme = "https" },
		"scheme must be":               func(s *Settings) { s.ListenClientURLs[0].Scheme = "ftp" },
		"has no path":                  func(s *Settings) { s.ListenMetricsURLs[0].Path = "/metrics" },
		"in use":                       func(s *Settings) { s.ListenMetricsURLs[0].Host = taken.Addr().String() },
	} {
		settings := testSettings()
		change(&settings)
		keyspace := &fakeKeyspace{}
		_, err := newServer(settings, Components{
			API: keyspace, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now,
		}, newFakeServices(keyspace).assemble)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := New(testSettings(), Components{}); err == nil {
		t.Error("a server without components")
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	f := start(t, func(s *Settings, _ *Components) {
		s.ListenClientURLs = append(s.ListenClientURLs, url.URL{Scheme: "unix", Path: socket})
	})
	conn := dial(t, "unix://"+socket)
	defer func() { _ = conn.Close() }()
	if _, err := pb.NewKVClient(conn).Range(t.Context(), &pb.RangeRequest{Key: []byte("k")}); err != nil {
		t.Errorf("gRPC: %v", err)
	}
	web := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	resp, err := web.Get("http://unix/version")
	if err != nil {
		t.Fatalf("HTTP: %v", err)
	}
	_ = resp.Body.Close()
	if len(f.Addrs()) != 2 || f.Addrs()[1].String() != socket {
		t.Errorf("Addrs = %v", f.Addrs())
	}
}

// The socket that a killed frontend leaves does not stop the next one; one that
// is in use does.
func TestDeadUnixSocket(t *testing.T) {
	t.Parallel()
	u := url.URL{Scheme: "unix", Path: filepath.Join(t.TempDir(), "s")}
	first, err := listenOn(u)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := listenOn(u); err == nil {
		_ = second.Close()
		t.Error("two listeners on one socket")
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = first.Close()
	third, err := listenOn(u)
	if err != nil {
		t.Fatalf("after a dead one: %v", err)
	}
	_ = third.Close()
}

func TestHealthAndReflection(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	resp, err := healthpb.NewHealthClient(f.conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || resp.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", resp, err)
	}
	stream, err := reflectionpb.NewServerReflectionClient(f.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := &reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(list); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range answer.GetListServicesResponse().GetService() {
		names[s.Name] = true
	}
	for _, want := range []string{
		"etcdserverpb.KV", "etcdserverpb.Watch", "etcdserverpb.Lease", "etcdserverpb.Cluster", "etcdserverpb.Auth",
		"etcdserverpb.Maintenance", "v3lockpb.Lock", "v3electionpb.Election", "grpc.health.v1.Health",
	} {
		if !names[want] {
			t.Errorf("%s is not served", want)
		}
	}
}

// The loopback client reaches the same services, and its calls are not counted.
func TestLoopback(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	if _, err := f.loopback.client.Put(t.Context(), "k", "through"); err != nil {
		t.Fatal(err)
	}
	resp, err := pb.NewKVClient(f.conn).Range(t.Context(), &pb.RangeRequest{Key: []byte("k")})
	if err != nil || string(resp.Kvs[0].Value) != "through" {
		t.Errorf("Range = %v, %v", resp, err)
	}
	if n := f.value(t, `grpc_server_started_total{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"}`); n != "0" {
		t.Errorf("the loopback's put was counted %s times", n)
	}
}

func TestCallsAreTraced(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))
	f := start(t, func(_ *Settings, c *Components) { c.Tracing = provider })
	if _, err := pb.NewKVClient(f.conn).Range(t.Context(), &pb.RangeRequest{Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	if err := f.Shutdown(t.Context()); err != nil { // spans end after their answer
		t.Fatal(err)
	}
	got := spans.GetSpans()
	if len(got) != 1 || got[0].Name != "etcdserverpb.KV/Range" {
		t.Errorf("spans = %v", got)
	}
}
