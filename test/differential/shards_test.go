package differential

import (
	"context"
	"flag"
	mathrand "math/rand/v2"
	"sync"
	"testing"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/shards"
)

var shardsFlag = flag.Int("shards", 3, "shards that the keys are spread over, of which ranges split, move and merge meanwhile; 1 leaves them on one")

// endpointsMax is how many databases of one server the shards lie on.
const endpointsMax = 4

// boundaries cut the keys of a generator at places where something lies on both sides.
func boundaries() []string {
	return []string{"\x00\x01", "k\x00", "k\x00\x01", "k0", "k1", "k10", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9", "queue"}
}

// startTierd starts three frontends, spreads the keys, and has ranges split, move and
// merge until the function that it gives is called.
func startTierd(t *testing.T, seed uint64, sealed bool, args ...string) (*cluster.Cluster, func()) {
	t.Helper()
	n := *shardsFlag
	all := boundaries()
	if n < 1 || n > len(all)+1 {
		t.Fatalf("-shards must be from 1 to %d", len(all)+1)
	}
	c := cluster.Start(t, cluster.Options{Frontends: 3, Databases: min(n, endpointsMax), Sealed: sealed, Args: append([]string{"--balance=false"}, args...)})
	if n == 1 {
		return c, func() {}
	}
	at := make([]string, n-1)
	for i := range at {
		at[i] = all[(i+1)*len(all)/n]
	}
	shards.Spread(t, c, at...)
	return c, change(t, c, seed, n)
}

// change changes the shard map at random until the function that it gives is called.
func change(t *testing.T, c *cluster.Cluster, seed uint64, ranges int) func() {
	ctx, cancel := context.WithCancel(t.Context())
	g := newGenerator(mathrand.New(mathrand.NewPCG(seed, 2)))
	changer := &shards.Changer{Rand: g.Rand, Cluster: c, Key: g.key, Ranges: ranges}
	var changing sync.WaitGroup
	changes := 0
	changing.Go(func() {
		for ctx.Err() == nil {
			what, err := changer.Change(ctx)
			if err != nil && ctx.Err() == nil {
				t.Errorf("%s: %v", what, err)
				return
			}
			if what != "" {
				changes++
			}
		}
	})
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			changing.Wait()
			t.Logf("%d changes of the shard map", changes)
		})
	}
	t.Cleanup(stop)
	return stop
}
