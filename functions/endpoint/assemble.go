package endpoint

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"

	"github.com/tierd/tierd/functions/auth"
	"github.com/tierd/tierd/functions/cluster"
	"github.com/tierd/tierd/functions/lease"
	"github.com/tierd/tierd/functions/maintenance"
	"github.com/tierd/tierd/functions/wire"
)

// assemble makes the services of a frontend.
func assemble(a assembly) (services, error) {
	api, logger := a.Components.API, a.Components.Logger
	return services{
		kv:    pb.UnimplementedKVServer{},
		watch: pb.UnimplementedWatchServer{},
		lease: lease.New(api, a.Draining, logger),
		auth:  auth.New(api), cluster: cluster.New(api),
		maintenance: maintenance.New(api, maintenance.Settings{
			Version: wire.EtcdVersion, TempDir: a.Settings.SnapshotDir,
		}, logger),
		lock:     v3lockpb.UnimplementedLockServer{},
		election: v3electionpb.UnimplementedElectionServer{},
	}, nil
}
