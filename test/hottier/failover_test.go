package hottier

import (
	"context"
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// durability is what frontends wait for before they acknowledge a write.
type durability struct {
	name string
	args []string
	// losesNothing says that an old primary which comes back cannot have a write
	// acknowledged that the new one lacks. Without it that may happen, and must be
	// noticed.
	losesNothing bool
}

// durabilities are all of them that a frontend offers.
func durabilities() []durability {
	return []durability{{name: "primary"}, {name: "one replica", args: []string{"--replica-acks", "1"}, losesNothing: true}}
}

// eachDurability runs a test with each. A primary that knows that it has no replica
// takes no writes: what it alone has is only what it did not know of.
func eachDurability(t *testing.T, run func(t *testing.T, config []string, d durability)) {
	t.Parallel()
	for _, d := range durabilities() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			run(t, []string{"--min-replicas-to-write", "1", "--min-replicas-max-lag", "2"}, d)
		})
	}
}

// losing loses a primary in the middle of writes, if no write is lost with it, or else
// when its replicas are in step.
func losing(l *load, d durability, awaitInStep func(), how string, lose func()) {
	end := func() {
		awaitInStep()
		l.note(how)
		lose()
	}
	if d.losesNothing {
		end()
		return
	}
	l.calmly(end)
}

// afterReturn checks what there is after an old primary came back.
func afterReturn(t *testing.T, l *load, d durability) {
	t.Helper()
	err := l.goesOn(writtenBetween)
	switch {
	case errors.Is(err, errCorrupt) && !d.losesNothing:
		t.Log("a write of the old primary was acknowledged and is lost, which was noticed")
		l.checkNothingServed()
	case err != nil:
		l.awaitWritten(writtenBetween) // says why not
	default:
		l.check()
	}
}

func putRevision(t *testing.T, ctx context.Context, client *clientv3.Client, key string) int64 {
	t.Helper()
	resp, err := client.Put(ctx, key, "x")
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.Revision
}

// TestFailoverThatLosesWrites: the promoted replica lacks writes that a live frontend
// has acknowledged. Nothing is served any more, and the CORRUPT alarm says why.
func TestFailoverThatLosesWrites(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	set := cluster.StartReplicaSet(t, cluster.ReplicaSetOptions{})
	client := cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: set.URL()}).Client()
	putRevision(t, ctx, client, "a")
	set.AwaitInStep()
	primary := set.Primary()
	cut := set.CutReplicasOff()
	putRevision(t, ctx, client, "lost")
	primary.Kill()
	for _, replica := range cut {
		replica.Resume()
	}
	cluster.Await(t, bound, "the loss is noticed", func() error {
		_, err := client.Get(ctx, "a", clientv3.WithSerializable())
		if err == nil {
			t.Fatal("a read was answered although an acknowledged write is lost")
		}
		if !errors.Is(err, rpctypes.ErrCorrupt) {
			return err
		}
		return nil
	})
}

// TestFailoverOfSentinels: the primary dies, and a replica that has everything is
// promoted. Frontends follow, and nothing that was acknowledged is lost.
func TestFailoverOfSentinels(t *testing.T) {
	eachDurability(t, func(t *testing.T, config []string, d durability) {
		set := cluster.StartReplicaSet(t, cluster.ReplicaSetOptions{Replicas: 2, Sentinels: 3, Config: config})
		l := startLoad(t, cluster.Start(t, cluster.Options{Frontends: 2, HotTier: []string{set.URL()}, Args: d.args}).Frontends...)
		l.awaitWritten(writtenBetween)
		old := set.Primary()
		losing(l, d, set.AwaitInStep, "the primary is killed", old.Kill)
		set.AwaitPromotion(old)
		l.note("a replica is promoted")
		// It has no replica before the old primary is back.
		old.Restart()
		l.awaitWritten(writtenBetween)
		l.check()
	})
}

