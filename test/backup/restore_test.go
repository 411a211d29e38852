package backup

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/backup/restore"
	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/test/cluster"
)

// restore brings a target back into a Redis of its own, and compares what is served from there.
func (c *comparison) restore(target backup.Target, f *found, hash uint32) {
	c.Helper()
	server := cluster.StartRedis(c, cluster.RedisOptions{})
	defer server.Kill()
	client := server.Client()
	plan, err := restore.New(c.Context(), c.archive, c.catalog, restore.Request{Target: target})
	if err != nil {
		c.Fatal(err)
	}
	begin := func(ctx context.Context, start router.RestoreStart) (restore.Restoration, error) {
		return router.Restore(ctx, fleet(c.T, 1, client), start)
	}
	if _, err := restore.Run(c.Context(), c.archive, c.catalog, plan, begin, &restore.Meter{}); err != nil {
		c.Fatalf("restore %+v: %v", target, err)
	}
	k := serve(c.T, client)
	defer func() {
		if err := k.Close(c.Context()); err != nil {
			c.Error(err)
		}
	}()
	at := f.plan.Revision
	if current, compacted, err := k.CurrentRevision(c.Context()); err != nil || current != at || compacted != f.end.Compacted {
		c.Errorf("restored at revision %d, compacted %d (%v); want %d and %d", current, compacted, err, at, f.end.Compacted)
	}
	hasher := etcdfile.NewHasher()
	if _, err := k.HashedHistory(c.Context(), at, hasher.Write); err != nil {
		c.Fatal(err)
	}
	if got := hasher.Sum(); got != hash {
		c.Errorf("the hash of what was restored at revision %d is %08x, etcd's %08x", at, got, hash)
	}
	c.sameRange(k, f)
	leases, _, err := k.Leases(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	// What expired meanwhile is gone; no lease of an hour is.
	there := make(map[int64]router.Lease)
	for _, l := range leases {
		there[l.ID] = l
	}
	for _, l := range f.end.Leases {
		got, found := there[l.ID]
		if short := l.GrantedTTL <= shortSeconds; !found && !short || found && got.GrantedTTL != l.GrantedTTL {
			c.Errorf("the lease %x is %+v after the restore, want %+v", l.ID, got, l)
		}
		delete(there, l.ID)
	}
	for id := range there {
		c.Errorf("there is the lease %x after the restore", id)
	}
}

// sameRange compares what a list at the restored revision answers.
func (c *comparison) sameRange(k *router.Keyspace, f *found) {
	c.Helper()
	all, err := k.Range(c.Context(), &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Revision: int64(f.plan.Revision)})
	if errors.Is(err, router.ErrCompacted) {
		c.Fatalf("the restored revision %d cannot be read: %v", f.plan.Revision, err)
	}
	if err != nil {
		c.Fatal(err)
	}
	if len(all.Kvs) != len(f.live) {
		c.Errorf("%d keys were restored, want %d", len(all.Kvs), len(f.live))
	}
	for _, kv := range all.Kvs {
		if want := f.live[string(kv.Key)]; !proto.Equal(want, kv) {
			c.Errorf("%s was restored as %v, want %v", kv.Key, short(kv), short(want))
		}
	}
}
