//go:build e2e

package kubernetes_test

import (
	"fmt"
	"testing"
)

// check is one thing that must work; it has a namespace of its own.
type check struct {
	name string
	run  func(p *controlPlane, namespace string)
}

// TestKubernetes runs every check in both modes of reading, each on a fresh store: the first one
// open, the second one secured by certificates and rights.
func TestKubernetes(t *testing.T) {
	checks := []check{
		{"objects", checkObjects},
		{"conflicts", checkConflicts},
		{"pages", checkPages},
		{"old-versions", checkOldVersions},
		{"watch", checkWatch},
		{"watch-list", checkWatchList},
		{"deployment", checkDeployment},
		{"expiring-events", checkExpiringEvents},
		{"compacted-versions", checkCompactedVersions},
		{"server-is-content", checkServerIsContent},
		{"crashes", checkCrashes},
		{"controllers-after-crashes", checkDeployment},
		{"server-log", checkServerLog},
	}
	for _, watchCache := range []bool{true, false} {
		t.Run(fmt.Sprintf("watch-cache=%t,secured=%t", watchCache, !watchCache), func(t *testing.T) {
			plane := startControlPlane(t, startStore(t, !watchCache), watchCache)
			defer plane.stop()
			for _, c := range checks {
				t.Run(c.name, func(t *testing.T) {
					p := plane.of(t)
					p.kubectl("", "create", "namespace", c.name)
					c.run(p, c.name)
				})
				if !plane.store.Running() {
					t.Fatalf("the store has ended:\n%s", plane.store.Log())
				}
			}
		})
	}
}
