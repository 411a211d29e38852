//go:build e2e

package etcdctl

import "testing"

// TestBuild builds the programs once, for what needs them without a network.
func TestBuild(t *testing.T) {
	t.Logf("built %+v", Build(t))
}
