package router_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/hot"
)

// startRedis runs a private redis-server for one test and gives a client.
func startRedis(t testing.TB) (*hot.Server, redis.UniversalClient) {
	t.Helper()
	dir, err := os.MkdirTemp("", "tierd")
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	server, err := hot.StartServer(t.Context(), hot.ServerSettings{Dir: dir, Logger: logger, Binary: os.Getenv("TIERD_TEST_REDIS_SERVER")})
	if err != nil {
		t.Fatal(err)
	}
	endpoint, err := hot.ParseEndpoint(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := endpoint.NewClient()
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if err := server.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return server, client
}

// open opens a keyspace as one frontend.
func open(t testing.TB, client redis.UniversalClient, member uint64) *router.Keyspace {
	t.Helper()
	return openWithQuota(t, client, member, 1<<30)
}

func openWithQuota(t testing.TB, client redis.UniversalClient, member uint64, quotaBytes int64) *router.Keyspace {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	tier, err := hot.NewFleet(hot.Settings{Keyspace: "test", MemberID: member, RecordCacheBytes: 1 << 20}, hot.Components{Redis: client, Logger: logger, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	k, err := router.Open(t.Context(), router.Settings{
		Keyspace: "test", Name: fmt.Sprintf("m%d", member), MemberID: member, QuotaBytes: quotaBytes, RequestTimeout: 7 * time.Second,
	}, router.Components{Fleet: tier, Logger: logger, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := k.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return k
}

func put(t testing.TB, k *router.Keyspace, key, value string) router.Revision {
	t.Helper()
	resp, err := k.Put(t.Context(), &pb.PutRequest{Key: []byte(key), Value: []byte(value)})
	if err != nil {
		t.Fatal(err)
	}
	return router.Revision(resp.Header.Revision)
}

func TestFirstRevisions(t *testing.T) {
	t.Parallel()
	_, client := startRedis(t)
	k := open(t, client, 1)
	current, compacted, err := k.CurrentRevision(t.Context())
	if err != nil || current != 1 || compacted != -1 {
		t.Fatalf("a new keyspace is at revision %d, compacted %d, %v; want 1, -1", current, compacted, err)
	}
	for i := range 3 {
		if got, want := put(t, k, "a", fmt.Sprint(i)), router.Revision(i+2); got != want {
			t.Fatalf("put %d took revision %d, want %d", i, got, want)
		}
	}
	resp, err := k.Range(t.Context(), &pb.RangeRequest{Key: []byte("a")})
	if err != nil {
		t.Fatal(err)
	}
	got := resp.Kvs[0]
	if string(got.Value) != "2" || got.Version != 3 || got.CreateRevision != 2 || got.ModRevision != 4 || resp.Count != 1 {
		t.Fatalf("range gave %v", resp)
	}
	old, err := k.Range(t.Context(), &pb.RangeRequest{Key: []byte("a"), Revision: 3})
	if err != nil || string(old.Kvs[0].Value) != "1" || old.Header.Revision != 4 {
		t.Fatalf("range at revision 3 gave %v, %v", old, err)
	}
}

func TestEventsAndHistory(t *testing.T) {
	t.Parallel()
	_, client := startRedis(t)
	k := open(t, client, 1)
	put(t, k, "a", "1")
	put(t, k, "b", "1")
	put(t, k, "a", "2")
	if _, err := k.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte("a"), RangeEnd: []byte("z")}); err != nil {
		t.Fatal(err)
	}
	page, err := k.Events(t.Context(), 1, 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range page.Events {
		prev := "-"
		if e.PrevKv != nil {
			prev = string(e.PrevKv.Value)
		}
		got = append(got, fmt.Sprintf("%d %s %s %s prev %s", e.Kv.ModRevision, e.Type, e.Kv.Key, e.Kv.Value, prev))
	}
	want := []string{"2 PUT a 1 prev -", "3 PUT b 1 prev -", "4 PUT a 2 prev 1", "5 DELETE a  prev 2", "5 DELETE b  prev 1"}
	if fmt.Sprint(got) != fmt.Sprint(want) || page.Through != 5 || page.Current != 5 {
		t.Fatalf("events %q through %d, want %q", got, page.Through, want)
	}
	if _, err := k.Compact(t.Context(), 4, true); err != nil {
		t.Fatal(err)
	}
	var versions []string
	info, err := k.History(t.Context(), 0, func(v router.Version) error {
		versions = append(versions, fmt.Sprintf("%d.%d %v %s=%s", v.Main, v.Sub, v.Tombstone, v.KV.Key, v.KV.Value))
		return nil
	})
	if err != nil || info.Compacted != 4 || info.At != 5 {
		t.Fatalf("history: %+v, %v", info, err)
	}
	want = []string{"3.0 false b=1", "4.0 false a=2", "5.0 true a=", "5.1 true b="}
	if fmt.Sprint(versions) != fmt.Sprint(want) {
		t.Fatalf("history %q, want %q", versions, want)
	}
}

func TestLeaseKeysAreDeletedInOneRevision(t *testing.T) {
	t.Parallel()
	_, client := startRedis(t)
	k := open(t, client, 1)
	lease, _, err := k.LeaseGrant(t.Context(), 0, 60)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"x", "y"} {
		if _, err := k.Put(t.Context(), &pb.PutRequest{Key: []byte(key), Lease: lease.ID}); err != nil {
			t.Fatal(err)
		}
	}
	shown, _, err := k.LeaseTimeToLive(t.Context(), lease.ID, true)
	if err != nil || fmt.Sprintf("%s", shown.Keys) != "[x y]" || shown.GrantedTTL != 60 {
		t.Fatalf("lease is %+v, %v", shown, err)
	}
	revision, err := k.LeaseRevoke(t.Context(), lease.ID)
	if err != nil || revision != 4 {
		t.Fatalf("revoke gave revision %d, %v; want 4", revision, err)
	}
	page, err := k.Events(t.Context(), 4, 1<<20, false)
	if err != nil || len(page.Events) != 2 || page.Events[1].Type != mvccpb.Event_DELETE {
		t.Fatalf("events of the revoke: %v, %v", page.Events, err)
	}
}

// signal sends a signal to a redis-server; its supervisor starts a killed one again.
func signal(t testing.TB, server *hot.Server, number syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(server.PID(), number); err != nil {
		t.Fatal(err)
	}
}

// TestPhysicalCompactionOfManyRevisions takes more than one stretch to sweep, and
// leaves in Redis what the live keys need and nothing else.
func TestPhysicalCompactionOfManyRevisions(t *testing.T) {
	t.Parallel()
	_, client := startRedis(t)
	k := open(t, client, 1)
	var last router.Revision
	for i := range 1300 {
		last = put(t, k, fmt.Sprintf("k%d", i%3), fmt.Sprint(i))
	}
	if _, err := k.Compact(t.Context(), last, true); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]int64{"{test:seq}:rec": 3, "{test:seq}:hist": 0, "{test:seq}:key": 3} {
		kind, err := client.Type(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		count := client.HLen
		if kind != "hash" {
			count = client.ZCard
		}
		if got, err := count(t.Context(), key).Result(); err != nil || got != want {
			t.Errorf("%s holds %d, %v; want %d", key, got, err, want)
		}
	}
}

// TestQuota: at the quota puts and grants are refused on every frontend and the
// alarm is up; deletes and reads go on; once space is back and the alarm lowered,
// puts do too.
func TestQuota(t *testing.T) {
	t.Parallel()
	const quota = 64 << 10
	_, client := startRedis(t)
	k, other := openWithQuota(t, client, 1, quota), openWithQuota(t, client, 2, quota)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		_, err = k.Put(t.Context(), &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", i), Value: make([]byte, 1000)})
	}
	if !errors.Is(err, router.ErrNoSpace) {
		t.Fatalf("after a megabyte: %v, want ErrNoSpace", err)
	}
	if _, err := other.Put(t.Context(), &pb.PutRequest{Key: []byte("x")}); !errors.Is(err, router.ErrNoSpace) {
		t.Fatalf("put on the other frontend: %v, want ErrNoSpace", err)
	}
	if _, _, err := other.LeaseGrant(t.Context(), 0, 60); !errors.Is(err, router.ErrNoSpace) {
		t.Fatalf("grant: %v, want ErrNoSpace", err)
	}
	alarms, err := other.Alarms(t.Context())
	if err != nil || len(alarms) != 1 || alarms[0] != (router.Alarm{MemberID: 1, Type: pb.AlarmType_NOSPACE}) {
		t.Fatalf("alarms %v, %v", alarms, err)
	}
	deleted, err := k.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte("k"), RangeEnd: []byte("l")})
	if err != nil || deleted.Deleted == 0 {
		t.Fatalf("delete: %v, %v", deleted, err)
	}
	if _, err := k.Compact(t.Context(), router.Revision(deleted.Header.Revision), true); err != nil {
		t.Fatal(err)
	}
	if _, err := k.DisarmAlarm(t.Context(), router.Alarm{Type: pb.AlarmType_NOSPACE}); err != nil {
		t.Fatal(err)
	}
	put(t, other, "x", "1")
}

// TestSpaceIsCountedDown: what was written, deleted and compacted counts nothing
// but the deletions at the compacted revision.
func TestSpaceIsCountedDown(t *testing.T) {
	t.Parallel()
	_, client := startRedis(t)
	k := open(t, client, 1)
	for i := range 50 {
		put(t, k, fmt.Sprintf("k%d", i%7), fmt.Sprint(i))
	}
	if _, err := k.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte("k"), RangeEnd: []byte("l")}); err != nil {
		t.Fatal(err)
	}
	last := put(t, k, "z", "")
	if _, err := k.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte("z")}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Compact(t.Context(), last+1, true); err != nil {
		t.Fatal(err)
	}
	status, err := k.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The deletion of z: a header of 47 bytes, the key, its name, two digits, and
	// what every record costs.
	if status.SizeInUseBytes != 47+1+2+64 || status.Keys != 0 {
		t.Fatalf("%d bytes in use by %d keys, want 114 by none", status.SizeInUseBytes, status.Keys)
	}
}

