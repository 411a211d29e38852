package limits

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// floodWorkers is how many calls of a flood are under way at once.
const floodWorkers = 256

// flood makes n calls, many at once.
func flood(t *testing.T, client *clientv3.Client, n int, call func(ctx context.Context, conn *clientv3.Client, i int) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	var next atomic.Int64
	var working sync.WaitGroup
	for range min(floodWorkers, n) {
		working.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !t.Failed(); i = int(next.Add(1)) - 1 {
				if err := call(ctx, client, i); err != nil {
					t.Errorf("call %d of a flood: %v", i, err)
				}
			}
		})
	}
	working.Wait()
}

// TestLeaseFlood: very many leases are granted, listed and described, and a tenth of them,
// each with a key, ends at the same time. All of it is right, and others hardly notice.
func TestLeaseFlood(t *testing.T) {
	t.Parallel()
	n := *leasesFlag
	frontend := cluster.StartFrontend(t, cluster.FrontendOptions{Args: []string{"--object-tier", "none"}})
	client, p := frontend.Client(), probe(t, frontend.Endpoint())
	p.during("nothing else", func() { flood(t, client, 20, idle) })
	ending := n / 10
	p.during(fmt.Sprintf("grant %d leases", n-ending), func() {
		flood(t, client, n-ending, func(ctx context.Context, c *clientv3.Client, i int) error {
			_, err := pb.NewLeaseClient(c.ActiveConnection()).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: int64(i + 1), TTL: 100_000})
			return err
		})
	})
	// Those that end together are granted one after the other, so each gets what is left.
	end := time.Now().Add(2*time.Second + time.Duration(ending)*300*time.Microsecond)
	p.during(fmt.Sprintf("grant %d that end together, each with a key", ending), func() {
		flood(t, client, ending, func(ctx context.Context, c *clientv3.Client, i int) error {
			id := int64(n - i)
			ttl := int64(time.Until(end)/time.Second) + 2
			if _, err := pb.NewLeaseClient(c.ActiveConnection()).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: ttl}); err != nil {
				return err
			}
			_, err := c.Put(ctx, fmt.Sprintf("leased/%07d", i), "v", clientv3.WithLease(clientv3.LeaseID(id)))
			return err
		})
	})
	p.during("wait for them to end, and list all leases", func() {
		leases, err := client.Leases(t.Context())
		if err != nil || len(leases.Leases) < n-ending || len(leases.Leases) > n {
			t.Fatalf("%d leases are listed, %v", len(leases.Leases), err)
		}
		seen := make(map[clientv3.LeaseID]bool, len(leases.Leases))
		for _, l := range leases.Leases {
			seen[l.ID] = true
		}
		for i := range n - ending {
			if !seen[clientv3.LeaseID(i+1)] {
				t.Fatalf("lease %d is not listed", i+1)
			}
		}
		if len(seen) != len(leases.Leases) {
			t.Fatalf("%d leases are listed %d times", len(seen), len(leases.Leases))
		}
		waitUntil(t, end)
	})
	p.during(fmt.Sprintf("%d leases end", ending), func() {
		cluster.Await(t, bound, "all leases that are over have ended", func() error {
			left, err := client.Get(t.Context(), "leased/", clientv3.WithPrefix(), clientv3.WithCountOnly())
			if err == nil && left.Count > 0 {
				err = fmt.Errorf("%d keys are left", left.Count)
			}
			return err
		})
	})
	leases, err := client.Leases(t.Context())
	if err != nil || len(leases.Leases) != n-ending {
		t.Fatalf("%d leases are left, %v", len(leases.Leases), err)
	}
}

// waitUntil waits for a time to come, which is what the test is about.
func waitUntil(t *testing.T, end time.Time) {
	t.Helper()
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// idle leaves the server alone for a moment.
func idle(ctx context.Context, _ *clientv3.Client, _ int) error {
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// fill puts keys, many in one transaction.
func fill(t *testing.T, client *clientv3.Client, prefix string, n int, lease clientv3.LeaseID) {
	t.Helper()
	const each = 100
	flood(t, client, (n+each-1)/each, func(ctx context.Context, c *clientv3.Client, i int) error {
		var ops []clientv3.Op
		for j := i * each; j < min(n, (i+1)*each); j++ {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%07d", prefix, j), "a value of some length", clientv3.WithLease(lease)))
		}
		_, err := c.Txn(ctx).Then(ops...).Commit()
		return err
	})
}

// TestManyKeysGo: a deletion and a revoke of many keys.
func TestManyKeysGo(t *testing.T) {
	t.Parallel()
	n := *keysFlag
	frontend := cluster.StartFrontend(t, cluster.FrontendOptions{Args: []string{"--object-tier", "none"}})
	client, p := frontend.Client(), probe(t, frontend.Endpoint())
	fill(t, client, "k/", n, clientv3.NoLease)
	before := cpu(frontend.LocalRedisPID())
	p.during(fmt.Sprintf("delete %d keys", n), func() {
		resp, err := client.Delete(t.Context(), "k/", clientv3.WithPrefix())
		if err != nil || resp.Deleted != int64(n) {
			t.Errorf("deleted: %v, %v", resp, err)
		}
	})
	t.Logf("that took %v of Redis' processor", cpu(frontend.LocalRedisPID())-before)
	lease, err := client.Grant(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, client, "l/", n, lease.ID)
	p.during(fmt.Sprintf("revoke a lease of %d keys", n), func() {
		if _, err := client.Revoke(t.Context(), lease.ID); err != nil {
			t.Error(err)
		}
	})
	if left, err := client.Get(t.Context(), "l/", clientv3.WithPrefix(), clientv3.WithCountOnly()); err != nil || left.Count != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
