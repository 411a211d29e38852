package endpoint

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

// services are etcd's services, one package of functions/ each.
type services struct {
	kv          pb.KVServer
	watch       pb.WatchServer
	lease       pb.LeaseServer
	cluster     pb.ClusterServer
	auth        pb.AuthServer
	maintenance pb.MaintenanceServer
	lock        v3lockpb.LockServer
	election    v3electionpb.ElectionServer
	// authEnabled tells whether authentication is on, as far as is known; nil if it never is.
	authEnabled func(context.Context) (bool, error)
	// close ends what the services have started, once no call runs any more; nil
	// if there is nothing.
	close func()
}

// assembly is what the services are made from.
type assembly struct {
	Settings   Settings
	Components Components
	// Draining is closed when the frontend begins to drain.
	Draining <-chan struct{}
	// Client reaches this same frontend without leaving the process.
	Client *clientv3.Client
}

// assembler makes the services; tests have their own.
type assembler func(assembly) (services, error)

// register adds every service, health and reflection to a gRPC server.
func (s services) register(server *grpc.Server, health *health.Server) {
	pb.RegisterKVServer(server, s.kv)
	pb.RegisterWatchServer(server, s.watch)
	pb.RegisterLeaseServer(server, s.lease)
	pb.RegisterClusterServer(server, s.cluster)
	pb.RegisterAuthServer(server, s.auth)
	pb.RegisterMaintenanceServer(server, s.maintenance)
	v3lockpb.RegisterLockServer(server, s.lock)
	v3electionpb.RegisterElectionServer(server, s.election)
	healthpb.RegisterHealthServer(server, health)
	reflection.Register(server)
}