// TestOutOfMemory: while Redis has no memory, what puts or grants is refused whole, and raises
// the NOSPACE alarm; what makes room, or only keeps what is there, is done: deletions, revokes,
// keep-alives, compactions, heartbeats. When there is memory again, the alarm goes by itself.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	_, client := startRedis(t)
	k := open(t, client, 1)
	last := put(t, k, "a", "1")
	lease, _, err := k.LeaseGrant(t.Context(), 5, 60)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.LeaseKeepAlive(t.Context(), lease.ID); err != nil {
		t.Errorf("keep-alive: %v", err)
	}
	if _, err := k.LeaseRevoke(t.Context(), lease.ID); err != nil {
		t.Errorf("revoke: %v", err)
	}
	if _, err := k.Put(t.Context(), &pb.PutRequest{Key: []byte("a")}); !errors.Is(err, router.ErrNoSpace) {
		t.Errorf("put: %v, want ErrNoSpace", err)
	}
	if _, _, err := k.LeaseGrant(t.Context(), 0, 60); !errors.Is(err, router.ErrNoSpace) {
		t.Errorf("grant: %v, want ErrNoSpace", err)
	}
	if alarms, err := k.Alarms(t.Context()); err != nil || len(alarms) != 1 || alarms[0].Type != pb.AlarmType_NOSPACE {
		t.Errorf("alarms %v, %v", alarms, err)
	}
	if resp, err := k.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte("a")}); err != nil || resp.Deleted != 1 {
		t.Errorf("deletion: %v, %v", resp, err)
	}
	if _, err := k.Compact(t.Context(), last+1, true); err != nil {
		t.Errorf("compaction: %v", err)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if got := putWhenThereIsRoom(t, k, "a"); got != last+2 {
		t.Errorf("the put took revision %d, want %d", got, last+2)
	}
	if alarms, err := k.Alarms(t.Context()); err != nil || len(alarms) != 0 {
		t.Errorf("alarms %v, %v", alarms, err)
	}
}

