// Package lease is etcd's Lease service: a translation between its messages and
// the leases of a keyspace.
//
// It promises etcd's answers, odd ones included: a lease that does not exist is
// a TTL of -1 to TimeToLive, a TTL of 0 to a keep-alive, and an error only to a
// revoke; a grant below the shortest time to live gets that one. Keys are never
// touched here: a revoke or an expiry deletes them in the router, in one
// revision.
//
// No state outlives a call, so nothing is lost in a crash. A keep-alive stream
// is the one thing that lives long; it ends as Unavailable when the frontend
// drains, and clients then carry on through another one.
package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

// ttlSecondsMin is the shortest time to live that is granted, in seconds. It is
// what an etcd with default settings grants (one and a half election timeouts,
// rounded up), and what clients see when they ask for 0, 1 or less.
const ttlSecondsMin = 2

// API is the part of router.API that this service needs.
type API interface {
	wire.Identity
	CurrentRevision(ctx context.Context) (current, compacted router.Revision, err error)
	LeaseGrant(ctx context.Context, id, ttlSeconds int64) (router.Lease, router.Revision, error)
	LeaseRevoke(ctx context.Context, id int64) (router.Revision, error)
	LeaseKeepAlive(ctx context.Context, id int64) (router.Lease, router.Revision, error)
	LeaseTimeToLive(ctx context.Context, id int64, keys bool) (router.Lease, router.Revision, error)
	Leases(ctx context.Context) ([]router.Lease, router.Revision, error)
}

type server struct {
	pb.UnsafeLeaseServer
	api      API
	draining <-chan struct{}
	logger   *slog.Logger
}

// New makes the service. When draining is closed, open keep-alive streams end
// with code Unavailable and new ones are refused so.
func New(api API, draining <-chan struct{}, logger *slog.Logger) pb.LeaseServer {
	return &server{api: api, draining: draining, logger: logger}
}

// LeaseGrant creates a lease.
func (s *server) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	lease, rev, err := s.api.LeaseGrant(ctx, r.ID, max(r.TTL, ttlSecondsMin))
	if err != nil {
		return nil, wire.Error(fmt.Errorf("grant lease %016x: %w", r.ID, err))
	}
	return &pb.LeaseGrantResponse{Header: wire.Header(s.api, rev), ID: lease.ID, TTL: lease.GrantedTTL}, nil
}

// LeaseRevoke removes a lease and deletes its keys.
func (s *server) LeaseRevoke(ctx context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	rev, err := s.api.LeaseRevoke(ctx, r.ID)
	if err != nil {
		return nil, wire.Error(fmt.Errorf("revoke lease %016x: %w", r.ID, err))
	}
	return &pb.LeaseRevokeResponse{Header: wire.Header(s.api, rev)}, nil
}

// LeaseTimeToLive describes a lease.
func (s *server) LeaseTimeToLive(ctx context.Context, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	lease, rev, err := s.api.LeaseTimeToLive(ctx, r.ID, r.Keys)
	if errors.Is(err, router.ErrLeaseNotFound) {
		lease, err = router.Lease{RemainingTTL: -1}, nil
		if rev == 0 {
			rev, _, err = s.api.CurrentRevision(ctx)
		}
	}
	if err != nil {
		return nil, wire.Error(fmt.Errorf("time to live of lease %016x: %w", r.ID, err))
	}
	resp := &pb.LeaseTimeToLiveResponse{
		Header: wire.Header(s.api, rev), ID: r.ID,
		TTL: lease.RemainingTTL, GrantedTTL: lease.GrantedTTL,
	}
	if r.Keys {
		resp.Keys = lease.Keys
	}
	return resp, nil
}

// LeaseLeases lists all leases, the next to expire first, as etcd does.
func (s *server) LeaseLeases(ctx context.Context, _ *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	leases, rev, err := s.api.Leases(ctx)
	if err != nil {
		return nil, wire.Error(fmt.Errorf("list leases: %w", err))
	}
	leases = slices.Clone(leases)
	slices.SortStableFunc(leases, func(a, b router.Lease) int { return cmp.Compare(a.RemainingTTL, b.RemainingTTL) })
	resp := &pb.LeaseLeasesResponse{Header: wire.Header(s.api, rev), Leases: make([]*pb.LeaseStatus, len(leases))}
	for i, l := range leases {
		resp.Leases[i] = &pb.LeaseStatus{ID: l.ID}
	}
	return resp, nil
}
