package shards_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/shards"
)

const (
	// lockedMax is how long a dead frontend's locks may stand in the way: the promise is
	// two seconds, on a machine that does nothing else.
	lockedMax = 4 * time.Second
	// exitBound is how long a frontend may take to come to the step where it is killed.
	exitBound = 20 * time.Second
	// settleBound is how long a move may take that its mover does not end: it counts as
	// dead after ten seconds of silence.
	settleBound = 60 * time.Second
)

// crossingSteps are the steps of a change over several shards; from "plan" on it is
// decided.
var crossingSteps = []string{"ticket", "lock", "order", "evaluate", "plan", "apply", "finish"}

func decided(step string) bool { return step == "plan" || step == "apply" || step == "finish" }

// crossing is a request over several shards.
type crossing struct {
	name  string
	steps []string
	// before makes what it needs; make sends it through the frontend that is killed.
	before func(ctx context.Context, client *clientv3.Client) error
	make   func(ctx context.Context, client *clientv3.Client) error
	// done says that all of it has happened; an error that only a part has.
	done func(all *clientv3.GetResponse) (bool, error)
}

// keys lie on three shards.
var keys = []string{"a/1", "b/1", "m/1", "z/1"}

const lease = 77

func crossings() []crossing {
	put := func(ctx context.Context, client *clientv3.Client, options ...clientv3.OpOption) error {
		var ops []clientv3.Op
		for _, key := range keys {
			ops = append(ops, clientv3.OpPut(key, "before", options...))
		}
		_, err := client.Txn(ctx).Then(ops...).Commit()
		return err
	}
	gone := func(all *clientv3.GetResponse) (bool, error) {
		if n := len(all.Kvs); n != 0 && n != len(keys) {
			return false, fmt.Errorf("%d of %d keys are there: %v", n, len(keys), all.Kvs)
		}
		return len(all.Kvs) == 0, nil
	}
	return []crossing{
		{name: "txn", steps: crossingSteps,
			before: func(ctx context.Context, c *clientv3.Client) error { return put(ctx, c) },
			make: func(ctx context.Context, c *clientv3.Client) error {
				var ops []clientv3.Op
				for _, key := range keys {
					ops = append(ops, clientv3.OpPut(key, "after"))
				}
				_, err := c.Txn(ctx).Then(ops...).Commit()
				return err
			},
			done: func(all *clientv3.GetResponse) (bool, error) {
				if len(all.Kvs) != len(keys) {
					return false, fmt.Errorf("%d keys of %d are there", len(all.Kvs), len(keys))
				}
				for _, kv := range all.Kvs {
					if first := all.Kvs[0]; string(kv.Value) != string(first.Value) || kv.ModRevision != first.ModRevision {
						return false, fmt.Errorf("a part of the transaction has happened: %v", all.Kvs)
					}
				}
				return string(all.Kvs[0].Value) == "after", nil
			}},
		{name: "delete", steps: []string{"lock", "plan", "apply"},
			before: func(ctx context.Context, c *clientv3.Client) error { return put(ctx, c) },
			make: func(ctx context.Context, c *clientv3.Client) error {
				_, err := c.Delete(ctx, "a", clientv3.WithFromKey())
				return err
			},
			done: gone},
		{name: "revoke", steps: []string{"lock", "plan", "apply"},
			before: func(ctx context.Context, c *clientv3.Client) error {
				if _, err := c.Revoke(ctx, lease); err != nil && !strings.Contains(err.Error(), "lease not found") {
					return err
				}
				if _, err := grant(ctx, c, lease); err != nil {
					return err
				}
				return put(ctx, c, clientv3.WithLease(lease))
			},
			make: func(ctx context.Context, c *clientv3.Client) error {
				_, err := c.Revoke(ctx, lease)
				return err
			},
			done: gone},
	}
}

// TestFrontendKilledAtEachStep: a frontend that dies in a change over several shards
// leaves nothing half done and nothing locked.
func TestFrontendKilledAtEachStep(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Frontends: 3, Servers: 2, Databases: 2, Args: []string{"--balance=false"}})
	shards.Spread(t, c, "b", "m", "p")
	client := c.Frontends[0].Client()
	for _, crossing := range crossings() {
		for _, step := range crossing.steps {
			t.Run(crossing.name+" at "+step, func(t *testing.T) {
				if err := crossing.before(t.Context(), client); err != nil {
					t.Fatal(err)
				}
				victim := startVictim(t, c, step)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				answered := make(chan error, 1)
				through := victim.Client()
				go func() { answered <- crossing.make(ctx, through) }()
				victim.WaitExit(exitBound)
				died := time.Now()
				cancel() // some requests are tried again for as long
				if err := <-answered; err == nil {
					t.Fatal("it was answered by a frontend that had to die")
				}
				awaitWhole(t, c, crossing, decided(step))
				awaitWritable(t, c)
				t.Logf("%v after the frontend died everything could be written", time.Since(died).Round(time.Millisecond))
			})
			if t.Failed() {
				return
			}
		}
	}
	unlocked(t, c)
	shards.SameAsEtcd(t, c.Frontends)
}

// startVictim starts one more frontend, which dies at a step.
func startVictim(t *testing.T, c *cluster.Cluster, step string) *cluster.Frontend {
	t.Helper()
	return cluster.StartFrontend(t, cluster.FrontendOptions{
		Name: "victim", HotTier: strings.Join(c.HotTier, ","), Args: []string{"--balance=false"}, Env: []string{"TIERD_TEST_KILL_AT=" + step},
	})
}

// awaitWhole waits until the keys can be read, and checks that all of the change has
// happened or nothing.
func awaitWhole(t *testing.T, c *cluster.Cluster, crossing crossing, want bool) {
	t.Helper()
	for _, f := range c.Frontends {
		client := f.Client()
		cluster.Await(t, lockedMax, "the keys can be read", func() error {
			ctx, cancel := context.WithTimeout(t.Context(), lockedMax)
			defer cancel()
			all, err := client.Get(ctx, "a", clientv3.WithFromKey())
			if err != nil {
				return err
			}
			got, err := crossing.done(all)
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Fatalf("done: %v, want %v: %v", got, want, all.Kvs)
			}
			return nil
		})
	}
}

// awaitWritable writes every key through other frontends.
func awaitWritable(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lockedMax)
	defer cancel()
	failures := make([]error, len(keys))
	var writing sync.WaitGroup
	for i, key := range keys {
		client := c.Frontends[i%len(c.Frontends)].Client()
		writing.Go(func() { _, failures[i] = client.Put(ctx, key, "free") })
	}
	writing.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatalf("a key cannot be written %v after the frontend died: %v", lockedMax, err)
	}
}

// unlocked waits until no shard is locked and no move is under way.
func unlocked(t *testing.T, c *cluster.Cluster) shards.Map {
	t.Helper()
	var m shards.Map
	cluster.Await(t, settleBound, "no shard is locked, and no move is under way", func() (err error) {
		if m, err = shards.Read(t.Context(), c); err != nil {
			return err
		}
		if m.Move != nil {
			return fmt.Errorf("a move is under way: %s", *m.Move)
		}
		for _, s := range m.Shards {
			if s.Locked || s.Failure != "" {
				return fmt.Errorf("%+v", s)
			}
		}
		return nil
	})
	return m
}
