package limits

import (
	"flag"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Sizes: the defaults are those of `make test`; `make flood` and `make overload` take
// the larger ones.
var (
	leasesFlag   = flag.Int("leases", 3000, "leases that are granted, a tenth of which ends at once")
	keysFlag     = flag.Int("keys", 5000, "keys that one request deletes")
	overloadFlag = flag.Duration("overload", 0, "time of each load of TestOverload; 0 skips it")
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// bound ends a test that waits for what never comes.
const bound = 10 * time.Minute
