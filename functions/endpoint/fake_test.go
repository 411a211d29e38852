package endpoint

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/functions/auth"
	"github.com/tierd/tierd/functions/caller"
	"github.com/tierd/tierd/functions/cluster"
	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// fakeKeyspace is a keyspace whose health a test decides.
type fakeKeyspace struct {
	router.API // what the server does not call

	mu     sync.Mutex
	err    error
	alarms []router.Alarm
}

func (k *fakeKeyspace) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

func (k *fakeKeyspace) raise(types ...pb.AlarmType) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.alarms = nil
	for _, t := range types {
		k.alarms = append(k.alarms, router.Alarm{MemberID: 11, Type: t})
	}
}

func (k *fakeKeyspace) failure() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

func (k *fakeKeyspace) Self() router.Member {
	return router.Member{ID: 0x2e12, Name: "a", ClientURLs: []string{"http://127.0.0.1:2379"}}
}
func (k *fakeKeyspace) ClusterID() uint64             { return 22 }
func (k *fakeKeyspace) Term() uint64                  { return 2 }
func (k *fakeKeyspace) LastRevision() router.Revision { return 2 }
func (k *fakeKeyspace) LeaderID() uint64              { return 0x2e12 }

func (k *fakeKeyspace) CurrentRevision(context.Context) (current, compacted router.Revision, err error) {
	return 2, 0, k.failure()
}

// AuthData are those of a keyspace without authentication.
func (k *fakeKeyspace) AuthData(context.Context) (router.AuthData, error) {
	return router.AuthData{}, k.failure()
}

func (k *fakeKeyspace) ConfirmAuth(context.Context) (router.Revision, error) { return 2, k.failure() }

func (k *fakeKeyspace) WaitRevision(ctx context.Context, _ router.Revision) (router.Revision, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func (k *fakeKeyspace) Events(_ context.Context, from router.Revision, _ int, _ bool) (router.EventPage, error) {
	return router.EventPage{Through: from - 1, Current: 2, Compacted: -1}, k.failure()
}

func (k *fakeKeyspace) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	return &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 2}}, k.failure()
}

func (k *fakeKeyspace) Members(context.Context) ([]router.Member, router.Revision, error) {
	return []router.Member{k.Self()}, 2, k.failure()
}

func (k *fakeKeyspace) Alarms(context.Context) ([]router.Alarm, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.alarms, k.err
}

func (k *fakeKeyspace) Status(context.Context) (router.Status, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return router.Status{
		Revision: 2, Compacted: -1, Term: 2, SizeBytes: 4096, SizeInUseBytes: 1024, QuotaBytes: 8192, Keys: 1, LeaderID: 0x2e12,
		Alarms: k.alarms,
	}, k.err
}

// fakeServices are services that remember one key, announce its puts to every
// watch, and wait where a test wants them to.
type fakeServices struct {
	id wire.Identity

	// entered gets the name of each call that begins to wait, and held is what
	// puts of the key "wait" wait for.
	entered chan string
	held    chan struct{}
	// putError is what puts of the key "fail" answer.
	putError error
	receives atomic.Int64
	// authEnabled is what those who ask are told.
	authEnabled atomic.Bool
	// who gets the caller of each read of the key "who", and client is the loopback's.
	who    chan *caller.Caller
	client *clientv3.Client

	mu    sync.Mutex
	value []byte
	puts  chan *mvccpb.KeyValue
}

func newFakeServices(id wire.Identity) *fakeServices {
	return &fakeServices{
		id: id, entered: make(chan string, 16), held: make(chan struct{}), puts: make(chan *mvccpb.KeyValue, 16),
		who: make(chan *caller.Caller, 16),
	}
}

type (
	fakeKV struct {
		pb.UnimplementedKVServer
		*fakeServices
	}
	fakeWatch struct {
		pb.UnimplementedWatchServer
		*fakeServices
	}
	fakeLease struct {
		pb.UnimplementedLeaseServer
		*fakeServices
	}
	fakeLock struct {
		v3lockpb.UnimplementedLockServer
		*fakeServices
	}
)

func (f *fakeServices) assemble(a assembly) (services, error) {
	f.client = a.Client
	access, err := auth.NewStore(a.Settings.Auth, auth.Components{API: a.Components.API, Logger: a.Components.Logger, Now: a.Components.Now, Metrics: a.Components.Metrics})
	if err != nil {
		return services{}, err
	}
	return services{
		kv: fakeKV{fakeServices: f}, watch: fakeWatch{fakeServices: f}, lease: fakeLease{fakeServices: f},
		lock: fakeLock{fakeServices: f}, election: v3electionpb.UnimplementedElectionServer{},
		auth: auth.New(access), cluster: cluster.New(a.Components.API),
		maintenance: pb.UnimplementedMaintenanceServer{},
		authEnabled: func(context.Context) (bool, error) { return f.authEnabled.Load(), nil },
	}, nil
}

func (f fakeKV) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	switch string(r.Key) {
	case "fail":
		return nil, f.putError
	case "wait":
		f.entered <- "put"
		<-f.held
	}
	f.mu.Lock()
	f.value = r.Value
	f.mu.Unlock()
	f.puts <- f.kv(r.Key)
	return &pb.PutResponse{Header: wire.Header(f.id, 2)}, nil
}

