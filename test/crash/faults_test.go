package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// TestPausedFrontend: a frontend sleeps (SIGSTOP) while Redis is killed and another
// frontend takes it into service again and writes. When it wakes up, its call from
// before is answered or refused, it reads what the other wrote, and no revision is
// used twice.
func TestPausedFrontend(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Frontends: 2})
	asleep, awake := c.Frontends[0], c.Frontends[1]
	sleeper, writer := asleep.Client(), awake.Client()
	acknowledged := map[string]int64{"load-before": putOne(t, sleeper, "load-before")}
	asleep.Pause()
	late := make(chan int64, 1)
	go func() {
		resp, err := sleeper.Put(t.Context(), "load-late", "x")
		if err != nil {
			late <- 0
			return
		}
		late <- resp.Header.Revision
	}()
	c.Redis.Kill()
	c.Redis.Restart()
	var last int64
	for i := range 20 {
		key := fmt.Sprintf("load-meanwhile-%d", i)
		last = putOne(t, writer, key)
		acknowledged[key] = last
	}
	asleep.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	got, err := sleeper.Get(ctx, "load-meanwhile-19")
	if err != nil || len(got.Kvs) != 1 || got.Kvs[0].ModRevision != last {
		t.Fatalf("the frontend that slept reads %v, %v; want revision %d", got, err, last)
	}
	if revision := <-late; revision != 0 {
		acknowledged["load-late"] = revision
	}
	acknowledged["load-after"] = putOne(t, sleeper, "load-after")
	account(t, writer, acknowledged)
}

// cutSeen is how long a client tries to read over a network that is cut.
const cutSeen = 2 * time.Second

// TestNetworkCut: a frontend that cannot reach Redis says so, refuses calls, and
// ends the watches of clients that require a leader; another frontend serves on.
// When the network is back, it goes on by itself, and a watch that was open all the
// while tells what the other frontend wrote, once and in order.
func TestNetworkCut(t *testing.T) {
	t.Parallel()
	server := cluster.StartRedis(t, cluster.RedisOptions{})
	wire := cluster.NewWire(t, server)
	far := cluster.StartFrontend(t, cluster.FrontendOptions{Name: "far", HotTier: wire.URL()})
	near := cluster.StartFrontend(t, cluster.FrontendOptions{Name: "near", HotTier: server.URL()})
	client, other := far.Client(), near.Client()
	putOne(t, client, "k-before")
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	patient := client.Watch(ctx, "k-", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	strict := far.Client().Watch(clientv3.WithRequireLeader(ctx), "k-", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	for _, watch := range []clientv3.WatchChan{patient, strict} {
		if created := <-watch; !created.Created {
			t.Fatalf("the watch says %v", created)
		}
	}
	wire.Cut()
	bounded, giveUp := context.WithTimeout(ctx, cutSeen)
	defer giveUp()
	if _, err := client.Get(bounded, "k-before"); err == nil {
		t.Fatal("a linearizable read was answered without Redis")
	}
	if ended := <-strict; !errors.Is(ended.Err(), rpctypes.ErrNoLeader) {
		t.Fatalf("the watch that requires a leader ends with %v", ended.Err())
	}
	cluster.Await(t, bound, "the frontend says that it is not ready", func() error {
		if far.Ready() == nil {
			return errors.New("it is ready")
		}
		return nil
	})
	var want []int64
	for i := range 10 {
		want = append(want, putOne(t, other, fmt.Sprintf("k-%d", i)))
	}
	wire.Mend()
	far.AwaitReady()
	want = append(want, putOne(t, client, "k-after"))
	for len(want) > 0 {
		response := <-patient
		if err := response.Err(); err != nil {
			t.Fatal(err)
		}
		for _, e := range response.Events {
			if len(want) == 0 || e.Kv.ModRevision != want[0] {
				t.Fatalf("the watch tells revision %d, want %v", e.Kv.ModRevision, want)
			}
			want = want[1:]
		}
	}
}

// TestFlushedScripts: Redis forgets its scripts without restarting. Nobody notices,
// and it is not taken for a new life of Redis.
func TestFlushedScripts(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Frontends: 2})
	load := startLoad(t, c, 4)
	for round := range 5 {
		load.awaitAcknowledged(t, (round+1)*50)
		if err := c.Redis.Client().ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	load.awaitAcknowledged(t, 300)
	acknowledged := load.stop()
	account(t, c.Frontends[0].Client(), acknowledged)
	status, err := c.Frontends[0].Client().Status(t.Context(), c.Endpoint())
	if err != nil || status.RaftTerm != 1 {
		t.Fatalf("status %v, %v: the term counts lives of Redis", status, err)
	}
}

// TestEmptiedRedis: somebody empties Redis under live frontends (FLUSHALL, or a
// restart from nothing). They have seen more than an empty keyspace, and refuse.
func TestEmptiedRedis(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Frontends: 2})
	for _, f := range c.Frontends {
		putOne(t, f.Client(), "kept-0")
	}
	if err := c.Redis.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for _, f := range c.Frontends {
		refusesEverything(t, f.Client())
	}
}

