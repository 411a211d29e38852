// Package etcdload gives an etcd a random history, for tests that carry one from an etcd to
// tierd or back.
//
// The history has all that a copy can get wrong: keys that are overwritten, deleted and made
// again, transactions that change several keys, keys with bytes of every kind, empty values, leases
// of unusual ids that keys come and go from, leases revoked with their keys, and compactions. The
// same seed gives the same operations.
package etcdload

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/testing/protocmp"
)

// leaseSeconds is long enough for no lease to expire during a test.
const leaseSeconds = 3600

// Load writes to one etcd. One goroutine uses it.
type Load struct {
	client *clientv3.Client
	random *rand.Rand
	leases []clientv3.LeaseID
	// Revision is that of the last operation.
	Revision int64
}

// New begins a history.
func New(client *clientv3.Client, seed uint64) *Load {
	return &Load{client: client, random: rand.New(rand.NewPCG(seed, 7)), Revision: 1}
}

// Write does operations.
func (l *Load) Write(ctx context.Context, operations int) error {
	for range operations {
		var err error
		switch n := l.random.IntN(40); {
		case n < 2 && len(l.leases) < 8:
			err = l.grant(ctx)
		case n == 2 && len(l.leases) > 2:
			err = l.revoke(ctx)
		case n == 3:
			err = l.deletePrefix(ctx)
		default:
			err = l.transaction(ctx)
		}
		if err != nil {
			return fmt.Errorf("an operation after revision %d: %w", l.Revision, err)
		}
	}
	return nil
}

// grant makes a lease; two thirds of them have ids near the largest, or below zero.
func (l *Load) grant(ctx context.Context) error {
	id := l.random.Int64()
	switch l.random.IntN(3) {
	case 0:
		id = math.MaxInt64 - l.random.Int64N(1000)
	case 1:
		id = -1 - l.random.Int64N(1000)
	}
	request := &pb.LeaseGrantRequest{ID: id, TTL: leaseSeconds + int64(len(l.leases))}
	granted, err := pb.NewLeaseClient(l.client.ActiveConnection()).LeaseGrant(ctx, request)
	if err != nil {
		return err
	}
	l.leases = append(l.leases, clientv3.LeaseID(granted.ID))
	return nil
}

func (l *Load) revoke(ctx context.Context) error {
	i := l.random.IntN(len(l.leases))
	resp, err := l.client.Revoke(ctx, l.leases[i])
	if err != nil {
		return err
	}
	l.leases = slices.Delete(l.leases, i, i+1)
	l.Revision = resp.Header.Revision
	return nil
}

func (l *Load) deletePrefix(ctx context.Context) error {
	resp, err := l.client.Delete(ctx, fmt.Sprintf("dir%d/", l.random.IntN(4)), clientv3.WithPrefix())
	if err != nil {
		return err
	}
	l.Revision = resp.Header.Revision
	return nil
}

func (l *Load) transaction(ctx context.Context) error {
	var ops []clientv3.Op
	seen := make(map[string]bool)
	for range 1 + l.random.IntN(4) {
		key := l.key()
		if seen[key] {
			continue
		}
		seen[key] = true
		ops = append(ops, l.operation(key))
	}
	resp, err := l.client.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return err
	}
	l.Revision = resp.Header.Revision
	return nil
}

// key is one of a hundred; a quarter of them hold bytes that are no text.
func (l *Load) key() string {
	n := l.random.IntN(25)
	key := fmt.Sprintf("dir%d/key%02d", l.random.IntN(4), n)
	switch n {
	case 0:
		return key + "\x00"
	case 1:
		return "\x00" + key
	case 2:
		return key + "\xff\xfe\x80"
	default:
		return key
	}
}

func (l *Load) operation(key string) clientv3.Op {
	switch n := l.random.IntN(8); {
	case n < 2:
		return clientv3.OpDelete(key)
	case n == 2 && len(l.leases) > 0:
		return clientv3.OpPut(key, l.value(), clientv3.WithLease(l.leases[l.random.IntN(len(l.leases))]))
	default:
		return clientv3.OpPut(key, l.value())
	}
}

// value is empty now and then.
func (l *Load) value() string {
	b := make([]byte, l.random.IntN(40))
	for i := range b {
		b[i] = byte(l.random.Uint32())
	}
	return string(b)
}

// Compact compacts at a random revision between one and the current, and gives it.
func (l *Load) Compact(ctx context.Context, after int64, options ...clientv3.CompactOption) (int64, error) {
	at := after + 1 + l.random.Int64N(l.Revision-after)
	if _, err := l.client.Compact(ctx, at, options...); err != nil {
		return 0, fmt.Errorf("compact at %d: %w", at, err)
	}
	return at, nil
}

