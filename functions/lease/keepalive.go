package lease

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

// received is one message of a keep-alive stream, or its end.
type received struct {
	request *pb.LeaseKeepAliveRequest
	err     error
}

// LeaseKeepAlive renews leases for as long as the client sends requests: one
// answer to each, in order. A renewal under way when the frontend starts to
// drain is still answered.
func (s *server) LeaseKeepAlive(stream pb.Lease_LeaseKeepAliveServer) error {
	ctx := stream.Context()
	// The receiver ends when this method returns, because gRPC then ends ctx;
	// the channel has no room, so a client that does not read its answers is
	// held back by the transport's flow control.
	messages := make(chan received)
	go receive(ctx, stream, messages)
	for {
		// Asked first, so that a busy client cannot outlast a drain.
		select {
		case <-s.draining:
			return rpctypes.ErrGRPCStopped
		default:
		}
		select {
		case <-s.draining:
			return rpctypes.ErrGRPCStopped
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case m := <-messages:
			if errors.Is(m.err, io.EOF) {
				return nil
			}
			if m.err != nil {
				return s.broken(ctx, m.err)
			}
			if err := s.renew(stream, m.request.ID); err != nil {
				return err
			}
		}
	}
}

// receive hands on what the client sends, until the stream ends.
func receive(ctx context.Context, stream pb.Lease_LeaseKeepAliveServer, messages chan<- received) {
	for {
		request, err := stream.Recv()
		select {
		case messages <- received{request, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// renew renews one lease and answers. A lease that is gone is an answer.
func (s *server) renew(stream pb.Lease_LeaseKeepAliveServer, id int64) error {
	ctx := stream.Context()
	// Taken before the renewal: a header must not show a later revision than
	// the one at which the lease was certainly alive, or a client could see a
	// lease renewed after the revision that deleted its keys.
	before := s.api.LastRevision()
	lease, rev, err := s.api.LeaseKeepAlive(ctx, id)
	if errors.Is(err, router.ErrLeaseNotFound) {
		lease, err = router.Lease{}, nil
	}
	if err != nil {
		return wire.Error(fmt.Errorf("keep lease %016x alive: %w", id, err))
	}
	if rev == 0 {
		rev = before
	}
	resp := &pb.LeaseKeepAliveResponse{Header: wire.Header(s.api, rev), ID: id, TTL: lease.GrantedTTL}
	if err := stream.Send(resp); err != nil {
		return s.broken(ctx, err)
	}
	return nil
}

// broken ends a stream whose transport failed. A client that went away is no
// event; anything else is logged here, where the error stops: the peer that
// would get it cannot be reached.
func (s *server) broken(ctx context.Context, err error) error {
	code := status.Code(err)
	if ctx.Err() == nil && code != codes.Canceled && code != codes.DeadlineExceeded {
		s.logger.Warn("a lease keep-alive stream broke", slog.Any("error", err))
	}
	return err
}
