package backup

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

const (
	// keyMark and valueMark are in every key and in every value: neither may be readable in the object tier.
	keyMark, valueMark = "confidential-key", "confidential-value"
	// keysEach is how many keys each client has.
	keysEach = 40
	// callBound bounds a call, so that a frontend that sleeps does not stop a client for long.
	callBound = 5 * time.Second
	// shortSeconds is the time to live of leases that are left to expire.
	shortSeconds = 3
)

// load is a number of clients, each with calls of every kind that change something.
type load struct {
	*record
	t *testing.T
	// strict says that no call may fail.
	strict   bool
	failures atomic.Int64
	running  sync.WaitGroup
	watching sync.WaitGroup
	cancel   context.CancelFunc
	unwatch  context.CancelFunc
}

// startLoad starts clients, each on one frontend first and on all of them if that fails.
func startLoad(t *testing.T, c *cluster.Cluster, seed uint64, clients int, strict bool) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	watching, unwatch := context.WithCancel(t.Context())
	l := &load{record: newRecord(), t: t, strict: strict, cancel: cancel, unwatch: unwatch}
	watcher := c.Client()
	l.watching.Go(func() { l.watch(watching, t, watcher) })
	for n := range clients {
		client := &client{load: l, id: n, Rand: rand.New(rand.NewPCG(seed, uint64(n))), etcd: c.Client(), revisions: make(map[string]int64)}
		l.running.Go(func() { client.run(ctx) })
	}
	t.Cleanup(func() { l.stop(); l.unwatch(); l.watching.Wait() })
	return l
}

// stop ends the calls.
func (l *load) stop() {
	l.cancel()
	l.running.Wait()
}

// end stops the load, lets leases expire that are going to, and waits for the watcher. It gives the last revision.
func (l *load) end(client *clientv3.Client) int64 {
	l.t.Helper()
	l.stop()
	cluster.Await(l.t, bound, "leases expire", func() error {
		all, err := client.Leases(l.t.Context())
		if err != nil {
			return err
		}
		for _, lease := range all.Leases {
			if r := l.leases[int64(lease.ID)]; r == nil || r.short {
				return fmt.Errorf("lease %x is there still", lease.ID)
			}
		}
		return nil
	})
	now, err := client.Get(l.t.Context(), "any")
	if err != nil {
		l.t.Fatal(err)
	}
	l.await(l.t, now.Header.Revision)
	l.unwatch()
	l.watching.Wait()
	return now.Header.Revision
}

// client makes one call after another.
type client struct {
	*rand.Rand
	load *load
	id   int
	etcd *clientv3.Client
	// revisions are those of its keys as far as it knows.
	revisions map[string]int64
	calls     int
	// granted are leases of its own that it has not revoked.
	granted []int64
}

// key is one of its own keys. Their names are spread over the alphabet, so that they are on all shards.
func (c *client) key() string {
	n := c.IntN(keysEach)
	return fmt.Sprintf("%c/%s/%02d/%02d", 'a'+n%26, keyMark, c.id, n)
}

func (c *client) value() string {
	c.calls++
	size := c.IntN(200)
	if c.IntN(20) == 0 {
		size = 4000
	}
	return fmt.Sprintf("%s-%d-%d-%s", valueMark, c.id, c.calls, strings.Repeat("x", size))
}

// run makes calls until ctx ends; the one under way then is brought to its end.
func (c *client) run(ctx context.Context) {
	calls := []struct {
		share int
		call  func(context.Context) error
	}{{40, c.put}, {12, c.swap}, {8, c.remove}, {3, c.removeRange}, {12, c.several}, {8, c.grant}, {6, c.revoke}, {1, c.compact}}
	total := 0
	for _, each := range calls {
		total += each.share
	}
	for ctx.Err() == nil {
		n := c.IntN(total)
		i := 0
		for ; n >= calls[i].share; i++ {
			n -= calls[i].share
		}
		bounded, cancel := context.WithTimeout(c.load.t.Context(), callBound)
		err := calls[i].call(bounded)
		cancel()
		if err != nil && c.load.t.Context().Err() == nil {
			c.load.failures.Add(1)
			if c.load.strict {
				c.load.t.Errorf("client %d: %v", c.id, err)
				return
			}
		}
		pause(ctx, time.Duration(c.IntN(8))*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (c *client) put(ctx context.Context) error {
	key, options := c.key(), []clientv3.OpOption(nil)
	if len(c.granted) > 0 && c.IntN(4) == 0 {
		options = append(options, clientv3.WithLease(clientv3.LeaseID(c.granted[c.IntN(len(c.granted))])))
	}
	began := time.Now()
	put, err := c.etcd.Put(ctx, key, c.value(), options...)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		c.granted = nil // some have expired; which ones does not matter
		return nil
	}
	if err != nil {
		return err
	}
	c.load.wrote(began, put.Header.Revision)
	c.revisions[key] = put.Header.Revision
	return nil
}

// swap replaces a value if it is the one known.
func (c *client) swap(ctx context.Context) error {
	key, began := c.key(), time.Now()
	done, err := c.etcd.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", c.revisions[key])).
		Then(clientv3.OpPut(key, c.value())).Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return err
	}
	if done.Succeeded {
		c.load.wrote(began, done.Header.Revision)
		c.revisions[key] = done.Header.Revision
	} else if kvs := done.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		c.revisions[key] = kvs[0].ModRevision
	} else {
		delete(c.revisions, key)
	}
	return nil
}

