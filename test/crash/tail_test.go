package crash

import (
	"context"
	"errors"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// calls are one of each sort that reads or writes.
func calls() map[string]func(context.Context, *clientv3.Client) error {
	return map[string]func(context.Context, *clientv3.Client) error{
		"read": func(ctx context.Context, c *clientv3.Client) error { _, err := c.Get(ctx, "kept-0"); return err },
		"serializable read": func(ctx context.Context, c *clientv3.Client) error {
			_, err := c.Get(ctx, "kept-0", clientv3.WithSerializable())
			return err
		},
		"read of the past": func(ctx context.Context, c *clientv3.Client) error {
			_, err := c.Get(ctx, "kept-0", clientv3.WithRev(2))
			return err
		},
		"list": func(ctx context.Context, c *clientv3.Client) error {
			_, err := c.Get(ctx, "", clientv3.WithPrefix())
			return err
		},
		"put":    func(ctx context.Context, c *clientv3.Client) error { _, err := c.Put(ctx, "new", "x"); return err },
		"delete": func(ctx context.Context, c *clientv3.Client) error { _, err := c.Delete(ctx, "kept-0"); return err },
		"transaction": func(ctx context.Context, c *clientv3.Client) error {
			_, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision("new"), "=", 0)).Then(clientv3.OpPut("new", "x")).Commit()
			return err
		},
		"grant":   func(ctx context.Context, c *clientv3.Client) error { _, err := c.Grant(ctx, 60); return err },
		"compact": func(ctx context.Context, c *clientv3.Client) error { _, err := c.Compact(ctx, 2); return err },
		"watch": func(ctx context.Context, c *clientv3.Client) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			for response := range c.Watch(clientv3.WithRequireLeader(ctx), "", clientv3.WithPrefix(), clientv3.WithRev(2)) {
				if response.Err() != nil || len(response.Events) > 0 {
					return response.Err()
				}
			}
			return ctx.Err()
		},
	}
}

// servesNothing makes calls of every sort through all frontends from now on, each
// until it is told that data was lost. None may be answered. What it returns waits
// for that.
func servesNothing(t *testing.T, frontends []*cluster.Frontend) (wait func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	var running sync.WaitGroup
	for _, f := range frontends {
		for name, call := range calls() {
			client := f.Client()
			running.Go(func() {
				for err := call(ctx, client); !errors.Is(err, rpctypes.ErrCorrupt); err = call(ctx, client) {
					if err == nil {
						t.Errorf("%s: a %s was answered although acknowledged writes are lost", f.Name(), name)
						return
					}
					if ctx.Err() != nil {
						t.Errorf("%s: a %s was not told of the loss: %v", f.Name(), name, err)
						return
					}
				}
			})
		}
	}
	return func() { running.Wait(); cancel() }
}

// TestLateWitness: the only frontend that knows of a lost write sleeps when Redis
// comes back, and is not waited for for ever. When it wakes up it is heard all the
// same: nothing is served from then on, through any frontend.
func TestLateWitness(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Frontends: 2})
	witness, other := c.Frontends[0], c.Frontends[1]
	putOne(t, other.Client(), "kept-0")
	client := witness.Client()
	kept := tailSize(t, c.Redis)
	putOne(t, client, "lost")
	witness.Pause()
	c.Redis.Kill()
	cluster.CutTail(t, c.Redis.TailFile(), kept)
	c.Redis.Restart()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	// Whether this is answered depends on whether the other one has seen the write.
	_, err := other.Client().Put(ctx, "in the place of the lost one", "x")
	t.Logf("before the witness is awake: %v", err)
	witness.Resume()
	for _, f := range c.Frontends {
		client := f.Client()
		cluster.Await(t, bound, f.Name()+" refuses", func() error {
			_, err := client.Get(ctx, "kept-0")
			if errors.Is(err, rpctypes.ErrCorrupt) {
				return nil
			}
			return errors.Join(errors.New("not yet"), err)
		})
		refusesEverything(t, client)
	}
}
