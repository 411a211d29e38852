package backup

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/shards"
)

func grantAs(ctx context.Context, client *clientv3.Client, id, ttl int64) error {
	_, err := pb.NewLeaseClient(client.ActiveConnection()).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: ttl})
	return err
}

// snapshotsOften makes a snapshot after every 200 kB of keys and values.
var snapshotsOften = []string{"--snapshot-log-bytes", "200000"}

// TestCalm: with nothing in the way, what the archive has is what there was.
func TestCalm(t *testing.T) {
	t.Parallel()
	p := folder(t)
	c := cluster.Start(t, cluster.Options{Args: p.args(snapshotsOften...)})
	l := startLoad(t, c, seed(t), 6, true)
	pause(t.Context(), *loadFlag)
	check(t, p, c, l, 1)
}

// TestWriterStruck: whoever writes the archive is killed, or sleeps until another one has taken over and wakes up then.
func TestWriterStruck(t *testing.T) {
	t.Parallel()
	seed := seed(t)
	p := folder(t)
	c := cluster.Start(t, cluster.Options{Frontends: 3, Args: p.args(snapshotsOften...)})
	l := startLoad(t, c, seed, 6, false)
	ctx, cancel := context.WithTimeout(t.Context(), *loadFlag)
	defer cancel()
	strikeWriters(ctx, t, c.Frontends, rand.New(rand.NewPCG(seed, 2)), 2)
	check(t, p, c, l, seed)
}

// TestFaults: the writer is struck, and so are its calls to an S3 server.
func TestFaults(t *testing.T) {
	t.Parallel()
	seed := seed(t)
	p := s3(t)
	c := cluster.Start(t, cluster.Options{Frontends: 2, Args: p.args(snapshotsOften...), Env: p.env(2)})
	l := startLoad(t, c, seed, 6, false)
	ctx, cancel := context.WithTimeout(t.Context(), *loadFlag)
	defer cancel()
	var calls sync.WaitGroup
	calls.Go(func() { strikeCalls(ctx, t, p.faults, rand.New(rand.NewPCG(seed, 3))) })
	strikeWriters(ctx, t, c.Frontends, rand.New(rand.NewPCG(seed, 2)), 1)
	calls.Wait()
	check(t, p, c, l, seed)
}

// changePause lies between two changes of the shard map, so that there is a load, too.
const changePause = 200 * time.Millisecond

// boundaries cut the load's keys into four parts.
var boundaries = []string{"g", "m", "t"}

// TestShards: the keys are on four shards, whose ranges split, move and merge meanwhile, while the writer and its
// calls are struck.
func TestShards(t *testing.T) {
	t.Parallel()
	seed := seed(t)
	p := s3(t)
	c := cluster.Start(t, cluster.Options{Frontends: 2, Servers: 2, Databases: 2, Args: p.args(append(snapshotsOften, "--balance=false")...), Env: p.env(2)})
	shards.Spread(t, c, boundaries...)
	l := startLoad(t, c, seed, 6, false)
	ctx, cancel := context.WithTimeout(t.Context(), *loadFlag)
	defer cancel()
	var beside sync.WaitGroup
	beside.Go(func() { strikeCalls(ctx, t, p.faults, rand.New(rand.NewPCG(seed, 3))) })
	beside.Go(func() { changeShards(ctx, t, c, rand.New(rand.NewPCG(seed, 4))) })
	strikeWriters(ctx, t, c.Frontends, rand.New(rand.NewPCG(seed, 2)), 1)
	beside.Wait()
	check(t, p, c, l, seed)
}

// changeShards changes the shard map until ctx ends.
func changeShards(ctx context.Context, t *testing.T, c *cluster.Cluster, random *rand.Rand) {
	changer := &shards.Changer{Rand: random, Cluster: c, Ranges: 4}
	changer.Key = func() []byte { return []byte{byte('a' + random.IntN(26)), '/'} }
	changes := 0
	for ctx.Err() == nil {
		// A change may meet a frontend that is being killed: what it leaves, others bring to its end.
		if what, err := changer.Change(t.Context()); err == nil && what != "" {
			changes++
		}
		pause(ctx, changePause)
	}
	t.Logf("%d changes of the shard map", changes)
}

// check compares the archive with what a load has recorded.
func check(t *testing.T, p *place, c *cluster.Cluster, l *load, seed uint64) {
	t.Helper()
	client := c.Client()
	last := l.end(client)
	archive := p.open(t)
	listed := awaitArchived(t, archive, client, last)
	t.Logf("%d revisions, %d writes acknowledged, %d calls failed, %d leases, %d compactions; %d bases, %d segments, %d claims, %d void, gaps %v",
		last, len(l.writes), l.failures.Load(), len(l.leases), len(l.compactions), len(listed.Bases), len(listed.Log), len(listed.Claims),
		len(listed.VoidSegments)+len(listed.VoidBases), listed.Gaps)
	if len(listed.Gaps) > 0 {
		t.Errorf("the archive has gaps: %+v", listed.Gaps)
	}
	compared := &comparison{T: t, record: l.record, archive: archive, catalog: listed, etcd: newReplay(t, l.events), last: last}
	compared.live(client)
	compared.compare(rand.New(rand.NewPCG(seed, 1)), *targetsFlag, *restoresFlag)
	p.unreadable(t)
}

// live checks that the latest revision of the archive is the live keyspace: keys, leases, and etcd's hash.
func (c *comparison) live(client *clientv3.Client) {
	c.Helper()
	plan, err := c.archive.Plan(c.Context(), c.catalog, backup.Target{})
	if err != nil {
		c.Fatal(err)
	}
	f := c.read(plan)
	live, err := client.HashKV(c.Context(), client.Endpoints()[0], 0)
	if err != nil {
		c.Fatal(err)
	}
	if got := f.hash(c.T); got != live.Hash || live.CompactRevision != int64(f.end.Compacted) {
		c.Errorf("the archive's hash is %08x (compacted %d), that of the live keyspace %08x (%d)", got, f.end.Compacted, live.Hash, live.CompactRevision)
	}
	leases, err := client.Leases(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	there := make(map[int64]bool)
	for _, l := range leases.Leases {
		there[int64(l.ID)] = true
	}
	for _, l := range f.end.Leases {
		if !there[l.ID] {
			c.Errorf("the archive has the lease %x, which has ended", l.ID)
		}
		delete(there, l.ID)
	}
	for id := range there {
		c.Errorf("the archive does not have the lease %x", id)
	}
}
