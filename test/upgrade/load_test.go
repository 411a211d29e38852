package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// workers is how many clients of each kind there are, each with connections of its own to all frontends.
const workers = 3

// load is what clients do until it ends; every error that one is told is kept.
type load struct {
	stop     context.CancelFunc
	done     sync.WaitGroup
	writes   atomic.Int64
	mu       sync.Mutex
	failures []string
}

// startLoad has clients count in transactions, read what they wrote, watch it, and keep leases alive.
func startLoad(t *testing.T, endpoints []string) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop}
	for n := range workers {
		key := "/upgrade/" + strconv.Itoa(n)
		counting, watching, leasing := cluster.Dial(t, endpoints...), cluster.Dial(t, endpoints...), cluster.Dial(t, endpoints...)
		start, err := counting.Put(ctx, key, "0")
		if err != nil {
			t.Fatal(err)
		}
		l.done.Go(func() { l.ended(ctx, "count "+key, l.count(ctx, counting, key)) })
		l.done.Go(func() { l.ended(ctx, "watch "+key, l.watch(ctx, watching, key, start.Header.Revision+1)) })
		l.done.Go(func() { l.ended(ctx, "lease of "+key, l.lease(ctx, leasing, key)) })
	}
	return l
}

// ended keeps an error, unless it is that the load was ended.
func (l *load) ended(ctx context.Context, what string, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, fmt.Sprintf("%s: %v", what, err))
}

// finish ends the load and tells what failed.
func (l *load) finish(t *testing.T) {
	t.Helper()
	l.stop()
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, failure := range l.failures {
		t.Error(failure)
	}
	t.Logf("%d writes", l.writes.Load())
}

// count raises a number that nobody else writes, and reads it back.
func (l *load) count(ctx context.Context, client *clientv3.Client, key string) error {
	for n := int64(1); ; n++ {
		before, after := strconv.FormatInt(n-1, 10), strconv.FormatInt(n, 10)
		answer, err := client.Txn(ctx).If(clientv3.Compare(clientv3.Value(key), "=", before)).Then(clientv3.OpPut(key, after)).Commit()
		if err != nil {
			return err
		}
		if !answer.Succeeded {
			return fmt.Errorf("it was not %s any more", before)
		}
		got, err := client.Get(ctx, key)
		if err != nil {
			return err
		}
		if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != after {
			return fmt.Errorf("%s was written and %v read", after, got.Kvs)
		}
		l.writes.Add(1)
	}
}

// watch sees each number once, in order.
func (l *load) watch(ctx context.Context, client *clientv3.Client, key string, from int64) error {
	want := int64(1)
	for answer := range client.Watch(ctx, key, clientv3.WithRev(from)) {
		if err := answer.Err(); err != nil {
			return err
		}
		for _, event := range answer.Events {
			if string(event.Kv.Value) != strconv.FormatInt(want, 10) {
				return fmt.Errorf("%d was to come, and %s came", want, event.Kv.Value)
			}
			want++
		}
	}
	return errors.New("the watch has ended")
}

// lease keeps a lease alive, whose key must stay.
func (l *load) lease(ctx context.Context, client *clientv3.Client, key string) error {
	granted, err := client.Grant(ctx, 10)
	if err != nil {
		return err
	}
	if _, err := client.Put(ctx, key+"/leased", "", clientv3.WithLease(granted.ID)); err != nil {
		return err
	}
	alive, err := client.KeepAlive(ctx, granted.ID)
	if err != nil {
		return err
	}
	for range alive {
		got, err := client.Get(ctx, key+"/leased", clientv3.WithSerializable())
		if err != nil {
			return err
		}
		if len(got.Kvs) != 1 {
			return errors.New("its key is gone")
		}
	}
	return errors.New("nothing keeps it alive any more")
}