// TestClientsThatLeave: clients give calls up at any moment. What one of them gave up
// is done or not; what was acknowledged is there, and every revision is accounted for.
func TestClientsThatLeave(t *testing.T) {
	t.Parallel()
	const (
		clients, calls = 8, 150
		patienceMax    = 4 * time.Millisecond
	)
	c := cluster.Start(t, cluster.Options{Frontends: 2})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	var running sync.WaitGroup
	acknowledged := make(map[string]int64)
	for number := range clients {
		client := c.Frontends[number%2].Client()
		random := rand.New(rand.NewPCG(seed, uint64(number)))
		running.Go(func() {
			for i := range calls {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.Int64N(int64(patienceMax))))
				key := fmt.Sprintf("load-%d-%d", number, i)
				resp, err := client.Put(ctx, key, "x")
				cancel()
				if err == nil {
					mu.Lock()
					acknowledged[key] = resp.Header.Revision
					mu.Unlock()
				}
			}
		})
	}
	running.Wait()
	if len(acknowledged) == clients*calls {
		t.Error("no call was given up")
	}
	acknowledged["load-after"] = putOne(t, c.Frontends[0].Client(), "load-after")
	account(t, c.Frontends[1].Client(), acknowledged)
}

// TestReadersMeetCompaction: lists at old revisions, page by page, and watches from
// old revisions, while compaction follows close behind: each is answered with the
// whole truth, or told that its revision is compacted.
func TestReadersMeetCompaction(t *testing.T) {
	t.Parallel()
	const keys, behind, wanted = 100, 20, 5
	c := cluster.Start(t, cluster.Options{Frontends: 2})
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	var latest atomic.Int64
	var running sync.WaitGroup
	enough := make(chan struct{})
	defer running.Wait()
	defer close(enough)
	running.Go(func() { writeVersions(ctx, t, c.Frontends[0].Client(), keys, &latest, enough) })
	running.Go(func() {
		for client := c.Frontends[1].Client(); open(enough) && ctx.Err() == nil; {
			at := latest.Load() - behind
			if _, err := client.Compact(ctx, at, clientv3.WithCompactPhysical()); at > 1 && err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
				t.Errorf("compact at revision %d: %v", at, err)
				return
			}
		}
	})
	client, answered, overtaken := c.Frontends[1].Client(), 0, 0
	for answered < wanted || overtaken < wanted {
		at := latest.Load() - rand.Int64N(2*behind)
		if at < 2 {
			continue
		}
		switch err := consistent(ctx, client, at, keys); {
		case errors.Is(err, rpctypes.ErrCompacted):
			overtaken++
		case err != nil:
			t.Fatalf("%d lists were answered, %d overtaken, then %v", answered, overtaken, err)
		default:
			answered++
		}
	}
}

func open(done chan struct{}) bool {
	select {
	case <-done:
		return false
	default:
		return true
	}
}

// writeVersions writes all keys in one transaction, again and again.
func writeVersions(ctx context.Context, t *testing.T, client *clientv3.Client, keys int, latest *atomic.Int64, enough chan struct{}) {
	for version := 0; open(enough) && ctx.Err() == nil; version++ {
		ops := make([]clientv3.Op, keys)
		for i := range ops {
			ops[i] = clientv3.OpPut(fmt.Sprintf("k-%03d", i), fmt.Sprint(version))
		}
		resp, err := client.Txn(ctx).Then(ops...).Commit()
		if err != nil {
			t.Errorf("write version %d: %v", version, err)
			return
		}
		latest.Store(resp.Header.Revision)
	}
}

// consistent lists the keys at a revision in pages, and reads the events of that
// revision from a watch: all of one transaction.
func consistent(ctx context.Context, client *clientv3.Client, at int64, keys int) error {
	value, from := "", "k-"
	for n := 0; n < keys; {
		resp, err := client.Get(ctx, from, clientv3.WithRange("l"), clientv3.WithRev(at), clientv3.WithLimit(30))
		if err != nil {
			return err
		}
		if len(resp.Kvs) == 0 {
			return fmt.Errorf("%d keys at revision %d, want %d", n, at, keys)
		}
		for _, kv := range resp.Kvs {
			if n == 0 {
				value = string(kv.Value)
			}
			if kv.ModRevision != at || string(kv.Value) != value || string(kv.Key) != fmt.Sprintf("k-%03d", n) {
				return fmt.Errorf("at revision %d, %v is key %d", at, kv, n)
			}
			n++
			from = string(kv.Key) + "\x00"
		}
	}
	bounded, cancel := context.WithCancel(ctx)
	defer cancel()
	response := <-client.Watch(bounded, "k-", clientv3.WithPrefix(), clientv3.WithRev(at))
	if err := response.Err(); err != nil {
		return err
	}
	if len(response.Events) < keys || response.Events[keys-1].Kv.ModRevision != at {
		return fmt.Errorf("the watch from revision %d begins with %d events", at, len(response.Events))
	}
	return nil
}
