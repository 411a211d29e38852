package hot_test

import (
	"log/slog"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/tierd/tierd/tiers/hot"
)

// TestMain checks that no test leaves a goroutine behind.
func TestMain(m *testing.M) {
	hot.UseLogger(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

// testBinary is the server that the tests run: redis-server, or the one that
// TIERD_TEST_REDIS_SERVER names (make test-valkey).
func testBinary() string {
	if name := os.Getenv("TIERD_TEST_REDIS_SERVER"); name != "" {
		return name
	}
	return "redis-server"
}
