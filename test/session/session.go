// Package session runs a service that works through an etcd client, as Lock and
// Election do, on an etcd of the test's own; and etcd's own service likewise, for
// comparison.
package session

import (
	"context"
	"net"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tierd/tierd/test/oracle"
)

// Service is a running service and a client of the keyspace that it works on.
type Service struct {
	// Conn reaches the service.
	Conn grpc.ClientConnInterface
	Etcd *clientv3.Client
	// Drain makes the service end the calls that wait; nil for etcd's own.
	Drain func()
	// Queued gets an element whenever the service has put a key in a queue and
	// knows it. (A call that ends before that leaves the key to its lease.)
	Queued <-chan struct{}
}

// queuedMax is more than any test puts in queues.
const queuedMax = 16

// Register adds the service under test to a server.
type Register func(server *grpc.Server, client *clientv3.Client, draining <-chan struct{})

// Reference is etcd with its own services.
func Reference(t *testing.T) Service {
	t.Helper()
	client := oracle.Start(t, oracle.Options{}).Client()
	return Service{Conn: client.ActiveConnection(), Etcd: client}
}

// Serve runs the service under test, with an etcd in the place of the frontend.
func Serve(t *testing.T, register Register) Service {
	t.Helper()
	client, queued := dial(t, oracle.Start(t, oracle.Options{}).Endpoint())
	draining := make(chan struct{})
	server := grpc.NewServer()
	register(server, client, draining)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close the connection: %v", err)
		}
		server.GracefulStop() // returns only when every handler has
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return Service{Conn: conn, Etcd: client, Drain: func() { close(draining) }, Queued: queued}
}

// dial makes the client of the service under test, and the channel Queued.
func dial(t *testing.T, endpoint string) (*clientv3.Client, <-chan struct{}) {
	t.Helper()
	queued := make(chan struct{}, queuedMax)
	tell := func(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := invoke(ctx, method, req, reply, conn, opts...)
		if err == nil && method == pb.KV_Txn_FullMethodName {
			queued <- struct{}{}
		}
		return err
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{endpoint}, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(tell)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() }) // says only that its context was canceled
	return client, queued
}

// Grant creates a lease and gives its id.
func (s Service) Grant(t *testing.T, id int64) int64 {
	t.Helper()
	_, err := pb.NewLeaseClient(s.Etcd.ActiveConnection()).LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: id, TTL: 600})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// VerifyTestMain checks for leaks. An etcd whose own Lock or Election service was
// used leaves the lease loops of its inner client behind when it is closed: that
// client is never closed. Everything else must be gone.
func VerifyTestMain(m *testing.M) {
	const client, server = "go.etcd.io/etcd/client/v3.", "go.etcd.io/etcd/server/v3/"
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(client+"(*lessor).deadlineLoop"),
		goleak.IgnoreAnyFunction(client+"(*lessor).sendKeepAliveLoop"),
		goleak.IgnoreAnyFunction(client+"(*lessor).recvKeepAliveLoop"),
		goleak.IgnoreAnyFunction(server+"etcdserver/api/v3rpc.(*LeaseServer).LeaseKeepAlive"),
		goleak.IgnoreAnyFunction(server+"etcdserver/api/v3rpc.(*LeaseServer).leaseKeepAlive"),
	)
}