func (c *client) remove(ctx context.Context) error {
	key, began := c.key(), time.Now()
	deleted, err := c.etcd.Delete(ctx, key)
	if err == nil && deleted.Deleted > 0 {
		c.load.wrote(began, deleted.Header.Revision)
	}
	delete(c.revisions, key)
	return err
}

func (c *client) removeRange(ctx context.Context) error {
	from, began := c.key(), time.Now()
	to := string(from[0]+2) + from[1:]
	deleted, err := c.etcd.Delete(ctx, from, clientv3.WithRange(to))
	if err == nil && deleted.Deleted > 0 {
		c.load.wrote(began, deleted.Header.Revision)
	}
	return err
}

// several changes keys all over the keyspace at once.
func (c *client) several(ctx context.Context) error {
	letter := c.IntN(24)
	one := func(n int) string { return fmt.Sprintf("%c/%s/%02d/several", 'a'+(letter+n)%26, keyMark, c.id) }
	began := time.Now()
	done, err := c.etcd.Txn(ctx).Then(clientv3.OpPut(one(13), c.value()), clientv3.OpPut(one(0), c.value()),
		clientv3.OpDelete(one(1)), clientv3.OpPut(one(7), c.value())).Commit()
	if err != nil {
		return err
	}
	c.load.wrote(began, done.Header.Revision)
	return nil
}

func (c *client) grant(ctx context.Context) error {
	id, ttl := c.Int64N(1<<62)+1, int64(3600+c.IntN(1000))
	short := c.IntN(3) == 0
	if short {
		ttl = shortSeconds
	}
	l := &leaseRecord{ttl: ttl, short: short}
	c.load.mu.Lock()
	l.before = c.load.at
	c.load.leases[id] = l
	c.load.mu.Unlock()
	granted, err := pb.NewLeaseClient(c.etcd.ActiveConnection()).LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: ttl})
	if err != nil {
		return err
	}
	c.load.mu.Lock()
	l.after, l.ttl = granted.Header.Revision, granted.TTL
	c.load.mu.Unlock()
	c.granted = append(c.granted, id)
	return nil
}

func (c *client) revoke(ctx context.Context) error {
	if len(c.granted) == 0 {
		return nil
	}
	n := c.IntN(len(c.granted))
	id := c.granted[n]
	c.granted = append(c.granted[:n:n], c.granted[n+1:]...)
	c.load.mu.Lock()
	l := c.load.leases[id]
	l.ending, l.endingBefore = true, c.load.at
	c.load.mu.Unlock()
	revoked, err := c.etcd.Revoke(ctx, clientv3.LeaseID(id))
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	c.load.mu.Lock()
	l.endingAfter = revoked.Header.Revision
	c.load.mu.Unlock()
	return nil
}

// compact drops what is behind the watcher.
func (c *client) compact(ctx context.Context) error {
	c.load.mu.Lock()
	done := &compaction{revision: c.load.at - c.Int64N(200), before: c.load.at}
	if done.revision < 2 {
		c.load.mu.Unlock()
		return nil
	}
	c.load.compactions = append(c.load.compactions, done)
	c.load.mu.Unlock()
	compacted, err := c.etcd.Compact(ctx, done.revision)
	if errors.Is(err, rpctypes.ErrCompacted) {
		return nil
	}
	if err != nil {
		return err
	}
	c.load.mu.Lock()
	done.after = compacted.Header.Revision
	c.load.mu.Unlock()
	return nil
}
