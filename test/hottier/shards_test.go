package hottier

import (
	"testing"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/shards"
)

// Areas of keys, each on a shard of its own: home is on the home shard, struck on the
// one whose Redis the test does something to, spared and others on shards apart from it.
const (
	home, struck, spared, another = "a", "b", "c", "d"
)

// struckKey is a key in the slot of the shard that struck is on: the first one that a
// move makes.
const struckKey = "{default:s1}"

// replicated is a Redis with replicas.
type replicated interface {
	Primary() *cluster.Redis
	AwaitPromotion(old *cluster.Redis) *cluster.Redis
	AwaitInStep()
	CutReplicasOff() []*cluster.Redis
}

// slot is the part of a Redis Cluster that a key lies in, as one Redis with replicas.
type slot struct {
	*cluster.RedisCluster
	key string
}

func (s slot) Primary() *cluster.Redis { return s.RedisCluster.Primary(s.key) }

func (s slot) AwaitPromotion(old *cluster.Redis) *cluster.Redis {
	return s.RedisCluster.AwaitPromotion(s.key, old)
}

func (s slot) CutReplicasOff() []*cluster.Redis { return s.RedisCluster.CutReplicasOff(s.Primary()) }

// arrangement is how the shards of a test are laid out.
type arrangement struct {
	name  string
	areas []string
	// lay starts the Redis and gives its endpoints, and the Redis that struck, or
	// with sequencer home, is on. replicas is how many there are where that is a choice.
	lay func(t *testing.T, sequencer bool, replicas int) ([]string, replicated)
}

// apart are the areas where each has a Redis of its own.
func apart() []string { return []string{home, struck, spared} }

// arrangements are those with the sequencer on one Redis and a shard on another, and
// with everything on one Redis Cluster.
func arrangements() []arrangement {
	return []arrangement{
		{"sentinels", apart(), func(t *testing.T, sequencer bool, replicas int) ([]string, replicated) {
			set := cluster.StartReplicaSet(t, cluster.ReplicaSetOptions{Replicas: replicas, Sentinels: 3})
			return beside(t, sequencer, set.URL()), set
		}},
		{"cluster", apart(), func(t *testing.T, sequencer bool, _ int) ([]string, replicated) {
			nodes := cluster.StartRedisCluster(t, cluster.RedisClusterOptions{Replicas: 1})
			return beside(t, sequencer, nodes.URL()), slotOf(nodes, sequencer)
		}},
		{"one cluster", []string{home, struck, spared, another}, func(t *testing.T, sequencer bool, _ int) ([]string, replicated) {
			nodes := cluster.StartRedisCluster(t, cluster.RedisClusterOptions{Replicas: 1, Config: []string{
				"--cluster-require-full-coverage", "no", // else all nodes refuse while one is gone
			}})
			return []string{nodes.URL()}, slotOf(nodes, sequencer)
		}},
	}
}

func slotOf(nodes *cluster.RedisCluster, sequencer bool) slot {
	if sequencer {
		return slot{nodes, keyspaceSlot}
	}
	return slot{nodes, struckKey}
}

// beside gives the endpoints of a Redis and of another one with a replica, the
// sequencer's first.
func beside(t *testing.T, sequencer bool, url string) []string {
	t.Helper()
	plain := cluster.StartReplicaSet(t, cluster.ReplicaSetOptions{}).Primary().URL()
	if sequencer {
		return []string{url, plain}
	}
	return []string{plain, url}
}

// site is a running arrangement.
type site struct {
	*cluster.Cluster
	replicated
	areas []string
}

// open starts two frontends and gives each area its shard.
func (a arrangement) open(t *testing.T, sequencer bool, d durability, replicas int) *site {
	t.Helper()
	urls, redis := a.lay(t, sequencer, replicas)
	c := cluster.Start(t, cluster.Options{Frontends: 2, HotTier: urls, Args: append([]string{"--balance=false"}, d.args...)})
	var boundaries []string
	for _, area := range a.areas[1:] {
		boundaries = append(boundaries, written+area)
	}
	shards.Spread(t, c, boundaries...)
	return &site{c, redis, a.areas}
}

// sparedBy are the areas that are not on the Redis that is struck.
func (s *site) sparedBy() []string {
	return append([]string{home}, s.areas[2:]...)
}

// eachArrangement runs a test on each.
func eachArrangement(t *testing.T, run func(t *testing.T, a arrangement)) {
	t.Parallel()
	for _, a := range arrangements() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			run(t, a)
		})
	}
}

// TestFailoverOfAShard: the primary of a shard dies, and a replica that has everything
// is promoted. Writes to it go on, and those to other shards have never stopped.
func TestFailoverOfAShard(t *testing.T) {
	eachArrangement(t, func(t *testing.T, a arrangement) {
		for _, d := range durabilities() {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				s := a.open(t, false, d, 2)
				l := startLoadOn(t, s.areas, s.Frontends...)
				l.awaitWritten(writtenBetween)
				s.AwaitInStep()
				old := s.Primary()
				losing(l, d, s.AwaitInStep, "the primary is killed", old.Kill)
				if err := l.goOnIn(writtenBetween, len(l.clients), s.sparedBy()...); err != nil {
					t.Errorf("while the shard's primary is gone: %v", err)
				}
				s.AwaitPromotion(old)
				l.note("a replica is promoted")
				if d.losesNothing {
					old.Restart()
				}
				l.awaitWritten(writtenBetween)
				l.check()
			})
		}
	})
}

// TestPausedPrimaryOfAShard: the primary of a shard is paused until a replica is in its
// place, and then goes on in the belief that it still is the primary.
func TestPausedPrimaryOfAShard(t *testing.T) {
	eachArrangement(t, func(t *testing.T, a arrangement) {
		for _, d := range durabilities() {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				s := a.open(t, false, d, 2)
				l := startLoadOn(t, s.areas, s.Frontends...)
				l.awaitWritten(writtenBetween)
				s.AwaitInStep()
				old := s.Primary()
				l.note("the primary is paused")
				old.Pause()
				s.AwaitPromotion(old)
				l.note("a replica is promoted")
				old.Resume()
				l.note("the old primary goes on")
				s.AwaitInStep() // the old primary follows the new one
				l.note("the old primary is a replica")
				l.awaitWritten(writtenBetween)
				// What the old primary had alone, the frontends have brought back.
				l.check()
			})
		}
	})
}

// TestPausedPrimaryOfTheSequencer is the same for the sequencer: with a replica awaited
// nothing is lost, and without, the loss is noticed.
func TestPausedPrimaryOfTheSequencer(t *testing.T) {
	eachArrangement(t, func(t *testing.T, a arrangement) {
		for _, d := range durabilities() {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				s := a.open(t, true, d, 2)
				l := startLoadOn(t, s.areas, s.Frontends...)
				l.mayBeStale = !d.losesNothing
				l.awaitWritten(writtenBetween)
				s.AwaitInStep()
				old := s.Primary()
				l.note("the primary is paused")
				old.Pause()
				s.AwaitPromotion(old)
				l.note("a replica is promoted")
				old.Resume()
				l.note("the old primary goes on")
				s.AwaitInStep()
				l.note("the old primary is a replica")
				afterReturn(t, l, d)
			})
		}
	})
}
