package hot

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Hurry lets a private server take much at once: it does not sync before it answers, and does not rewrite
// its file meanwhile. What it takes has to be such that it can be brought again after a
// crash of the machine, until Settle.
func (s *Server) Hurry(ctx context.Context, client redis.UniversalClient) error {
	return s.configure(ctx, client, "no", "0")
}

// Settle ends Hurry: everything is on disk when the next write is answered.
func (s *Server) Settle(ctx context.Context, client redis.UniversalClient) error {
	return s.configure(ctx, client, "always", "100")
}

func (s *Server) configure(ctx context.Context, client redis.UniversalClient, sync, rewrite string) error {
	for _, setting := range [][2]string{{"appendfsync", sync}, {"auto-aof-rewrite-percentage", rewrite}} {
		if err := client.ConfigSet(ctx, setting[0], setting[1]).Err(); err != nil {
			return fmt.Errorf("set %s of the private redis-server: %w", setting[0], classify(err))
		}
	}
	return nil
}
