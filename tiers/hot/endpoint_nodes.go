package hot

import (
	"context"
	"net"

	"github.com/redis/go-redis/v9"
)

// deadNodes has the slots of a Redis Cluster looked up anew when a node cannot be
// reached: the client by itself asks again only every ten seconds, and a node that is
// gone cannot tell it that another one has its slots now.
type deadNodes struct{ cluster *redis.ClusterClient }

func (d deadNodes) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := next(ctx, network, address)
		if err != nil {
			d.cluster.ReloadState(context.WithoutCancel(ctx))
		}
		return conn, err
	}
}

func (d deadNodes) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (d deadNodes) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
