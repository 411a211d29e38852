package lease

import (
	"context"
	"log/slog"
	"net"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/tierd/tierd/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keyspace is a fake router.API with leases that do not age.
type keyspace struct {
	leases  map[int64]router.Lease
	current router.Revision
	// renewing, when set, is called in the middle of every renewal.
	renewing func()
	failure  error
}

var _ API = (*keyspace)(nil)

func newKeyspace(leases ...router.Lease) *keyspace {
	k := &keyspace{leases: make(map[int64]router.Lease), current: 10}
	for _, l := range leases {
		k.leases[l.ID] = l
	}
	return k
}

func (k *keyspace) ClusterID() uint64             { return 0xc1 }
func (k *keyspace) Self() router.Member           { return router.Member{ID: 0xa1} }
func (k *keyspace) Term() uint64                  { return 7 }
func (k *keyspace) LastRevision() router.Revision { return k.current }

func (k *keyspace) CurrentRevision(context.Context) (router.Revision, router.Revision, error) {
	return k.current, 0, k.failure
}

func (k *keyspace) LeaseGrant(_ context.Context, id, ttl int64) (router.Lease, router.Revision, error) {
	if ttl > router.LeaseTTLMax {
		return router.Lease{}, 0, router.ErrLeaseTTLTooLarge
	}
	if _, taken := k.leases[id]; taken {
		return router.Lease{}, 0, router.ErrLeaseExists
	}
	if id == 0 {
		id = 4711
	}
	k.leases[id] = router.Lease{ID: id, GrantedTTL: ttl, RemainingTTL: ttl}
	return k.leases[id], k.current, k.failure
}

func (k *keyspace) LeaseRevoke(_ context.Context, id int64) (router.Revision, error) {
	if _, known := k.leases[id]; !known {
		return 0, router.ErrLeaseNotFound
	}
	delete(k.leases, id)
	k.current++
	return k.current, k.failure
}

func (k *keyspace) LeaseKeepAlive(_ context.Context, id int64) (router.Lease, router.Revision, error) {
	if k.renewing != nil {
		k.renewing()
	}
	if k.failure != nil {
		return router.Lease{}, 0, k.failure
	}
	return k.find(id)
}

func (k *keyspace) LeaseTimeToLive(_ context.Context, id int64, keys bool) (router.Lease, router.Revision, error) {
	l, rev, err := k.find(id)
	if !keys {
		l.Keys = nil
	}
	return l, rev, err
}

func (k *keyspace) find(id int64) (router.Lease, router.Revision, error) {
	l, known := k.leases[id]
	if !known {
		return router.Lease{}, 0, router.ErrLeaseNotFound
	}
	return l, k.current, k.failure
}

func (k *keyspace) Leases(context.Context) ([]router.Lease, router.Revision, error) {
	var all []router.Lease
	for id := range int64(100) {
		if l, known := k.leases[id]; known {
			all = append(all, l)
		}
	}
	return all, k.current, k.failure
}

// dial serves the keyspace over a pipe and returns a client and what drains it.
func dial(t *testing.T, k *keyspace) (client pb.LeaseClient, drain func()) {
	t.Helper()
	draining := make(chan struct{})
	server := grpc.NewServer()
	pb.RegisterLeaseServer(server, New(k, draining, slog.New(slog.DiscardHandler)))
	listener := bufconn.Listen(1 << 16)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:lease", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
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
	return pb.NewLeaseClient(conn), func() { close(draining) }
}
