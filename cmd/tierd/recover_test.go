package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/router"
)

// recover runs tierd recover on the fake keyspace.
func (f *fakeShards) recover(t *testing.T, arguments ...string) answer {
	t.Helper()
	return f.run(t, []string{"TIERD_HOT_TIER=redis://a:6379"}, append([]string{"recover"}, arguments...)...)
}

// withLoss is a keyspace that has lost two revisions of a shard.
func withLoss() *fakeShards {
	f := threeEndpoints()
	f.loss.Shards = []router.ShardLoss{{Shard: 1, Reason: "shard 1 has lost positions", Missing: []router.Revision{7, 9}, MissingCount: 2}}
	return f
}

func TestRecoverExplains(t *testing.T) {
	t.Parallel()
	f := withLoss()
	a := f.recover(t)
	if a.code != 0 || !strings.Contains(a.out, "2 transactions are missing, of the revisions 7, 9.") || len(f.log) != 0 {
		t.Fatalf("%+v, calls %v", a, f.log)
	}
	if a := threeEndpoints().recover(t, "--output", "json"); a.code != 0 || !strings.Contains(a.out, `"shards": []`) {
		t.Fatalf("%+v", a)
	}
}

func TestRecoverAccepts(t *testing.T) {
	t.Parallel()
	f := withLoss()
	a := f.recover(t, "--accept-loss", "--bump-revision", "1000")
	if a.code != 0 || !strings.Contains(a.out, "goes on at revision 5711") || !strings.Contains(a.out, `"k1" is gone`) {
		t.Fatalf("%+v", a)
	}
	if !slices.Equal(f.log, []string{"accept 1000"}) {
		t.Fatalf("calls %v", f.log)
	}
}

func TestRecoverRefuses(t *testing.T) {
	t.Parallel()
	for f, arguments := range map[*fakeShards][]string{
		threeEndpoints(): {"--accept-loss"}, withLoss(): {"--accept-loss", "--bump-revision", "0"}, withLoss(): {"now"},
	} {
		if a := f.recover(t, arguments...); a.code != exitUsage || len(f.log) != 0 {
			t.Errorf("recover %v: %+v, calls %v", arguments, a, f.log)
		}
	}
}