// putWhenThereIsRoom puts a key as soon as that is not refused for want of space any more.
func putWhenThereIsRoom(t *testing.T, k *router.Keyspace, key string) router.Revision {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		resp, err := k.Put(ctx, &pb.PutRequest{Key: []byte(key)})
		if err == nil {
			return router.Revision(resp.Header.Revision)
		}
		if !errors.Is(err, router.ErrNoSpace) {
			t.Fatal(err)
		}
	}
}

// TestNoSpaceAlarms: the alarm of a full keyspace goes when deletions and a compaction
// have made room; one that was raised by hand stays.
func TestNoSpaceAlarms(t *testing.T) {
	t.Parallel()
	server, client := startRedis(t)
	const quota = 40_000
	k := openFleetWith(t, server, router.Settings{MemberID: 1, QuotaBytes: quota})
	large := bytes.Repeat([]byte("v"), quota/8)
	var err error
	for i := 0; err == nil; i++ {
		_, err = k.Put(t.Context(), &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", i), Value: large})
	}
	if !errors.Is(err, router.ErrNoSpace) {
		t.Fatal(err)
	}
	resp, err := k.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte("k"), RangeEnd: []byte("l")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Compact(t.Context(), router.Revision(resp.Header.Revision), true); err != nil {
		t.Fatal(err)
	}
	putWhenThereIsRoom(t, k, "a")

	byHand := router.Alarm{MemberID: 7, Type: pb.AlarmType_NOSPACE}
	if err := k.RaiseAlarm(t.Context(), byHand); err != nil {
		t.Fatal(err)
	}
	if cleared, err := fleetOn(t, client).Home().ClearAlarm(t.Context(), byte(pb.AlarmType_NOSPACE)); err != nil || len(cleared) > 0 {
		t.Errorf("an alarm raised by hand: %v, %v", cleared, err)
	}
	if _, err := k.DisarmAlarm(t.Context(), byHand); err != nil {
		t.Fatal(err)
	}
	put(t, k, "a", "again")
}
