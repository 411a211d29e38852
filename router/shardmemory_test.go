package router_test

import (
	"errors"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
)

// TestOutOfMemoryOnAShard: where the Redis of a shard is out of memory, writes there are
// refused, what was written before is still read, other shards go on, and so does the
// shard when there is memory again.
func TestOutOfMemoryOnAShard(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	k := openFleet(t, server, 1, nil)
	second, client := startRedis(t)
	id, err := k.AddEndpoint(t.Context(), second.URL())
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Move(t.Context(), []byte("m"), nil, id, nil); err != nil {
		t.Fatal(err)
	}
	put(t, k, "a", "1")
	last := put(t, k, "m", "1")
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if resp := get(t, k, "m", "", 0); len(resp.Kvs) != 1 || resp.Kvs[0].ModRevision != int64(last) {
		t.Errorf("the shard without memory answers %v", resp)
	}
	if _, err := k.Put(t.Context(), &pb.PutRequest{Key: []byte("m")}); !errors.Is(err, router.ErrNoSpace) {
		t.Errorf("put on the shard without memory: %v, want ErrNoSpace", err)
	}
	if _, err := k.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte("a"), RangeEnd: []byte{0}}); !errors.Is(err, router.ErrNoSpace) {
		t.Errorf("deletion over both shards: %v, want ErrNoSpace", err)
	}
	if r := put(t, k, "a", "2"); r != last+1 {
		t.Errorf("put on the other shard took revision %d, want %d", r, last+1)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if r := put(t, k, "m", "2"); r != last+2 {
		t.Errorf("put on the shard with memory again took revision %d, want %d", r, last+2)
	}
}
