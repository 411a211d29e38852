package maintenance

import (
	"testing"

	"github.com/tierd/tierd/test/cluster"
)

// A tierd with a random history: its hashes are those of an etcd that lived
// through the same (which is what the copy computes, see TestHashKVEqualsEtcd),
// and its snapshot restores to an etcd with the same hashes and the same state.
func TestTierdRestoresToEtcd(t *testing.T) {
	t.Parallel()
	frontend := cluster.StartFrontend(t, cluster.FrontendOptions{})
	ref := follow(t, frontend.Client(), 6)
	ref.write(80)
	sameHashes(t, ref.copied, ref.client, 1)
	compacted := ref.between(30, ref.current()-20)
	ref.compact(compacted)
	ref.write(20)
	sameHashes(t, ref.copied, ref.client, compacted)

	_, restored := saveAndRestore(t, frontend.Endpoint())
	sameState(t, ref.client, restored, compacted, ref.current())
	sameHashes(t, ref.copied, restored, compacted)

	ref.deleteAll()
	sameHashes(t, ref.copied, ref.client, compacted)
	ref.compact(ref.current())
	_, empty := saveAndRestore(t, frontend.Endpoint())
	sameHashes(t, ref.copied, ref.client, ref.current())
	sameHashes(t, ref.copied, empty, ref.current())
}
