// Package election is etcd's Election service: candidates queue as keys under
// one name, each attached to its lease; the oldest is the leader, and its value
// is what the leader proclaims.
//
// It promises what etcd's service promises: at most one leader at a revision,
// whose term of office ends with a resignation or with the lease. It keeps no
// state of its own; package session says how calls end and fail.
package election

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/lock/session"
)

type server struct {
	v3electionpb.UnsafeElectionServer
	runner session.Runner
}

// New makes the service. The client speaks to this same frontend and outlives
// the calls; when draining is closed, calls still waiting end as Unavailable.
func New(client *clientv3.Client, draining <-chan struct{}) v3electionpb.ElectionServer {
	return &server{runner: session.Runner{Client: client, Draining: draining}}
}

// Campaign waits until the candidate is the leader. A wait that is given up
// leaves the queue; a call that ends before it knows whether it is in it may
// leave its key there, until the lease ends or campaigns again.
func (s *server) Campaign(ctx context.Context, r *v3electionpb.CampaignRequest) (*v3electionpb.CampaignResponse, error) {
	var resp *v3electionpb.CampaignResponse
	err := s.runner.Call(ctx, r.Lease, func(ctx context.Context, held *concurrency.Session) error {
		election := concurrency.NewElection(held, string(r.Name))
		if err := election.Campaign(ctx, string(r.Value)); err != nil {
			return err
		}
		resp = &v3electionpb.CampaignResponse{
			Header: election.Header(),
			Leader: &v3electionpb.LeaderKey{
				Name: r.Name, Key: []byte(election.Key()), Rev: election.Rev(), Lease: int64(held.Lease()),
			},
		}
		return nil
	})
	return resp, err
}

// Proclaim changes the leader's value, if it still leads.
func (s *server) Proclaim(ctx context.Context, r *v3electionpb.ProclaimRequest) (*v3electionpb.ProclaimResponse, error) {
	var resp *v3electionpb.ProclaimResponse
	err := s.lead(ctx, r.Leader, func(ctx context.Context, election *concurrency.Election) error {
		if err := election.Proclaim(ctx, string(r.Value)); err != nil {
			return err
		}
		resp = &v3electionpb.ProclaimResponse{Header: election.Header()}
		return nil
	})
	return resp, err
}

// Resign gives the leadership up. Nothing to give up is no error.
func (s *server) Resign(ctx context.Context, r *v3electionpb.ResignRequest) (*v3electionpb.ResignResponse, error) {
	var resp *v3electionpb.ResignResponse
	err := s.lead(ctx, r.Leader, func(ctx context.Context, election *concurrency.Election) error {
		if err := election.Resign(ctx); err != nil {
			return err
		}
		resp = &v3electionpb.ResignResponse{Header: election.Header()}
		return nil
	})
	return resp, err
}

// lead runs a call of whoever was told by Campaign that it leads.
func (s *server) lead(ctx context.Context, leader *v3electionpb.LeaderKey, do func(context.Context, *concurrency.Election) error) error {
	if leader == nil {
		return status.Error(codes.Unknown, `"leader" field must be provided`)
	}
	return s.runner.Call(ctx, leader.Lease, func(ctx context.Context, held *concurrency.Session) error {
		return do(ctx, concurrency.ResumeElection(held, string(leader.Name), string(leader.Key), leader.Rev))
	})
}

// Leader returns the leader's key, or the error that there is none.
func (s *server) Leader(ctx context.Context, r *v3electionpb.LeaderRequest) (*v3electionpb.LeaderResponse, error) {
	var resp *v3electionpb.LeaderResponse
	err := s.runner.Call(ctx, session.NoLease, func(ctx context.Context, reader *concurrency.Session) error {
		leader, err := concurrency.NewElection(reader, string(r.Name)).Leader(ctx)
		if err != nil {
			return err
		}
		resp = &v3electionpb.LeaderResponse{Header: leader.Header, Kv: leader.Kvs[0]}
		return nil
	})
	return resp, err
}

// Observe sends the leader's key, now and after every change of it or of who
// leads, until the caller goes away.
func (s *server) Observe(r *v3electionpb.LeaderRequest, stream v3electionpb.Election_ObserveServer) error {
	return s.runner.Call(stream.Context(), session.NoLease, func(ctx context.Context, reader *concurrency.Session) error {
		// The channel is drained to its end: its writer stops with ctx, and a
		// send that fails ends ctx.
		ctx, stop := context.WithCancel(ctx)
		leaders := concurrency.NewElection(reader, string(r.Name)).Observe(ctx)
		defer func() {
			stop()
			for range leaders { // until its writer is gone
			}
		}()
		for leader := range leaders {
			if err := stream.Send(&v3electionpb.LeaderResponse{Header: leader.Header, Kv: leader.Kvs[0]}); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}