// Same compares two keyspaces: all keys at each revision from low to high, the hash of each, the
// leases with their keys, and what a watch from low tells. It gives the first difference.
func Same(ctx context.Context, want, got *clientv3.Client, low, high int64) error {
	for revision := low; revision <= high; revision++ {
		if err := sameKeys(ctx, want, got, revision); err != nil {
			return err
		}
		// At the compacted revision itself an etcd may tell the hash before the compaction.
		if revision > low || low == 1 {
			if err := sameHash(ctx, want, got, revision); err != nil {
				return err
			}
		}
	}
	if err := sameLeases(ctx, want, got); err != nil {
		return err
	}
	a, err := events(ctx, want, low, high)
	if err != nil {
		return err
	}
	b, err := events(ctx, got, low, high)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(a, b, protocmp.Transform()); diff != "" {
		return fmt.Errorf("events from %d on differ (- wanted, + got):\n%s", low, diff)
	}
	return nil
}

func sameKeys(ctx context.Context, want, got *clientv3.Client, revision int64) error {
	a, err := want.Get(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(revision))
	if err != nil {
		return fmt.Errorf("read revision %d: %w", revision, err)
	}
	b, err := got.Get(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(revision))
	if err != nil {
		return fmt.Errorf("read revision %d of the copy: %w", revision, err)
	}
	if diff := cmp.Diff(a.Kvs, b.Kvs, protocmp.Transform()); diff != "" || a.Header.Revision != b.Header.Revision {
		return fmt.Errorf("at revision %d (current ones %d, %d; - wanted, + got):\n%s", revision, a.Header.Revision, b.Header.Revision, diff)
	}
	return nil
}

func sameHash(ctx context.Context, want, got *clientv3.Client, revision int64) error {
	a, err := want.HashKV(ctx, want.Endpoints()[0], revision)
	if err != nil {
		return fmt.Errorf("hash of revision %d: %w", revision, err)
	}
	b, err := got.HashKV(ctx, got.Endpoints()[0], revision)
	if err != nil {
		return fmt.Errorf("hash of revision %d of the copy: %w", revision, err)
	}
	if a.Hash != b.Hash || a.CompactRevision != b.CompactRevision {
		return fmt.Errorf("revision %d has the hash %08x, compacted at %d, and in the copy %08x, %d", revision,
			a.Hash, a.CompactRevision, b.Hash, b.CompactRevision)
	}
	return nil
}

func sameLeases(ctx context.Context, want, got *clientv3.Client) error {
	a, err := want.Leases(ctx)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	b, err := got.Leases(ctx)
	if err != nil {
		return fmt.Errorf("list leases of the copy: %w", err)
	}
	if len(a.Leases) != len(b.Leases) {
		return fmt.Errorf("%d leases, and %d in the copy", len(a.Leases), len(b.Leases))
	}
	for _, l := range a.Leases {
		x, err := want.TimeToLive(ctx, l.ID, clientv3.WithAttachedKeys())
		if err != nil {
			return fmt.Errorf("lease %x: %w", l.ID, err)
		}
		y, err := got.TimeToLive(ctx, l.ID, clientv3.WithAttachedKeys())
		if err != nil {
			return fmt.Errorf("lease %x of the copy: %w", l.ID, err)
		}
		slices.SortFunc(x.Keys, bytes.Compare)
		slices.SortFunc(y.Keys, bytes.Compare)
		if diff := cmp.Diff(x.Keys, y.Keys); diff != "" || x.GrantedTTL != y.GrantedTTL || y.TTL <= 0 {
			return fmt.Errorf("lease %x granted for %d and %d, %d left, keys:\n%s", l.ID, x.GrantedTTL, y.GrantedTTL, y.TTL, diff)
		}
	}
	return nil
}

// events are those of a watch of everything, through a revision.
func events(ctx context.Context, client *clientv3.Client, from, through int64) (all []*clientv3.Event, err error) {
	if through <= 1 {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := client.Watch(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(max(from, 1)), clientv3.WithProgressNotify())
	for resp := range watch {
		if err := resp.Err(); err != nil {
			return nil, fmt.Errorf("watch from %d: %w", from, err)
		}
		all = append(all, resp.Events...)
		if len(all) > 0 && all[len(all)-1].Kv.ModRevision >= through {
			return all, nil
		}
	}
	return nil, fmt.Errorf("the watch from %d ended: %w", from, ctx.Err())
}
