package router_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
)

// apart is a keyspace whose keys from "m" on lie on a Redis of their own.
type apart struct {
	t         *testing.T
	keyspaces []*router.Keyspace
	// shard is that Redis.
	shard redis.UniversalClient
}

// openApart opens it through some frontends, the first of which calls step.
func openApart(t *testing.T, frontends int, step func(a *apart, name string)) *apart {
	t.Helper()
	server, _ := startRedis(t)
	other, client := startRedis(t)
	a := &apart{t: t, shard: client}
	for i := range frontends {
		var hook func(string)
		if i == 0 && step != nil {
			hook = func(name string) { step(a, name) }
		}
		a.keyspaces = append(a.keyspaces, openFleet(t, server, uint64(i+1), hook))
	}
	k := a.keyspaces[len(a.keyspaces)-1]
	id, err := k.AddEndpoint(t.Context(), other.URL())
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Move(t.Context(), []byte("m"), nil, id, nil); err != nil {
		t.Fatal(err)
	}
	return a
}

// failOver makes another life of the shard's Redis, as if a replica with the same data
// had been promoted.
func (a *apart) failOver() {
	ctx := context.Background()
	for _, command := range [][]any{{"replicaof", "127.0.0.1", "1"}, {"replicaof", "no", "one"}, {"script", "flush"}} {
		if err := a.shard.Do(ctx, command...).Err(); err != nil {
			a.t.Errorf("%v: %v", command, err)
		}
	}
}

// putBoth puts a key on each of two shards in one transaction.
func putBoth(ctx context.Context, k *router.Keyspace, value string) (*pb.TxnResponse, error) {
	var ops []*pb.RequestOp
	for _, key := range []string{"a", "z"} {
		ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}})
	}
	return k.Txn(ctx, &pb.TxnRequest{Success: ops})
}

// hasBoth checks that both keys have a value since one revision.
func (a *apart) hasBoth(k *router.Keyspace, value string) {
	a.t.Helper()
	resp := get(a.t, k, "a", "\x00", 0)
	if len(resp.Kvs) != 2 || string(resp.Kvs[0].Value) != value || string(resp.Kvs[1].Value) != value ||
		resp.Kvs[0].ModRevision != resp.Kvs[1].ModRevision {
		a.t.Errorf("there is %v", resp.Kvs)
	}
	if alarms, err := k.Alarms(a.t.Context()); err != nil || len(alarms) > 0 {
		a.t.Errorf("alarms %v, %v", alarms, err)
	}
}

// TestPlanOfAShardThatFailsOver: a plan has been decided when a shard that it concerns
// fails over. Its position is ordered there and missing: it is carried out, not lost.
func TestPlanOfAShardThatFailsOver(t *testing.T) {
	t.Parallel()
	var armed bool
	a := openApart(t, 1, func(a *apart, name string) {
		if name == "plan" && armed {
			armed = false
			a.failOver()
		}
	})
	armed = true
	if _, err := putBoth(t.Context(), a.keyspaces[0], "x"); err != nil {
		t.Fatal(err)
	}
	if armed {
		t.Fatal("no plan was made")
	}
	a.hasBoth(a.keyspaces[0], "x")
}

