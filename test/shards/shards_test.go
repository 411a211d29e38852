package shards_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/shards"
)

// TestOverAllShards: what concerns several shards is done at once, at one revision, and
// is told as one, through whichever frontend.
func TestOverAllShards(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Frontends: 3, Servers: 2, Databases: 2, Args: []string{"--balance=false"}})
	shards.Spread(t, c, "b", "m", "p")
	var clients []*clientv3.Client
	for _, f := range c.Frontends {
		clients = append(clients, f.Client())
	}
	watched := make([]*watch, len(c.Frontends))
	for i, f := range c.Frontends {
		watched[i] = &watch{frontend: f}
		watched[i].begin(t)
	}
	if _, err := grant(t.Context(), clients[0], lease); err != nil {
		t.Fatal(err)
	}
	var last int64 = 1
	for round := range 10 {
		for turn, step := range []func(context.Context, *clientv3.Client, int) (int64, error){putAll, swapAll, revokeAll, putAll, deleteAll} {
			before := present(t, clients[(round+turn+1)%3], last)
			revision, err := step(t.Context(), clients[(round+turn)%3], round)
			if err != nil {
				t.Fatal(err)
			}
			if revision != last+1 {
				t.Fatalf("round %d, step %d took revision %d after %d", round, turn, revision, last)
			}
			if got := present(t, clients[(round+turn+2)%3], last); !slices.Equal(got, before) {
				t.Fatalf("round %d, step %d: at revision %d there was %v, now %v", round, turn, last, before, got)
			}
			last = revision
		}
	}
	for _, w := range watched {
		cluster.Await(t, settleBound, "the watch on "+w.frontend.Name()+" is told of everything", func() error {
			if at := w.at.Load(); at != last {
				return fmt.Errorf("it is at %d of %d", at, last)
			}
			return nil
		})
		w.end()
		if w.sum != watched[0].sum {
			t.Errorf("%s and %s have told of different events", w.frontend.Name(), watched[0].frontend.Name())
		}
	}
	shards.SameAsEtcd(t, c.Frontends)
}

// present is what there is at a revision.
func present(t *testing.T, client *clientv3.Client, at int64) []string {
	t.Helper()
	all, err := client.Get(t.Context(), "", clientv3.WithPrefix(), clientv3.WithRev(at))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, kv := range all.Kvs {
		out = append(out, fmt.Sprint(kv))
	}
	return out
}

// putAll puts all keys with a lease, which may be new to their shards.
func putAll(ctx context.Context, client *clientv3.Client, round int) (int64, error) {
	var ops []clientv3.Op
	for _, key := range keys {
		ops = append(ops, clientv3.OpPut(key, fmt.Sprint(round), clientv3.WithLease(lease)))
	}
	done, err := client.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return 0, err
	}
	return done.Header.Revision, nil
}

// swapAll replaces all keys if they are as putAll left them.
func swapAll(ctx context.Context, client *clientv3.Client, round int) (int64, error) {
	var ops []clientv3.Op
	for _, key := range keys {
		ops = append(ops, clientv3.OpPut(key, fmt.Sprint("swapped ", round), clientv3.WithIgnoreLease()))
	}
	done, err := client.Txn(ctx).If(clientv3.Compare(clientv3.Value("a").WithRange("zz"), "=", fmt.Sprint(round))).Then(ops...).Commit()
	if err != nil {
		return 0, err
	}
	if !done.Succeeded {
		return 0, fmt.Errorf("round %d: the keys are not as they were left", round)
	}
	return done.Header.Revision, nil
}

// revokeAll ends the lease of all keys, and grants it anew.
func revokeAll(ctx context.Context, client *clientv3.Client, _ int) (int64, error) {
	held, err := client.TimeToLive(ctx, lease, clientv3.WithAttachedKeys())
	if err != nil {
		return 0, err
	}
	if len(held.Keys) != len(keys) {
		return 0, fmt.Errorf("the lease has the keys %q", held.Keys)
	}
	done, err := client.Revoke(ctx, lease)
	if err != nil {
		return 0, err
	}
	if _, err := grant(ctx, client, lease); err != nil {
		return 0, err
	}
	return done.Header.Revision, nil
}

// deleteAll deletes all keys but the first and the last.
func deleteAll(ctx context.Context, client *clientv3.Client, _ int) (int64, error) {
	done, err := client.Delete(ctx, "a/2", clientv3.WithRange("z"), clientv3.WithPrevKV())
	if err != nil {
		return 0, err
	}
	if int(done.Deleted) != len(keys)-2 || len(done.PrevKvs) != len(keys)-2 {
		return 0, fmt.Errorf("deleted %v", done)
	}
	return done.Header.Revision, nil
}
