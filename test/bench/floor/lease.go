package main

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// leaseTTL is what every lease has, in seconds.
const leaseTTL = 60

// leaseServer knows no lease and keeps each alive.
type leaseServer struct {
	pb.UnimplementedLeaseServer

	last atomic.Int64
}

// LeaseGrant returns an id that was not granted before.
func (s *leaseServer) LeaseGrant(context.Context, *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	return &pb.LeaseGrantResponse{Header: &pb.ResponseHeader{}, ID: s.last.Add(1) + 1<<56, TTL: leaseTTL}, nil
}

// LeaseKeepAlive answers each request of the stream.
func (s *leaseServer) LeaseKeepAlive(stream pb.Lease_LeaseKeepAliveServer) error {
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.LeaseKeepAliveResponse{Header: &pb.ResponseHeader{}, ID: request.ID, TTL: leaseTTL}); err != nil {
			return err
		}
	}
}
