//go:build e2e

package etcdctl_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/test/etcdctl"
)

// checkBound covers the minute that `check perf` takes by design.
const checkBound = 5 * time.Minute

// etcdctl's own checks run to their end and find no error. Whether the numbers
// please them is the machine's affair: they are printed, not asserted.
func TestChecks(t *testing.T) {
	tools := etcdctl.Build(t)
	store := newTarget(t, tools, startCandidate(t, 0))
	for cmd, mark := range map[string]string{
		"check perf --load=s":      "Stddev",
		"check datascale --load=s": "PASS: Approximate system memory used",
	} {
		running := store.launch(cmd, step{cmd: cmd})
		result := running.waitAtMost(cmd, checkBound)
		if !strings.Contains(result.stdout, mark) || strings.Contains(result.stdout, "FAIL: too many errors") {
			t.Errorf("%s: exit %s\n%s%s", cmd, result.exit, result.stdout, result.stderr)
		}
		t.Logf("%s\n%s", cmd, result.stdout)
	}
}
