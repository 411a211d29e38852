// Package crash kills tierd and its Redis for real, and damages what Redis left on
// disk, to see that no acknowledged write is lost silently.
package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// bound is how long a test may wait for anything; far above what is normal.
const bound = 2 * time.Minute

func putOne(t *testing.T, client *clientv3.Client, key string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	resp, err := client.Put(ctx, key, "value of "+key)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.Revision
}

func tailSize(t *testing.T, r *cluster.Redis) int64 {
	t.Helper()
	info, err := os.Stat(r.TailFile())
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestLostTailIsRefused: Redis comes back without the last acknowledged writes
// while a frontend lives that has seen them. Nothing is served any more, and the
// CORRUPT alarm says so, on this frontend and on every other.
func TestLostTailIsRefused(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]struct {
		writes int
		// torn cuts into the first lost record instead of before it.
		torn int64
	}{"one write": {writes: 1}, "many writes": {writes: 50}, "one torn write": {writes: 1, torn: 40}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cluster.Start(t, cluster.Options{Frontends: 2})
			client := c.Frontends[0].Client()
			for i := range 10 {
				putOne(t, client, fmt.Sprintf("kept-%d", i))
			}
			kept := tailSize(t, c.Redis)
			for i := range lost.writes {
				putOne(t, client, fmt.Sprintf("lost-%d", i))
			}
			c.Redis.Kill()
			cluster.CutTail(t, c.Redis.TailFile(), kept+lost.torn)
			refused := servesNothing(t, c.Frontends)
			c.Redis.Restart()
			refused()
			for _, f := range c.Frontends {
				refusesEverything(t, f.Client())
			}
			// A frontend that starts now and has seen nothing must not be fooled.
			late := cluster.NewFrontend(t, cluster.FrontendOptions{Name: "late", HotTier: c.Redis.URL()})
			late.Start()
			refusesEverything(t, late.Client())
		})
	}
}

// refusesEverything waits until a frontend says that data was lost, and checks that
// no call on the way there was answered.
func refusesEverything(t *testing.T, client *clientv3.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	for {
		_, err := client.Get(ctx, "kept-0")
		if err == nil {
			t.Fatal("a read was answered although acknowledged writes are lost")
		}
		if errors.Is(err, rpctypes.ErrCorrupt) {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the loss was not detected: %v", err)
		}
	}
	if _, err := client.Put(ctx, "new", "x"); !errors.Is(err, rpctypes.ErrCorrupt) {
		t.Fatalf("a write was answered with %v, want %v", err, rpctypes.ErrCorrupt)
	}
	alarms, err := client.AlarmList(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(alarms.Alarms) == 0 || alarms.Alarms[0].Alarm != pb.AlarmType_CORRUPT {
		t.Fatalf("alarms %v, want CORRUPT", alarms.Alarms)
	}
}

// TestTornUnacknowledgedWriteLoads: the half of a write that was never
// acknowledged is normal after a crash. Redis drops it, and tierd goes on.
func TestTornUnacknowledgedWriteLoads(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Frontends: 1})
	client := c.Frontends[0].Client()
	last := putOne(t, client, "a")
	c.Redis.Kill()
	file, err := os.OpenFile(c.Redis.TailFile(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	torn := "*1\r\n$5\r\nMULTI\r\n*4\r\n$4\r\nHSET\r\n$17\r\n{default:seq}:rec\r\n$1\r\n2\r\n$60\r\nhalf"
	if _, err := file.WriteString(torn); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	c.Redis.Restart()
	if next := putOne(t, client, "b"); next != last+1 {
		t.Fatalf("the next write took revision %d, want %d", next, last+1)
	}
}

// account compares the whole history with what was acknowledged.
func account(t *testing.T, client *clientv3.Client, acknowledged map[string]int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	now, err := client.Get(ctx, "load-", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	at := make(map[string]int64, len(now.Kvs))
	for _, kv := range now.Kvs {
		at[string(kv.Key)] = kv.ModRevision
	}
	for key, revision := range acknowledged {
		if at[key] != revision {
			t.Errorf("%s was acknowledged at revision %d, found at %d", key, revision, at[key])
		}
	}
	next := int64(2)
	for response := range client.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(2)) {
		if err := response.Err(); err != nil {
			t.Fatal(err)
		}
		for _, e := range response.Events {
			if e.Kv.ModRevision != next {
				t.Fatalf("the history goes from revision %d to %d (%s)", next-1, e.Kv.ModRevision, e.Kv.Key)
			}
			next++
		}
		if next > now.Header.Revision {
			break
		}
	}
	if next <= now.Header.Revision {
		t.Fatalf("the history ends at revision %d, the store is at %d", next-1, now.Header.Revision)
	}
	t.Logf("%d writes acknowledged, %d revisions, all accounted for", len(acknowledged), now.Header.Revision)
}
