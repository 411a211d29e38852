package advisories

import (
	"errors"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
)

// ofAbsentParts are advisories on parts of etcd that tierd does not have. What is left to
// show is that they are not there, and what takes their place.
func ofAbsentParts() []advisory {
	return []advisory{
		{"GHSA-p4g4-wgrh-qrg2", "CVE-2020-15106", "a record of the write-ahead log that claims to be huge ended the process", noFlag("--wal-dir")},
		{"GHSA-m332-53r6-2w93", "CVE-2020-15112", "an entry of the write-ahead log with an index above their number ended the process", noFlag("--wal-dir")},
		{"GHSA-2xhq-gv6c-p224", "CVE-2020-15114", "the TCP gateway could be its own endpoint, and used up all files", noCommand("gateway", "start")},
		{"GHSA-wr2v-9rpq-c35q", "CVE-2020-15136", "the TCP gateway checked TLS only of endpoints that it found by DNS", noCommand("gateway", "start")},
		{"GHSA-j86v-2vjr-fg8f", "", "the TCP gateway took an open port for an endpoint with TLS", noFlag("--discovery-srv")},
		{"GHSA-h8g9-6gvh-5mrc", "", "the TCP gateway checked its endpoints once, when it began", noCommand("grpc-proxy", "start")},
		{"GHSA-9gp7-6833-wv89", "", "a negative size of a cluster from the discovery service ended the process", noFlag("--discovery")},
		{"GHSA-pm3m-32r3-7mfh", "", "a negative retention of automatic compaction compacted without end, or ended the process", negativeRetention},
	}
}

// noFlag shows that there is no such setting, and so no such part.
func noFlag(name string) func(*testing.T, *services) {
	return func(t *testing.T, _ *services) { usage(t, "has no flag "+name, "serve", name, "x") }
}

func noCommand(arguments ...string) func(*testing.T, *services) {
	return func(t *testing.T, _ *services) {
		_, err := cluster.RunTool(t.Context(), cluster.Binary(t, false), nil, arguments...)
		var failure *cluster.ToolError
		if !errors.As(err, &failure) || failure.Code != 2 || !strings.Contains(failure.Text, "has no command") {
			t.Errorf("tierd %v: %v", arguments, err)
		}
	}
}

func negativeRetention(t *testing.T, _ *services) {
	for _, mode := range []string{"periodic", "revision"} {
		for _, retention := range []string{"-1", "-1h", "-9223372036854775808", "9223372036854775807h"} {
			usage(t, "--auto-compaction-retention", "serve", "--auto-compaction-mode", mode, "--auto-compaction-retention="+retention)
		}
	}
}
