// Package cluster is etcd's Cluster service. The members of a keyspace are its
// live frontends, which register themselves with the hot tier; a client that
// syncs its endpoints therefore finds every one of them.
//
// Membership is not configuration here: a frontend joins by being started and
// leaves by being stopped, so the calls that change members are refused, each
// with a sentence that says what to do instead. The package keeps no state.
package cluster

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

// API is the part of router.API that the service needs.
type API interface {
	wire.Identity
	// Members lists the live frontends, oldest registration first.
	Members(ctx context.Context) ([]router.Member, router.Revision, error)
}

// Server answers etcd's Cluster RPCs.
type Server struct {
	api API
	// Embedding the unsafe server makes a new RPC of the protocol a compile
	// error instead of a silent Unimplemented.
	pb.UnsafeClusterServer
}

var _ pb.ClusterServer = (*Server)(nil)

// New is a Cluster service over api.
func New(api API) *Server { return &Server{api: api} }

// MemberList names the live frontends. The list is always linearizable, so
// asking for that changes nothing. Peer URLs are empty: frontends do not talk to
// each other. As in etcd, the header of this service carries no revision.
func (s *Server) MemberList(ctx context.Context, _ *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	members, _, err := s.api.Members(ctx)
	if err != nil {
		return nil, wire.Error(err)
	}
	header := wire.Header(s.api, 0)
	header.Revision = 0
	resp := &pb.MemberListResponse{Header: header, Members: make([]*pb.Member, len(members))}
	for i, m := range members {
		resp.Members[i] = &pb.Member{ID: m.ID, Name: m.Name, ClientURLs: m.ClientURLs}
	}
	return resp, nil
}

// MemberAdd is refused: frontends add themselves.
func (s *Server) MemberAdd(context.Context, *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	return nil, refuse("member add", "start another `tierd serve` on the same hot tier and keyspace; it joins by itself")
}

// MemberRemove is refused: frontends remove themselves.
func (s *Server) MemberRemove(context.Context, *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	return nil, refuse("member remove", "stop that frontend; it leaves the list by itself within seconds")
}

// MemberUpdate is refused: there are no peer URLs to change.
func (s *Server) MemberUpdate(context.Context, *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	return nil, refuse("member update", "frontends have no peer URLs; "+
		"to change the client URLs of one, restart it with another --advertise-client-urls")
}

// MemberPromote is refused: every frontend is a full member.
func (s *Server) MemberPromote(context.Context, *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	return nil, refuse("member promote", "there are no learners; every frontend serves reads and writes from the start")
}

func refuse(call, instead string) error {
	return status.Errorf(codes.Unimplemented, "tierd: %s is not needed: %s", call, instead)
}
