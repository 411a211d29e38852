package endpoint

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/wire"
)

// shutdown drains in the background and says what Shutdown returned.
func (f *frontend) shutdown(ctx context.Context) chan error {
	done := make(chan error, 1)
	go func() { done <- f.Shutdown(ctx) }()
	return done
}

func (f *frontend) watch(t *testing.T) pb.Watch_WatchClient {
	t.Helper()
	stream, err := pb.NewWatchClient(f.conn).Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	create := &pb.WatchCreateRequest{Key: []byte("k")}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		t.Fatal(err)
	}
	if resp, err := stream.Recv(); err != nil || !resp.Created {
		t.Fatalf("watch: %v, %v", resp, err)
	}
	return stream
}

func wantStatus(t *testing.T, what string, err error, code codes.Code, text string) {
	t.Helper()
	if s := status.Convert(err); s.Code() != code || !strings.Contains(s.Message(), text) {
		t.Errorf("%s ended with %v, want %v %q", what, err, code, text)
	}
}

// The streams that would last for ever end as Unavailable, whatever their
// handler waits for; the calls and finite streams in flight finish; readiness
// fails meanwhile; and Shutdown returns without having cut off anything.
func TestDrain(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	watch := f.watch(t)
	keepAlive, err := pb.NewLeaseClient(f.conn).LeaseKeepAlive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := keepAlive.Send(&pb.LeaseKeepAliveRequest{ID: 7}); err != nil {
		t.Fatal(err)
	}
	if resp, err := keepAlive.Recv(); err != nil || resp.ID != 7 {
		t.Fatalf("keep alive: %v, %v", resp, err)
	}
	health, err := healthpb.NewHealthClient(f.conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := health.Recv(); err != nil || resp.Status != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("health: %v, %v", resp, err)
	}
	pages, err := pb.NewKVClient(f.conn).RangeStream(t.Context(), &pb.RangeRequest{Key: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	put := make(chan error, 1)
	go func() {
		_, err := pb.NewKVClient(f.conn).Put(t.Context(), &pb.PutRequest{Key: []byte("wait")})
		put <- err
	}()
	lock := make(chan error, 1)
	go func() {
		_, err := v3lockpb.NewLockClient(f.conn).Lock(t.Context(), &v3lockpb.LockRequest{Name: []byte("l")})
		lock <- err
	}()
	for range 3 {
		<-f.services.entered
	}

	done := f.shutdown(context.Background())
	_, err = watch.Recv()
	wantStatus(t, "watch", err, codes.Unavailable, "etcdserver: server stopped")
	_, err = keepAlive.Recv()
	wantStatus(t, "keep-alive", err, codes.Unavailable, "etcdserver: server stopped")
	for err = nil; err == nil; {
		_, err = health.Recv() // NOT_SERVING may come first
	}
	wantStatus(t, "health watch", err, codes.Unavailable, "etcdserver: server stopped")
	wantStatus(t, "lock", <-lock, codes.Unavailable, "etcdserver: server stopped")
	if code, body := get(t, f.url+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "[-]shutdown failed: frontend is draining") {
		t.Errorf("/readyz while draining: %d %q", code, body)
	}
	if code, body := get(t, f.url+"/health"); code != http.StatusServiceUnavailable || !strings.Contains(body, "DRAINING") {
		t.Errorf("/health while draining: %d %q", code, body)
	}
	if code, _ := get(t, f.url+"/livez"); code != http.StatusOK {
		t.Errorf("/livez while draining: %d", code)
	}

	close(f.services.held)
	if err := <-put; err != nil {
		t.Errorf("the put in flight: %v", err)
	}
	for i := 0; ; i++ {
		if _, err := pages.Recv(); err == io.EOF && i == 2 {
			break
		} else if err != nil {
			t.Errorf("the range stream in flight ended after %d pages with %v", i, err)
			break
		}
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown = %v", err)
	}
}

// The services as they are assembled for users: all are there, and their streams
// end on a drain.
func TestAssembled(t *testing.T) {
	t.Parallel()
	f := &frontend{keyspace: &fakeKeyspace{}, registry: prometheus.NewRegistry(), served: make(chan error, 1)}
	var err error
	f.Server, err = New(testSettings(), Components{
		API: f.keyspace, Logger: slog.New(slog.DiscardHandler), Metrics: f.registry, Now: time.Now,
		Jitter: func(time.Duration) time.Duration { return 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { f.served <- f.Serve(context.Background()) }()
	f.conn = dial(t, f.Addrs()[0].String())
	defer func() { _ = f.conn.Close() }()

	_, err = pb.NewKVClient(f.conn).Range(t.Context(), &pb.RangeRequest{})
	wantStatus(t, "a range without a key", err, codes.InvalidArgument, "etcdserver: key is not provided")
	if resp, err := pb.NewClusterClient(f.conn).MemberList(t.Context(), &pb.MemberListRequest{}); err != nil || len(resp.Members) != 1 {
		t.Errorf("MemberList = %v, %v", resp, err)
	}
	if resp, err := pb.NewMaintenanceClient(f.conn).Status(t.Context(), &pb.StatusRequest{}); err != nil || resp.Version != wire.EtcdVersion {
		t.Errorf("Status = %v, %v", resp, err)
	}
	for service, info := range f.grpc.GetServiceInfo() {
		if len(info.Methods) == 0 {
			t.Errorf("%s has no methods", service)
		}
	}
	watch := f.watch(t)
	if got := f.gather(t, "etcd_debugging_mvcc_watcher_total"); got != 1 {
		t.Errorf("%v watchers are counted", got)
	}
	done := f.shutdown(context.Background())
	_, err = watch.Recv()
	wantStatus(t, "watch", err, codes.Unavailable, "etcdserver: server stopped")
	if err := <-done; err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	if err := <-f.served; err != nil {
		t.Errorf("Serve = %v", err)
	}
}

// A stream that arrives while others finish is refused, on a connection made
// before.
func TestNewStreamsAreRefused(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	f.watch(t)
	f.beginDraining()
	stream, err := pb.NewWatchClient(f.conn).Watch(t.Context())
	if err == nil {
		_, err = stream.Recv()
	}
	wantStatus(t, "new watch", err, codes.Unavailable, "etcdserver: server stopped")
	if _, err := pb.NewKVClient(f.conn).Range(t.Context(), &pb.RangeRequest{Key: []byte("k")}); err != nil {
		t.Errorf("a unary call on an open connection: %v, want an answer", err)
	}
}

// What does not finish is cut off at the end of Shutdown's context.
func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	put := make(chan error, 1)
	go func() {
		_, err := pb.NewKVClient(f.conn).Put(t.Context(), &pb.PutRequest{Key: []byte("wait")})
		put <- err
	}()
	<-f.services.entered
	ctx, cancel := context.WithCancel(context.Background())
	done := f.shutdown(ctx)
	cancel()
	if err := <-put; status.Code(err) != codes.Unavailable {
		t.Errorf("the put that was cut off: %v", err)
	}
	close(f.services.held) // its handler ends; Shutdown does not leave it behind
	if err := <-done; err == nil {
		t.Error("Shutdown says nothing of what it cut off")
	}
}

func TestDrainEndsGatewayStreams(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	resp, err := http.Post(f.url+"/v3/watch", "application/json", strings.NewReader(`{"create_request":{"key":"aw=="}}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"created":true`) {
		t.Fatalf("watch: %q", lines.Text())
	}
	done := f.shutdown(context.Background())
	if !lines.Scan() || !strings.Contains(lines.Text(), "etcdserver: server stopped") {
		t.Errorf("the stream ended with %q", lines.Text())
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown = %v", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	f := &frontend{keyspace: &fakeKeyspace{}}
	f.services = newFakeServices(f.keyspace)
	f.Server = newTestServer(t, f)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- f.Serve(ctx) }()
	f.conn = dial(t, f.Addrs()[0].String())
	defer func() { _ = f.conn.Close() }()
	watch := f.watch(t)
	cancel()
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("watch: %v", err)
	}
	if err := <-served; err == nil {
		t.Error("Serve says nothing of its context's end")
	}
}

func TestShutdownWithoutServe(t *testing.T) {
	t.Parallel()
	f := &frontend{keyspace: &fakeKeyspace{}}
	f.services = newFakeServices(f.keyspace)
	server := newTestServer(t, f)
	if err := server.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	if _, err := server.client[0].root.Accept(); err == nil {
		t.Error("the listener is still open")
	}
}
