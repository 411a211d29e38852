package endpoint

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

// pipeBytes is the buffer of an in-process connection, each way.
const pipeBytes = 256 * 1024

// loopback is an etcd client of this very frontend, for the Lock and Election
// services, which are written in terms of the others. It has a gRPC server of
// its own, without metrics or limits, so that one lock is counted as one call,
// and so that it still works while the calls it serves drain. Its calls are made as the
// callers that were lent to it (see loans).
type loopback struct {
	listener *bufconn.Listener
	server   *grpc.Server
	client   *clientv3.Client
	loans    *loans
}

func newLoopback() (*loopback, error) {
	l := &loopback{listener: bufconn.Listen(pipeBytes), loans: &loans{}}
	l.server = grpc.NewServer(grpc.MaxRecvMsgSize(math.MaxInt32), grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.UnaryInterceptor(l.loans.unary), grpc.StreamInterceptor(l.loans.stream))
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"loopback"},
		Logger:    zap.NewNop(),
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.listener.DialContext(ctx) }),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("create the loopback client: %w", err)
	}
	l.client = client
	return l, nil
}

// register adds what locks and elections are made of.
func (l *loopback) register(s services) {
	pb.RegisterKVServer(l.server, s.kv)
	pb.RegisterWatchServer(l.server, s.watch)
	pb.RegisterLeaseServer(l.server, s.lease)
}

func (l *loopback) serve() error {
	if err := l.server.Serve(l.listener); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

func (l *loopback) close() {
	_ = l.client.Close() // says only that its context was canceled, which is the purpose
	l.server.Stop()
	_ = l.listener.Close() // cannot fail
}
