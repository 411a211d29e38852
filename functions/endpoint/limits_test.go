package endpoint

import (
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/tierd/tierd/router"
)

const tooMany = "etcdserver: too many requests"

func testLimitSeries(t *testing.T) *limitSeries {
	t.Helper()
	s, err := newLimitSeries(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// await waits until a gauge has a value, which others are about to bring about.
func (f *frontend) await(t *testing.T, name string, want float64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for f.gather(t, name) != want {
		if ctx.Err() != nil {
			t.Fatalf("%s is %v, want %v", name, f.gather(t, name), want)
		}
		runtime.Gosched()
	}
}

// Calls beyond the limit are refused, health checks and streams are not, and when the
// first ones have ended there is room again.
func TestInFlightRequests(t *testing.T) {
	t.Parallel()
	const limit = 3
	f := start(t, func(s *Settings, _ *Components) { s.Limits.InFlightRequests = limit })
	kv := pb.NewKVClient(f.conn)
	done := make(chan error, limit)
	for range limit {
		go func() {
			_, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("wait")})
			done <- err
		}()
		<-f.services.entered
	}
	_, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("k")})
	wantStatus(t, "a call too many", err, codes.ResourceExhausted, tooMany)
	if _, err := healthpb.NewHealthClient(f.conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("a health check: %v", err)
	}
	stream, err := pb.NewLeaseClient(f.conn).LeaseKeepAlive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Errorf("a stream: %v", err)
	}
	if got := f.value(t, `tierd_refused_total{limit="requests"}`); got != "1" {
		t.Errorf("%s refusals are counted", got)
	}
	close(f.services.held)
	for range limit {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	f.await(t, "tierd_in_flight_requests", 0)
	if _, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

// A client that opens calls and sends no message holds a place, and gives it back when
// it goes away.
func TestCallsWithoutAMessage(t *testing.T) {
	t.Parallel()
	f := start(t, func(s *Settings, _ *Components) { s.Limits.InFlightRequests, s.Limits.Streams = 2, 1 })
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		if _, err := f.conn.NewStream(ctx, &pb.KV_ServiceDesc.Streams[0], pb.KV_Put_FullMethodName); err != nil {
			t.Fatal(err)
		}
	}
	f.await(t, "tierd_in_flight_requests", 2)
	_, err := pb.NewKVClient(f.conn).Put(t.Context(), &pb.PutRequest{Key: []byte("k")})
	wantStatus(t, "a call while others say nothing", err, codes.ResourceExhausted, tooMany)
	cancel()
	f.await(t, "tierd_in_flight_requests", 0)
	if _, err := pb.NewKVClient(f.conn).Put(t.Context(), &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Error(err)
	}
}

// Streams have a limit of their own, and calls that wait for others count as such.
func TestStreams(t *testing.T) {
	t.Parallel()
	f := start(t, func(s *Settings, _ *Components) { s.Limits.Streams = 2 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := pb.NewWatchClient(f.conn).Watch(ctx); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = v3lockpb.NewLockClient(f.conn).Lock(ctx, &v3lockpb.LockRequest{Name: []byte("l")}) }()
	f.await(t, "tierd_open_streams", 2)
	watch, err := pb.NewWatchClient(f.conn).Watch(t.Context())
	if err == nil {
		_, err = watch.Recv()
	}
	wantStatus(t, "a stream too many", err, codes.ResourceExhausted, tooMany)
	cancel()
	f.await(t, "tierd_open_streams", 0)
}

// Requests are counted by their size while they are served.
func TestInFlightBytes(t *testing.T) {
	t.Parallel()
	f := start(t, func(s *Settings, _ *Components) { s.Limits.InFlightBytes = 100_000 })
	kv := pb.NewKVClient(f.conn)
	done := make(chan error, 1)
	go func() {
		_, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("wait"), Value: make([]byte, 60_000)})
		done <- err
	}()
	<-f.services.entered
	_, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("k"), Value: make([]byte, 60_000)})
	wantStatus(t, "bytes too many", err, codes.ResourceExhausted, tooMany)
	if _, err := kv.Put(t.Context(), &pb.PutRequest{Key: []byte("k"), Value: make([]byte, 10_000)}); err != nil {
		t.Errorf("a small one: %v", err)
	}
	close(f.services.held)
	if err := <-done; err != nil {
		t.Error(err)
	}
	f.await(t, "tierd_in_flight_bytes", 0)
}