// TestPlanOfAShardThatFailsOverIsForOthers: so it is where the frontend that made it is
// gone.
func TestPlanOfAShardThatFailsOverIsForOthers(t *testing.T) {
	t.Parallel()
	decided, over := make(chan struct{}), make(chan struct{})
	a := openApart(t, 2, func(a *apart, name string) {
		if name == "plan" {
			a.failOver()
			close(decided)
			<-over
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = putBoth(context.Background(), a.keyspaces[0], "x") // nobody hears the answer
	}()
	<-decided
	a.hasBoth(a.keyspaces[1], "x")
	close(over)
	<-done
	a.hasBoth(a.keyspaces[1], "x")
}

// TestAShardOutOfReachLocksNoOther: a transaction over a shard that answers and one that
// does not comes to nothing, and the one that answers is written meanwhile.
func TestAShardOutOfReachLocksNoOther(t *testing.T) {
	t.Parallel()
	a := openApart(t, 2, nil)
	k := a.keyspaces[0]
	if err := k.Move(t.Context(), []byte("c"), []byte("m"), 0, nil); err != nil {
		t.Fatal(err)
	}
	put(t, k, "c", "before")
	const silence = 10 * time.Second
	if err := a.shard.Do(t.Context(), "client", "pause", silence.Milliseconds(), "all").Err(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	var crossing sync.WaitGroup
	crossing.Go(func() {
		for _, frontend := range a.keyspaces {
			short, cancel := context.WithTimeout(ctx, time.Second)
			_, _ = frontend.Txn(short, &pb.TxnRequest{Success: []*pb.RequestOp{
				{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("c"), Value: []byte("x")}}},
				{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("z"), Value: []byte("x")}}},
			}}) // it fails, or is done after the silence
			cancel()
		}
	})
	written := 0
	for time.Since(began) < silence/3 {
		for _, key := range []string{"a", "c"} {
			if _, err := a.keyspaces[1].Put(ctx, &pb.PutRequest{Key: []byte(key), Value: []byte("meanwhile")}); err != nil {
				t.Fatalf("put %q after %d: %v", key, written, err)
			}
			written++
		}
	}
	if time.Since(began) >= silence {
		t.Errorf("the last of %d puts waited for the shard that is out of reach", written)
	}
	crossing.Wait()
}

// TestGateSurvivesFailover: the promoted replica of a shard has not heard that the shard
// has given its keys away. A frontend with an old map is refused all the same.
func TestGateSurvivesFailover(t *testing.T) {
	t.Parallel()
	a := openApart(t, 1, nil)
	k := a.keyspaces[0]
	put(t, k, "z", "before")
	if err := k.Move(t.Context(), []byte("p"), nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	const order = "{test:s1}:order"
	before, err := a.shard.HGet(t.Context(), order, "gate").Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.shard.HDel(t.Context(), order, "gate").Err(); err != nil {
		t.Fatal(err)
	}
	a.failOver()
	put(t, k, "m", "x") // it is entered
	if after, err := a.shard.HGet(t.Context(), order, "gate").Result(); err != nil || after != before {
		t.Fatalf("the gate is %q, %v; it was %q", after, err, before)
	}
	put(t, k, "z", "after")
}

// TestShardsAreWitnesses: the sequencer comes back without its end while no frontend is
// there. What a shard knows shows it, before anything is served.
func TestShardsAreWitnesses(t *testing.T) {
	t.Parallel()
	server, client := startRedis(t)
	other, _ := startRedis(t)
	var old router.Revision
	t.Run("before", func(t *testing.T) {
		k := openFleet(t, server, 1, nil)
		id, err := k.AddEndpoint(t.Context(), other.URL())
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Move(t.Context(), []byte("m"), nil, id, nil); err != nil {
			t.Fatal(err)
		}
		old = put(t, k, "z", "1")
		put(t, k, "z", "2")
		get(t, k, "z", "", 0) // the shard is told
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	// As if it had come back from what it had on disk a moment before.
	for _, command := range [][]any{{"hset", "{test:seq}:order", "revision", int64(old), "run", "another"}, {"script", "flush"}} {
		if err := client.Do(ctx, command...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	late := openFleet(t, server, 2, nil)
	if _, err := late.Put(ctx, &pb.PutRequest{Key: []byte("a"), Value: []byte("x")}); !errors.Is(err, router.ErrCorrupt) {
		t.Fatalf("a put was answered with %v", err)
	}
	loss, err := late.Loss(ctx)
	if err != nil || loss.Revision != old || loss.Witnessed != old+1 || loss.Reason == "" {
		t.Fatalf("%+v, %v", loss, err)
	}
}
