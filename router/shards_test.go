package router_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/tiers/hot"
)

// spread is a keyspace whose keys from "b" on lie on a shard of their own on the same
// Redis as the home shard, and those from "m" on, on one on another Redis.
type spread struct {
	server    *hot.Server
	keyspaces []*router.Keyspace
}

func openFleet(t testing.TB, server *hot.Server, member uint64, step func(string)) *router.Keyspace {
	t.Helper()
	return openFleetWith(t, server, router.Settings{MemberID: member, QuotaBytes: 1 << 30, Step: step})
}

func openFleetWith(t testing.TB, server *hot.Server, settings router.Settings) *router.Keyspace {
	t.Helper()
	endpoint, err := hot.ParseEndpoint(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := endpoint.NewClient()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	fleet, err := hot.NewFleet(hot.Settings{Keyspace: "test", MemberID: settings.MemberID, RecordCacheBytes: 1 << 20},
		hot.Components{Redis: client, Logger: logger, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	settings.Keyspace, settings.Name, settings.RequestTimeout = "test", fmt.Sprintf("m%d", settings.MemberID), 7*time.Second
	k, err := router.Open(t.Context(), settings, router.Components{Fleet: fleet, Logger: logger, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := k.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := fleet.Close(); err != nil {
			t.Error(err)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func openSpread(t testing.TB, frontends int) spread {
	t.Helper()
	server, _ := startRedis(t)
	s := spread{server: server}
	for i := range frontends {
		s.keyspaces = append(s.keyspaces, openFleet(t, server, uint64(i+1), nil))
	}
	s.spread(t)
	return s
}

// spread moves keys from b on to another shard, and those from m on to another Redis.
func (s spread) spread(t testing.TB) {
	t.Helper()
	k := s.keyspaces[0]
	other, _ := startRedis(t)
	second, err := k.AddEndpoint(t.Context(), other.URL())
	if err != nil {
		t.Fatal(err)
	}
	for from, id := range map[string]int{"b": 0, "m": second} {
		to := []byte("m")
		if from == "m" {
			to = nil
		}
		if err := k.Move(t.Context(), []byte(from), to, id, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func get(t testing.TB, k *router.Keyspace, key, end string, at int64) *pb.RangeResponse {
	t.Helper()
	resp, err := k.Range(t.Context(), &pb.RangeRequest{Key: []byte(key), RangeEnd: []byte(end), Revision: at})
	if err != nil {
		t.Fatalf("range %q %q at %d: %v", key, end, at, err)
	}
	return resp
}

func TestSpreadKeys(t *testing.T) {
	t.Parallel()
	s := openSpread(t, 2)
	a, b := s.keyspaces[0], s.keyspaces[1]
	var last router.Revision = 1
	for i := range 30 {
		for j, key := range []string{"a", "b", "c", "m", "z"} {
			k := s.keyspaces[(i+j)%2]
			r := put(t, k, key, fmt.Sprint(i))
			if r != last+1 {
				t.Fatalf("put %d of %q took revision %d, want %d", i, key, r, last+1)
			}
			last = r
			resp := get(t, s.keyspaces[(i+j+1)%2], key, "", 0)
			if len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != fmt.Sprint(i) || resp.Kvs[0].ModRevision != int64(r) || resp.Kvs[0].Version != int64(i+1) || resp.Header.Revision < int64(r) {
				t.Fatalf("get %q after put %d at %d: %v", key, i, r, resp)
			}
		}
	}
	all := get(t, a, "a", "\x00", 0)
	if len(all.Kvs) != 5 || all.Count != 5 || all.Header.Revision != int64(last) {
		t.Fatalf("the whole range is %v", all)
	}
	old := get(t, b, "a", "\x00", 51)
	for i, kv := range old.Kvs {
		if string(kv.Value) != "9" || kv.ModRevision != int64(47+i) {
			t.Fatalf("at revision 51 key %d is %v", i, kv)
		}
	}
	page, err := b.Events(t.Context(), 2, 1<<20, true)
	if err != nil || len(page.Events) != 150 || page.Through != last {
		t.Fatalf("%d events through %d, %v", len(page.Events), page.Through, err)
	}
	for i, e := range page.Events {
		if e.Kv.ModRevision != int64(i+2) || (i >= 5) != (e.PrevKv != nil) {
			t.Fatalf("event %d is %v", i, e)
		}
	}
	resp, err := a.DeleteRange(t.Context(), &pb.DeleteRangeRequest{Key: []byte("b"), RangeEnd: []byte{0}, PrevKv: true})
	if err != nil || resp.Deleted != 4 || resp.Header.Revision != int64(last)+1 || len(resp.PrevKvs) != 4 {
		t.Fatalf("delete range: %v, %v", resp, err)
	}
	page, err = b.Events(t.Context(), last+1, 1<<20, true)
	if err != nil || len(page.Events) != 4 {
		t.Fatalf("events of the deletion: %v, %v", page, err)
	}
	if got := get(t, b, "a", "\x00", 0); len(got.Kvs) != 1 || got.Header.Revision != int64(last)+1 {
		t.Fatalf("what is left: %v", got)
	}
}
