package torture

import (
	"context"
	"flag"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/shards"
)

var shardsFlag = flag.Int("shards", 1, "shards that the keys are spread over, of which ranges split, move and merge meanwhile")

// size is how much a round runs on.
type size struct{ shards, frontends, servers, databases int }

// sizeOf is the size for a number of shards.
func sizeOf(t *testing.T, n int) size {
	t.Helper()
	switch {
	case n == 1:
		return size{shards: 1, frontends: 2, servers: 1, databases: 1}
	case n < 1 || n > len(boundaries())+1:
		t.Fatalf("-shards must be from 1 to %d", len(boundaries())+1)
	}
	return size{shards: n, frontends: 3, servers: 2, databases: 2}
}

// boundaries cut the keys of a run.
func boundaries() []string {
	return []string{"a/\x00\xff", "a/0", "a/1", "a/2", "b/0", "b/1", "b/\xff", "s/0", "s/1", "s/2", "s/3", "s/4", "s/5", "s/6", "s/7"}
}

// spread gives each shard its range.
func spread(t *testing.T, c *cluster.Cluster, size size) {
	t.Helper()
	all := boundaries()
	at := make([]string, size.shards-1)
	for i := range at {
		at[i] = all[(i+1)*len(all)/size.shards]
	}
	shards.Spread(t, c, at...)
}

const (
	// moversKilled is how many in a hundred changes are killed, within moverLifeMax.
	moversKilled = 25
	moverLifeMax = 400 * time.Millisecond
	// changeBound is how long a change may take: one that waits for a Redis that is
	// paused is ended, too.
	changeBound = 10 * time.Second
)

// change splits, moves and merges ranges at random, and kills some that do, until the
// function that it gives is called, which says how many changes were made. Many fail,
// since what they need is killed, too.
func change(t *testing.T, c *cluster.Cluster, seed uint64, size size) (steady func() int) {
	if size.shards == 1 {
		return func() int { return 0 }
	}
	ctx, cancel := context.WithCancel(t.Context())
	random := rand.New(rand.NewPCG(seed, 1<<62))
	changer := &shards.Changer{Rand: random, Cluster: c, Ranges: size.shards}
	changer.Key = func() []byte { return []byte(boundaries()[random.IntN(len(boundaries()))]) }
	var changing sync.WaitGroup
	made := 0
	changing.Go(func() {
		for ctx.Err() == nil {
			life := changeBound
			if random.IntN(100) < moversKilled {
				life = time.Duration(random.Int64N(int64(moverLifeMax)))
			}
			one, end := context.WithTimeout(ctx, life)
			if what, err := changer.Change(one); err == nil && what != "" {
				made++
			}
			end()
		}
	})
	var once sync.Once
	stop := func() int {
		once.Do(func() { cancel(); changing.Wait() })
		return made
	}
	t.Cleanup(func() { stop() })
	return stop
}
