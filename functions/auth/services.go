package auth

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/functions/wire"
)

// maintenance checks the calls of a Maintenance service, each as a whole.
type maintenance struct {
	pb.UnsafeMaintenanceServer
	store *Store
	inner pb.MaintenanceServer
}

// Maintenance gives inner to clients. Inner has to work on a keyspace of GuardWhole.
func (s *Store) Maintenance(inner pb.MaintenanceServer) pb.MaintenanceServer {
	return &maintenance{store: s, inner: inner}
}

// passes makes an RPC if its caller may.
func passes[Q, A any](ctx context.Context, s *Store, needs rule, r Q, call func(context.Context, Q) (A, error)) (A, error) {
	if _, err := s.check(ctx, needs); err != nil {
		var none A
		return none, wire.Error(fmt.Errorf("check permission: %w", err))
	}
	return call(ctx, r)
}

// Alarm lists alarms for every user, and changes them for root.
func (m *maintenance) Alarm(ctx context.Context, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	needs := (*state).admin
	if r.Action == pb.AlarmRequest_GET {
		needs = (*state).require
	}
	return passes(ctx, m.store, needs, r, m.inner.Alarm)
}

// Status is for every user.
func (m *maintenance) Status(ctx context.Context, r *pb.StatusRequest) (*pb.StatusResponse, error) {
	return passes(ctx, m.store, (*state).require, r, m.inner.Status)
}

// Defragment is for root.
func (m *maintenance) Defragment(ctx context.Context, r *pb.DefragmentRequest) (*pb.DefragmentResponse, error) {
	return passes(ctx, m.store, (*state).admin, r, m.inner.Defragment)
}

// Hash is for root.
func (m *maintenance) Hash(ctx context.Context, r *pb.HashRequest) (*pb.HashResponse, error) {
	return passes(ctx, m.store, (*state).admin, r, m.inner.Hash)
}

// HashKV is for root.
func (m *maintenance) HashKV(ctx context.Context, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	return passes(ctx, m.store, (*state).admin, r, m.inner.HashKV)
}

// MoveLeader is for root.
func (m *maintenance) MoveLeader(ctx context.Context, r *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	return passes(ctx, m.store, (*state).admin, r, m.inner.MoveLeader)
}

// Downgrade is for root.
func (m *maintenance) Downgrade(ctx context.Context, r *pb.DowngradeRequest) (*pb.DowngradeResponse, error) {
	return passes(ctx, m.store, (*state).admin, r, m.inner.Downgrade)
}

// Snapshot is for root.
func (m *maintenance) Snapshot(r *pb.SnapshotRequest, stream pb.Maintenance_SnapshotServer) error {
	_, err := passes(stream.Context(), m.store, (*state).admin, r, func(context.Context, *pb.SnapshotRequest) (struct{}, error) {
		return struct{}{}, m.inner.Snapshot(r, stream)
	})
	return err
}

// cluster checks the calls of a Cluster service.
type cluster struct {
	pb.UnsafeClusterServer
	store *Store
	inner pb.ClusterServer
}

// Cluster gives inner to clients.
func (s *Store) Cluster(inner pb.ClusterServer) pb.ClusterServer {
	return &cluster{store: s, inner: inner}
}

// MemberList is for every user.
func (c *cluster) MemberList(ctx context.Context, r *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	return passes(ctx, c.store, (*state).require, r, c.inner.MemberList)
}

// MemberAdd is for root.
func (c *cluster) MemberAdd(ctx context.Context, r *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	return passes(ctx, c.store, (*state).admin, r, c.inner.MemberAdd)
}

// MemberRemove is for root.
func (c *cluster) MemberRemove(ctx context.Context, r *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	return passes(ctx, c.store, (*state).admin, r, c.inner.MemberRemove)
}

// MemberUpdate is for root.
func (c *cluster) MemberUpdate(ctx context.Context, r *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	return passes(ctx, c.store, (*state).admin, r, c.inner.MemberUpdate)
}

// MemberPromote is for root.
func (c *cluster) MemberPromote(ctx context.Context, r *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	return passes(ctx, c.store, (*state).admin, r, c.inner.MemberPromote)
}
