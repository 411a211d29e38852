package shards_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/shards"
)

func grant(ctx context.Context, client *clientv3.Client, id int64) (*pb.LeaseGrantResponse, error) {
	return pb.NewLeaseClient(client.ActiveConnection()).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: 3600})
}

// TestMoverKilledAtEachStep: a move whose mover dies is finished or undone by the
// frontends, while clients write, and no key is lost or changed by it.
func TestMoverKilledAtEachStep(t *testing.T) {
	t.Parallel()
	for _, step := range append([]string{"move-begin", "move-copy", "move-follow"}, crossingSteps...) {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			killMover(t, step)
		})
	}
}

func killMover(t *testing.T, step string) {
	c := cluster.Start(t, cluster.Options{Frontends: 2, Databases: 2, Args: []string{"--balance=false"}})
	shards.Spread(t, c, "h", "p")
	client := c.Client()
	if _, err := grant(t.Context(), client, lease); err != nil {
		t.Fatal(err)
	}
	const keys = 60
	for i := range keys {
		options := []clientv3.OpOption{}
		if i%3 == 0 {
			options = append(options, clientv3.WithLease(lease))
		}
		if _, err := client.Put(t.Context(), fmt.Sprintf("%c/%d", 'a'+i%26, i), "0", options...); err != nil {
			t.Fatal(err)
		}
	}
	stop := writing(t, client)
	before := unlocked(t, c)
	// The move takes keys from two shards, of which one is the home shard.
	if err := shards.Split(t.Context(), c, []byte("d")); err != nil {
		t.Fatal(err)
	}
	err := shards.Move(t.Context(), c, []string{"TIERD_TEST_KILL_AT=" + step}, []byte("d"), []byte("p"), 1)
	var failure *cluster.ToolError
	if !errors.As(err, &failure) || failure.Code != -1 {
		t.Fatalf("the mover did not die: %v", err)
	}
	m := unlocked(t, c)
	at := []byte("k")
	moved := m.Owner(at).Shard != before.Owner(at).Shard
	if moved != decided(step) {
		t.Errorf("the keys have moved: %v, want %v: %+v", moved, decided(step), m)
	}
	if err := shards.Move(t.Context(), c, nil, []byte("d"), []byte("p"), 0); err != nil {
		t.Errorf("the next move: %v", err)
	}
	stop()
	all, err := client.Get(t.Context(), "", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || all.Count != keys+writers {
		t.Errorf("%v keys, %v, want %d", all, err, keys+writers)
	}
	if _, err := client.Revoke(t.Context(), lease); err != nil {
		t.Error(err)
	}
	all, err = client.Get(t.Context(), "", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || all.Count != keys+writers-(keys+2)/3 {
		t.Errorf("after the revoke %v keys, %v", all, err)
	}
	shards.SameAsEtcd(t, c.Frontends)
}

// writers are how many keys are written again and again.
const writers = 4

// writing has clients write, until the function that it gives is called. No write may
// fail.
func writing(t *testing.T, client *clientv3.Client) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range writers {
		key := fmt.Sprintf("%c/own", "afkt"[i])
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := client.Put(t.Context(), key, fmt.Sprint(n)); err != nil && t.Context().Err() == nil {
					t.Errorf("put %s: %v", key, err)
					return
				}
				pause(ctx)
			}
		})
	}
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); running.Wait() }) }
	t.Cleanup(stop)
	return stop
}

// writePause paces each writer.
const writePause = 10 * time.Millisecond

func pause(ctx context.Context) {
	timer := time.NewTimer(writePause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