// TestPausedPrimaryOfSentinels: the primary is paused until a replica is in its place,
// and then goes on, for eight seconds in the belief that it still is the primary.
func TestPausedPrimaryOfSentinels(t *testing.T) {
	eachDurability(t, func(t *testing.T, config []string, d durability) {
		set := cluster.StartReplicaSet(t, cluster.ReplicaSetOptions{Sentinels: 3, Config: config})
		l := startLoad(t, cluster.Start(t, cluster.Options{Frontends: 2, HotTier: []string{set.URL()}, Args: d.args}).Frontends...)
		l.awaitWritten(writtenBetween)
		set.AwaitInStep()
		old := set.Primary()
		l.note("the primary is paused")
		old.Pause()
		set.AwaitPromotion(old)
		l.note("a replica is promoted")
		old.Resume()
		l.note("the old primary goes on")
		set.AwaitInStep() // the old primary follows the new one
		l.note("the old primary is a replica")
		afterReturn(t, l, d)
	})
}

// TestPartitionOfSentinels: the primary is cut off from its replica and the Sentinels,
// together with a frontend that asks nobody else.
func TestPartitionOfSentinels(t *testing.T) {
	eachDurability(t, func(t *testing.T, config []string, d durability) {
		set := cluster.StartReplicaSet(t, cluster.ReplicaSetOptions{Replicas: 2, Sentinels: 3, Wired: true, Config: config})
		old := set.Primary()
		l := startLoad(t,
			cluster.StartFrontend(t, cluster.FrontendOptions{Name: "far", HotTier: set.URL(), Args: d.args}),
			cluster.StartFrontend(t, cluster.FrontendOptions{Name: "near", HotTier: old.URL(), Args: d.args}))
		// Nothing tells a primary that acknowledges by itself that it is one no more.
		l.mayBeStale = !d.losesNothing
		l.awaitWritten(writtenBetween)
		losing(l, d, set.AwaitInStep, "the primary is cut off", set.Wire.Cut)
		set.AwaitPromotion(old)
		l.note("a replica is promoted")
		const far = 1 // the other frontend asks what cannot be written to any more
		if err := l.goOn(writtenBetween, far); err != nil {
			t.Error(err)
		}
		set.Wire.Mend()
		l.note("the primary is back")
		set.AwaitInStep()
		l.note("the old primary is a replica")
		l.checkOn(far)
	})
}

// keyspaceSlot is a key in the slot of the keyspace that frontends take by default.
const keyspaceSlot = "{default:seq}"

// TestFailoverOfCluster: the node dies that has the keyspace's slot.
func TestFailoverOfCluster(t *testing.T) {
	eachDurability(t, func(t *testing.T, config []string, d durability) {
		nodes := cluster.StartRedisCluster(t, cluster.RedisClusterOptions{Replicas: 1, Config: config})
		l := startLoad(t, cluster.Start(t, cluster.Options{Frontends: 2, HotTier: []string{nodes.URL()}, Args: d.args}).Frontends...)
		l.awaitWritten(writtenBetween)
		old := nodes.Primary(keyspaceSlot)
		losing(l, d, nodes.AwaitInStep, "the primary is killed", old.Kill)
		nodes.AwaitPromotion(keyspaceSlot, old)
		l.note("a replica is promoted")
		// It has no replica before the old primary is back.
		old.Restart()
		l.awaitWritten(writtenBetween)
		l.check()
	})
}

// TestPausedPrimaryOfCluster: the node is paused that has the keyspace's slot, until
// its replica has taken it, and then goes on.
func TestPausedPrimaryOfCluster(t *testing.T) {
	eachDurability(t, func(t *testing.T, config []string, d durability) {
		nodes := cluster.StartRedisCluster(t, cluster.RedisClusterOptions{Replicas: 1, Config: config})
		l := startLoad(t, cluster.Start(t, cluster.Options{Frontends: 2, HotTier: []string{nodes.URL()}, Args: d.args}).Frontends...)
		l.awaitWritten(writtenBetween)
		nodes.AwaitInStep()
		old := nodes.Primary(keyspaceSlot)
		l.note("the primary is paused")
		old.Pause()
		nodes.AwaitPromotion(keyspaceSlot, old)
		l.note("a replica is promoted")
		old.Resume()
		l.note("the old primary goes on")
		nodes.AwaitInStep()
		afterReturn(t, l, d)
	})
}