// What a call's budget took is given back once, whatever it ends with.
func TestBudget(t *testing.T) {
	t.Parallel()
	s := testLimitSeries(t)
	l := newLimiter(Limits{InFlightBytes: 60_000}.withDefaults(), s)
	b, err := l.budget(&pb.RangeRequest{Key: make([]byte, 98)})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Take(40_000); err != nil {
		t.Errorf("up to the limit: %v", err)
	}
	if err := b.Take(60_000); err == nil || !strings.Contains(err.Error(), router.ErrTooManyRequests.Error()) {
		t.Errorf("beyond it: %v", err)
	}
	if _, err := l.budget(&pb.RangeRequest{Key: make([]byte, 30_000)}); err == nil {
		t.Error("another large call, too")
	}
	small, err := l.budget(&pb.RangeRequest{Key: []byte("k")})
	if err != nil {
		t.Errorf("a small call: %v", err)
	}
	small.end()
	b.end()
	b.end()
	if open := l.bytes.open.Load(); open != 0 {
		t.Errorf("%d bytes are left", open)
	}
}

// An answer counts until it is freed; or until it is garbage, where nobody frees it.
func TestAnswersCountUntilTheyAreWritten(t *testing.T) {
	t.Parallel()
	bytes := newLimiter(Limits{InFlightBytes: 1 << 20}.withDefaults(), testLimitSeries(t)).bytes
	codec := limitingCodec{encoding.GetCodecV2(grpcproto.Name), bytes}
	answer := &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{{Key: []byte("k"), Value: make([]byte, 100_000)}}}
	data, err := codec.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	if open := bytes.open.Load(); open < 100_000 || open > 101_000 {
		t.Fatalf("%d bytes are counted", open)
	}
	read := &pb.RangeResponse{}
	data.Ref()
	if err := codec.Unmarshal(data, read); err != nil || len(read.Kvs) != 1 || len(read.Kvs[0].Value) != 100_000 {
		t.Errorf("it reads as %d keys, %v", len(read.Kvs), err)
	}
	data.Free()
	data.Free()
	if open := bytes.open.Load(); open != 0 {
		t.Errorf("%d bytes are counted when it is freed", open)
	}
	if _, err := codec.Marshal(answer); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for bytes.open.Load() != 0 && ctx.Err() == nil {
		runtime.GC()
	}
	if open := bytes.open.Load(); open != 0 {
		t.Errorf("%d bytes are counted when it is garbage", open)
	}
	if data, err := codec.Marshal(&pb.RangeResponse{Count: 1}); err != nil || data.Len() == 0 || bytes.open.Load() != 0 {
		t.Errorf("a small answer: %v, %d bytes", err, bytes.open.Load())
	}
}

// Connections beyond the limits are closed before anything is read of them; those that
// end make room.
func TestConnections(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits Limits
		series string
	}{
		"of all":     {Limits{Connections: 3}, limitConnections},
		"of address": {Limits{ConnectionsPerAddress: 3}, limitConnectionsOfAddress},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t, func(s *Settings, _ *Components) { s.Limits = c.limits })
			if _, err := pb.NewKVClient(f.conn).Range(t.Context(), &pb.RangeRequest{Key: []byte("k")}); err != nil {
				t.Fatal(err)
			}
			var conns []net.Conn
			for range 2 {
				conns = append(conns, connectTo(t, f))
			}
			f.await(t, "tierd_open_connections", 3)
			refused := connectTo(t, f)
			if _, err := io.ReadAll(refused); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("a connection too many: %v", err)
			}
			_ = conns[0].Close()
			f.await(t, "tierd_open_connections", 2)
			if _, err := pb.NewKVClient(f.conn).Range(t.Context(), &pb.RangeRequest{Key: []byte("k")}); err != nil {
				t.Errorf("a client that was there before: %v", err)
			}
			if got := f.value(t, `tierd_refused_total{limit="`+c.series+`"}`); got != "1" {
				t.Errorf("%s refusals are counted", got)
			}
		})
	}
}

func connectTo(t *testing.T, f *frontend) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", f.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
