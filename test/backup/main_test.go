package backup

import (
	"flag"
	"testing"
	"time"

	"github.com/tierd/tierd/test/session"
)

func TestMain(m *testing.M) { session.VerifyTestMain(m) }

var (
	loadFlag     = flag.Duration("load", 3*time.Second, "how long each round's load takes, at least")
	targetsFlag  = flag.Int("targets", 6, "how many revisions, and as many times, are compared in each round")
	restoresFlag = flag.Int("restores", 1, "how many of those are restored into a Redis, too")
	outagesFlag  = flag.Int("outages", 1, "how often the object tier is away, up to 3 times, each for half of -load")
	seedFlag     = flag.Uint64("seed", 0, "seed of the load and the faults; 0 takes the clock")
)

// bound is how long a test may wait for anything; far above what is normal.
const bound = 3 * time.Minute

func seed(t *testing.T) uint64 {
	chosen := *seedFlag
	if chosen == 0 {
		chosen = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", chosen)
	return chosen
}