func (f *fakeServices) kv(key []byte) *mvccpb.KeyValue {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &mvccpb.KeyValue{Key: key, Value: f.value, CreateRevision: 2, ModRevision: 2, Version: 1}
}

func (f fakeKV) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if len(r.Key) == 0 {
		return nil, rpctypes.ErrGRPCEmptyKey
	}
	if string(r.Key) == "who" {
		f.who <- caller.From(ctx)
	}
	return &pb.RangeResponse{Header: wire.Header(f.id, 2), Kvs: []*mvccpb.KeyValue{f.kv(r.Key)}, Count: 1}, nil
}

// RangeStream sends one page, and a second one when held is closed.
func (f fakeKV) RangeStream(_ *pb.RangeRequest, stream pb.KV_RangeStreamServer) error {
	page := &pb.RangeStreamResponse{RangeResponse: &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{f.kv([]byte("k"))}}}
	if err := stream.Send(page); err != nil {
		return err
	}
	f.entered <- "range stream"
	<-f.held
	return stream.Send(page)
}

// Watch answers the first request and then sends every put, for as long as its
// context lives. Like etcd's, its receiver is a goroutine of its own.
func (f fakeWatch) Watch(stream pb.Watch_WatchServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	go func() {
		for {
			if _, err := stream.Recv(); err != nil {
				return
			}
			f.receives.Add(1)
		}
	}()
	if err := stream.Send(&pb.WatchResponse{Header: wire.Header(f.id, 2), Created: true}); err != nil {
		return err
	}
	for {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case kv := <-f.puts:
			event := &mvccpb.Event{Kv: kv}
			if err := stream.Send(&pb.WatchResponse{Header: wire.Header(f.id, 2), Events: []*mvccpb.Event{event}}); err != nil {
				return err
			}
		}
	}
}

// LeaseKeepAlive waits in Recv only, and ignores its context.
func (f fakeLease) LeaseKeepAlive(stream pb.Lease_LeaseKeepAliveServer) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.LeaseKeepAliveResponse{Header: wire.Header(f.id, 2), ID: r.ID}); err != nil {
			return err
		}
	}
}

// Lock waits until its context ends.
func (f fakeLock) Lock(ctx context.Context, _ *v3lockpb.LockRequest) (*v3lockpb.LockResponse, error) {
	f.entered <- "lock"
	<-ctx.Done()
	return nil, ctx.Err()
}

// Unlock reads a key through the loopback.
func (f fakeLock) Unlock(ctx context.Context, r *v3lockpb.UnlockRequest) (*v3lockpb.UnlockResponse, error) {
	resp, err := f.client.Get(ctx, string(r.Key))
	if err != nil {
		return nil, err
	}
	return &v3lockpb.UnlockResponse{Header: resp.Header}, nil
}

// frontend is a server under test and the means to reach it.
type frontend struct {
	*Server
	keyspace *fakeKeyspace
	services *fakeServices
	registry *prometheus.Registry
	served   chan error
	url      string
	conn     *grpc.ClientConn
}

func testSettings() Settings {
	local := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	return Settings{
		ListenClientURLs: []url.URL{local}, ListenMetricsURLs: []url.URL{local},
		MaxRequestBytes: MaxRequestBytesDefault, MaxTxnOps: MaxTxnOpsDefault, ProbeInterval: time.Hour,
		Keepalive: Keepalive{
			MinTime: KeepaliveMinTimeDefault, Interval: KeepaliveIntervalDefault, Timeout: KeepaliveTimeoutDefault,
		},
		Version: "1.2.3", EnablePprof: true,
	}
}

// start serves with fake services until the test ends.
func start(t *testing.T, change func(*Settings, *Components)) *frontend {
	t.Helper()
	keyspace := &fakeKeyspace{}
	f := &frontend{
		keyspace: keyspace, services: newFakeServices(keyspace), registry: prometheus.NewRegistry(), served: make(chan error, 1),
	}
	settings := testSettings()
	components := Components{API: keyspace, Logger: slog.New(slog.DiscardHandler), Metrics: f.registry, Now: time.Now}
	if change != nil {
		change(&settings, &components)
	}
	var err error
	if f.Server, err = newServer(settings, components, f.services.assemble); err != nil {
		t.Fatal(err)
	}
	go func() { f.served <- f.Serve(context.Background()) }()
	f.url = "http://" + f.Addrs()[0].String()
	f.conn = dial(t, f.Addrs()[0].String())
	t.Cleanup(func() {
		_ = f.conn.Close() // closed earlier by some tests
		f.stop(t)
	})
	return f
}

// stop ends the server at once and waits for Serve.
func (f *frontend) stop(t *testing.T) {
	t.Helper()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = f.Shutdown(ended) // an error says only that something was cut off
	if err := <-f.served; err != nil {
		t.Errorf("Serve = %v", err)
	}
	f.served <- nil
}

func dial(t *testing.T, target string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// scriptedStream is a stream whose requests a test has prepared, and whose answers
// nobody reads.
type scriptedStream struct {
	grpc.ServerStream
	ctx      context.Context
	requests chan *pb.WatchRequest
}

func (s *scriptedStream) Context() context.Context { return s.ctx }
func (s *scriptedStream) SendMsg(any) error        { return nil }

func (s *scriptedStream) RecvMsg(m any) error {
	proto.Merge(m.(*pb.WatchRequest), <-s.requests)
	return nil
}
