package main

import (
	"strings"
	"testing"

	"github.com/tierd/tierd/router"
)

// Endpoints without keys get some, past changes of others; given again, there is nothing to do.
func TestShardApplySpread(t *testing.T) {
	t.Parallel()
	f := threeEndpoints()
	f.topology.Ranges[2].Middle = []byte("r")
	f.refuse = []error{router.ErrBusy}
	arguments := []string{"apply", "redis://a:6379", "redis://b:6379", "redis://c:6379", "--spread"}
	f.wantDone(t, f.on(t, arguments...), []string{`split "r"`, `split "r"`, `move "p\x00" "r" 2`}, "to endpoint 2, which held no keys")
	f.log = nil
	f.wantDone(t, f.on(t, arguments...), nil, "The keyspace has 3 endpoints, as listed.")
	f = threeEndpoints()
	f.refuse = []error{errLost}
	if got := f.on(t, arguments...); got.code != exitFailure || !strings.Contains(got.errOut, "spread the keys: ") || got.out != "" {
		t.Errorf("code %d, output %q, errors:\n%s", got.code, got.out, got.errOut)
	}
}
