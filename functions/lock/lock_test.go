package lock_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/lock"
	"github.com/tierd/tierd/test/oracle"
)

// service is a Lock service and a client of the keyspace that it works on.
type service struct {
	lock  v3lockpb.LockClient
	etcd  *clientv3.Client
	drain func()
	// queued gets an element whenever the service has put a key in a queue and
	// knows it. (A call that ends before that leaves the key to its lease.)
	queued <-chan struct{}
}

// queuedMax is more than any test puts in queues.
const queuedMax = 16

// dial makes the client of the service under test, and the channel queued.
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

// etcds is etcd's own service.
func etcds(t *testing.T) service {
	t.Helper()
	client := oracle.Start(t, oracle.Options{}).Client()
	return service{lock: v3lockpb.NewLockClient(client.ActiveConnection()), etcd: client}
}

// ours is the service under test, with an etcd in the place of the frontend.
func ours(t *testing.T) service {
	t.Helper()
	client, queued := dial(t, oracle.Start(t, oracle.Options{}).Endpoint())
	draining := make(chan struct{})
	server := grpc.NewServer()
	v3lockpb.RegisterLockServer(server, lock.New(client, draining))
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
	return service{lock: v3lockpb.NewLockClient(conn), etcd: client, drain: func() { close(draining) }, queued: queued}
}

func (s service) grant(t *testing.T, id int64) int64 {
	t.Helper()
	_, err := pb.NewLeaseClient(s.etcd.ActiveConnection()).LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: id, TTL: 600})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// transcript is what a fixed series of calls answers.
func transcript(t *testing.T, s service) []string {
	t.Helper()
	var lines []string
	locked := func(what string, r *v3lockpb.LockResponse, err error) {
		lines = append(lines, fmt.Sprintf("%s: %q at %d, %v %q", what, r.GetKey(), r.GetHeader().GetRevision(), status.Code(err), status.Convert(err).Message()))
	}
	unlocked := func(what string, r *v3lockpb.UnlockResponse, err error) {
		lines = append(lines, fmt.Sprintf("%s: at %d, %v %q", what, r.GetHeader().GetRevision(), status.Code(err), status.Convert(err).Message()))
	}
	ctx, name := t.Context(), []byte("name")
	lease := s.grant(t, 0x123)
	r, err := s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: name, Lease: lease})
	locked("lock", r, err)
	again, err := s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: name, Lease: lease})
	locked("lock again", again, err)
	unknown, err := s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: name, Lease: 0x999})
	locked("lock with an unknown lease", unknown, err)
	for _, what := range []string{"unlock", "unlock again"} {
		u, err := s.lock.Unlock(ctx, &v3lockpb.UnlockRequest{Key: r.GetKey()})
		unlocked(what, u, err)
	}
	u, err := s.lock.Unlock(ctx, &v3lockpb.UnlockRequest{})
	unlocked("unlock nothing", u, err)
	chosen, err := s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: name})
	if !strings.HasPrefix(string(chosen.GetKey()), "name/") {
		t.Errorf("lock without a lease: key %q", chosen.GetKey())
	}
	lines = append(lines, fmt.Sprintf("lock without a lease: at %d, %v", chosen.GetHeader().GetRevision(), err))
	return lines
}

func TestAnswersAsEtcd(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(transcript(t, etcds(t)), transcript(t, ours(t))); diff != "" {
		t.Error(diff)
	}
}

// outcome is what a Lock that had to wait returned.
type outcome struct {
	key string
	err error
}

// queue has one holder and one waiter, whose outcome comes later.
func queue(ctx context.Context, t *testing.T, s service) (holder []byte, waiter string, waited <-chan outcome) {
	t.Helper()
	first, err := s.lock.Lock(t.Context(), &v3lockpb.LockRequest{Name: []byte("name"), Lease: s.grant(t, 1)})
	if err != nil {
		t.Fatal(err)
	}
	<-s.queued
	second, done := s.grant(t, 2), make(chan outcome, 1)
	go func() {
		r, err := s.lock.Lock(ctx, &v3lockpb.LockRequest{Name: []byte("name"), Lease: second})
		done <- outcome{string(r.GetKey()), err}
	}()
	<-s.queued
	return first.Key, "name/2", done
}

func TestWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	s := ours(t)
	holder, waiter, waited := queue(t.Context(), t, s)
	if _, err := s.lock.Unlock(t.Context(), &v3lockpb.UnlockRequest{Key: holder}); err != nil {
		t.Fatal(err)
	}
	if got := <-waited; got != (outcome{key: waiter}) {
		t.Errorf("after its turn came: %+v", got)
	}
}

// left fails unless the waiter's key goes away.
func left(t *testing.T, s service, key string) {
	t.Helper()
	watch := s.etcd.Watch(t.Context(), key, clientv3.WithRev(1))
	for r := range watch {
		for _, e := range r.Events {
			if e.Type == clientv3.EventTypeDelete {
				return
			}
		}
	}
	t.Errorf("%s stays in the queue", key)
}

func TestGivingUpLeavesTheQueue(t *testing.T) {
	t.Parallel()
	s := ours(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, waiter, waited := queue(ctx, t, s)
	cancel()
	if got := <-waited; status.Code(got.err) != codes.Canceled {
		t.Errorf("canceled: %v", got.err)
	}
	left(t, s, waiter)
}

func TestDrainEndsTheWait(t *testing.T) {
	t.Parallel()
	s := ours(t)
	_, waiter, waited := queue(t.Context(), t, s)
	s.drain()
	if got := <-waited; status.Code(got.err) != codes.Unavailable {
		t.Errorf("drained: %v, want Unavailable", got.err)
	}
	left(t, s, waiter)
}
