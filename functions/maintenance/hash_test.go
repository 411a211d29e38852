package maintenance

import (
	"context"
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/oracle"
)

// sameHashes compares every revision from low up, and the current one as 0.
func sameHashes(t *testing.T, copied *keyspace, client *clientv3.Client, low int64) {
	t.Helper()
	service := serve(t, copied)
	for revision := low - 1; revision <= int64(copied.LastRevision()); revision++ {
		asked := revision
		if revision < low {
			asked = 0
		}
		want := hashOf(t.Context(), t, client, asked)
		got, err := service.HashKV(t.Context(), &pb.HashKVRequest{Revision: asked})
		if err != nil {
			t.Fatalf("hash of revision %d: %v", asked, err)
		}
		if got.Hash != want.Hash || got.CompactRevision != want.CompactRevision || got.HashRevision != want.HashRevision ||
			got.Header.Revision != want.Header.Revision {
			t.Fatalf("revision %d: got hash %x compacted %d at %d header %d, etcd has %x %d %d %d", asked,
				got.Hash, got.CompactRevision, got.HashRevision, got.Header.Revision,
				want.Hash, want.CompactRevision, want.HashRevision, want.Header.Revision)
		}
	}
}

// HashKV is etcd's own number over a random history: before any compaction,
// after several, at every revision, and when nothing is left alive.
func TestHashKVEqualsEtcd(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			ref := follow(t, oracle.Start(t, oracle.Options{}).Client(), seed)
			sameHashes(t, ref.copied, ref.client, 1)
			ref.write(60)
			sameHashes(t, ref.copied, ref.client, 1)
			for compacted := int64(1); compacted < ref.current(); {
				compacted = ref.between(compacted+1, ref.current())
				ref.compact(compacted)
				ref.write(15)
				sameHashes(t, ref.copied, ref.client, compacted+1)
				if compacted > 90 {
					break
				}
			}
			ref.deleteAll()
			sameHashes(t, ref.copied, ref.client, ref.current())
			ref.write(5)
			sameHashes(t, ref.copied, ref.client, ref.current()-6)
			ref.deleteAll()
			ref.compact(ref.current())
			sameHashes(t, ref.copied, ref.client, ref.current()+1)
		})
	}
}

// At exactly the compacted revision a restarted etcd computes what we do.
func TestHashKVAtTheCompactedRevision(t *testing.T) {
	t.Parallel()
	options := oracle.Options{
		DataDir: cluster.Folder(t),
		PeerURL: fmt.Sprintf("http://127.0.0.1:%d", cluster.FreePorts(t, 1)[0]),
	}
	first := oracle.Start(t, options)
	ref := follow(t, first.Client(), 3)
	ref.write(40)
	ref.compact(ref.between(20, ref.current()-5))
	ref.client.Close() // an etcd waits for its clients before it closes
	first.Close()

	restarted := oracle.Start(t, options)
	sameHashes(t, ref.copied, restarted.Client(), int64(ref.copied.compacted))
}

func put(revision int64, key string) *mvccpb.Event {
	return &mvccpb.Event{Kv: &mvccpb.KeyValue{
		Key: []byte(key), Value: []byte("v"), CreateRevision: revision, ModRevision: revision, Version: 1,
	}}
}

// small is a keyspace of revisions 2..5, compacted at 3.
func small() *keyspace {
	k := &keyspace{current: 1, compacted: -1}
	for revision := int64(2); revision <= 5; revision++ {
		k.apply(put(revision, fmt.Sprint(revision)))
	}
	k.compact(3)
	return k
}

func TestHashKVRefusesRevisions(t *testing.T) {
	t.Parallel()
	service := serve(t, small())
	for revision, want := range map[int64]error{2: rpctypes.ErrGRPCCompacted, 6: rpctypes.ErrGRPCFutureRev} {
		_, err := service.HashKV(t.Context(), &pb.HashKVRequest{Revision: revision})
		if err == nil || err.Error() != want.Error() {
			t.Errorf("revision %d: %v, want %v", revision, err, want)
		}
	}
	if _, err := service.HashKV(t.Context(), &pb.HashKVRequest{Revision: 3}); err != nil {
		t.Errorf("at the compacted revision: %v", err)
	}
}

// A compaction in the middle of the reading starts the hash again, and the
// answer is that of one moment.
func TestHashKVOvertakenByACompaction(t *testing.T) {
	t.Parallel()
	k := small()
	k.duringHistory = func(k *keyspace) { k.compact(4) }
	got, err := serve(t, k).HashKV(t.Context(), &pb.HashKVRequest{})
	if err != nil {
		t.Fatal(err)
	}
	still := small()
	still.compact(4)
	want, err := serve(t, still).HashKV(t.Context(), &pb.HashKVRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Hash != want.Hash || got.CompactRevision != 4 {
		t.Errorf("hash %x compacted %d, want %x 4", got.Hash, got.CompactRevision, want.Hash)
	}
}

// endless compacts again during every reading.
func endless(k *keyspace) {
	k.apply(put(int64(k.LastRevision())+1, "more"))
	k.compact(k.LastRevision() - 1)
	k.duringHistory = endless
}

func TestHashKVGivesUp(t *testing.T) {
	t.Parallel()
	k := small()
	k.duringHistory = endless
	_, err := serve(t, k).HashKV(t.Context(), &pb.HashKVRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
}

func TestHash(t *testing.T) {
	t.Parallel()
	one := small()
	first, err := serve(t, one).Hash(t.Context(), &pb.HashRequest{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := serve(t, small()).Hash(t.Context(), &pb.HashRequest{})
	if err != nil || again.Hash != first.Hash || first.Header.Revision != 5 {
		t.Errorf("hashes of the same keyspace: %x and %x at %d (%v)", first.Hash, again.Hash, first.Header.Revision, err)
	}
	one.apply(put(6, "six"))
	after, err := serve(t, one).Hash(t.Context(), &pb.HashRequest{})
	if err != nil || after.Hash == first.Hash {
		t.Errorf("the hash does not change with the keyspace: %x (%v)", after.Hash, err)
	}
	one.failure = router.ErrUnavailable
	if _, err := serve(t, one).Hash(context.Background(), &pb.HashRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("an unreachable keyspace: %v, want Unavailable", err)
	}
}
