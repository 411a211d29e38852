package hot

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// UseLogger sends what the Redis driver itself logs (failed dials, changes of a
// cluster) to logger, at debug level: what matters of it comes back as an error
// of a call. The driver knows one logger per process, so only a main may call
// this, before the first NewClient.
func UseLogger(logger *slog.Logger) {
	redis.SetLogger(driverLog{logger})
}

// driverLog is the driver's kind of logger.
type driverLog struct{ logger *slog.Logger }

func (d driverLog) Printf(ctx context.Context, format string, args ...any) {
	if d.logger.Enabled(ctx, slog.LevelDebug) {
		d.logger.DebugContext(ctx, "redis driver", "event", fmt.Sprintf(format, args...))
	}
}
