package endpoint

import (
	"github.com/tierd/tierd/functions/auth"
	"github.com/tierd/tierd/functions/cluster"
	"github.com/tierd/tierd/functions/election"
	"github.com/tierd/tierd/functions/kv"
	"github.com/tierd/tierd/functions/lease"
	"github.com/tierd/tierd/functions/lock"
	"github.com/tierd/tierd/functions/maintenance"
	"github.com/tierd/tierd/functions/watch"
	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router/feed"
)

// assemble makes the services of a frontend.
func assemble(a assembly) (services, error) {
	api, logger := a.Components.API, a.Components.Logger
	access, err := auth.NewStore(a.Settings.Auth, auth.Components{API: api, Logger: logger, Now: a.Components.Now, Metrics: a.Components.Metrics})
	if err != nil {
		return services{}, err
	}
	permitted := access.Guard(api)
	events := feed.New(api, feed.Settings{Rights: access}, logger, a.Components.Metrics)
	return services{
		kv: kv.New(permitted, kv.Settings{MaxTxnOps: a.Settings.MaxTxnOps, MaxRequestBytes: a.Settings.MaxRequestBytes}),
		watch: watch.New(api, events, watch.Settings{
			MaxRequestBytes:        a.Settings.MaxRequestBytes,
			ProgressNotifyInterval: a.Settings.WatchProgressNotifyInterval,
			WatchesMax:             a.Settings.Limits.WatchesPerStream,
			Jitter:                 a.Components.Jitter,
			Gate:                   access,
		}, a.Draining, logger, a.Components.Metrics),
		lease: lease.New(permitted, a.Draining, logger),
		auth:  auth.New(access), cluster: access.Cluster(cluster.New(api)),
		maintenance: access.Maintenance(maintenance.New(access.GuardWhole(api), maintenance.Settings{
			Version: wire.EtcdVersion, TempDir: a.Settings.SnapshotDir,
		}, logger)),
		lock:     lock.New(a.Client, a.Draining),
		election: election.New(a.Client, a.Draining),
		close:    events.Close,

		authEnabled: access.Enabled,
	}, nil
}
