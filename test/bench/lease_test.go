//go:build bench

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// leaseTTL is far longer than a run between two keep-alives, in seconds.
const leaseTTL = 600

// keepAlives is clients that each keep a lease of their own alive, on a stream of
// their own, as often as it is answered.
func keepAlives(clients int) workload {
	return workload{name: named("lease keep-alive", clients), prepare: func(ctx context.Context, s *system) (load, error) {
		conns := s.dial(connections(clients))
		leases := make([]keptLease, clients)
		for i := range leases {
			var err error
			if leases[i], err = grant(ctx, conns[i%len(conns)]); err != nil {
				return nil, fmt.Errorf("grant lease %d: %w", i, err)
			}
		}
		return closedLoop(s, clients, func(_ context.Context, _ client, worker, _ int) error {
			return leases[worker].keepAlive()
		}), nil
	}}
}

// keptLease is a lease and the stream that keeps it alive.
type keptLease struct {
	id     int64
	stream pb.Lease_LeaseKeepAliveClient
}

// grant makes a lease, and a stream for it that ends with ctx.
func grant(ctx context.Context, c client) (keptLease, error) {
	granted, err := c.lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: leaseTTL})
	if err != nil {
		return keptLease{}, err
	}
	stream, err := c.lease.LeaseKeepAlive(ctx)
	return keptLease{id: granted.ID, stream: stream}, err
}

func (l keptLease) keepAlive() error {
	// io.EOF means that the stream has ended, and that Recv says why.
	if err := l.stream.Send(&pb.LeaseKeepAliveRequest{ID: l.id}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	answer, err := l.stream.Recv()
	if err == nil && (answer.ID != l.id || answer.TTL <= 0) {
		return fmt.Errorf("lease %x: %d s left of lease %x", l.id, answer.TTL, answer.ID)
	}
	return err
}
