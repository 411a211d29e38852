package crash

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// leaseSeconds is the time to live of the leases in these tests: far more than a
// test takes.
const leaseSeconds = 600

// moveClock has every time that Redis has stored for the keyspace lie elsewhere, as
// if its clock had jumped by that much. See docs/formats.md for where they lie.
func moveClock(t *testing.T, r *cluster.Redis, by time.Duration) {
	t.Helper()
	ctx, client, ms := t.Context(), r.Client(), by.Milliseconds()
	shift := func(text string, at int) string {
		b := []byte(text)
		binary.BigEndian.PutUint64(b[at:], uint64(int64(binary.BigEndian.Uint64(b[at:]))-ms))
		return string(b)
	}
	_, err := client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		leases, err := client.HGetAll(ctx, "{default:seq}:leases").Result()
		if err != nil {
			return err
		}
		for id, lease := range leases {
			p.HSet(ctx, "{default:seq}:leases", id, shift(lease, 8))
			p.ZIncrBy(ctx, "{default:seq}:due", float64(-ms), id)
		}
		members, err := client.HGetAll(ctx, "{default:seq}:members").Result()
		if err != nil {
			return err
		}
		for id, member := range members {
			p.HSet(ctx, "{default:seq}:members", id, shift(shift(member, 0), 8))
		}
		recovered, err := client.HGet(ctx, "{default:seq}:order", "recovered").Result()
		if err != nil {
			return err
		}
		at, err := strconv.ParseInt(recovered, 10, 64)
		if err == nil {
			p.HSet(ctx, "{default:seq}:order", "recovered", at-ms)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func leased(t *testing.T, client *clientv3.Client, key string) clientv3.LeaseID {
	t.Helper()
	lease, err := client.Grant(t.Context(), leaseSeconds)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(t.Context(), key, "x", clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	return lease.ID
}

// TestClockJumps: the clock of Redis jumps. Forward, leases end early, each in one
// revision of its own; back, they live longer, and the next keep-alive gives them
// their time again. Keys without a lease, revisions and members stay as they are.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Frontends: 2})
	client := c.Client()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	putOne(t, client, "kept-0")
	first := leased(t, client, "kept-leased")

	moveClock(t, c.Redis, -2*leaseSeconds*time.Second)
	if _, err := client.KeepAliveOnce(ctx, first); err != nil {
		t.Fatal(err)
	}
	left, err := client.TimeToLive(ctx, first)
	if err != nil || left.TTL > leaseSeconds || left.TTL <= 0 {
		t.Fatalf("after a keep-alive the lease has %v, %v", left, err)
	}

	before, err := client.Get(ctx, "kept-", clientv3.WithPrefix())
	if err != nil || before.Count != 2 {
		t.Fatalf("there is %v, %v", before, err)
	}
	watch := client.Watch(ctx, "kept-", clientv3.WithPrefix(), clientv3.WithRev(before.Header.Revision+1))
	moveClock(t, c.Redis, 4*leaseSeconds*time.Second) // beyond the full time that every lease has after a recovery
	ended := <-watch
	if len(ended.Events) != 1 || ended.Events[0].Type != clientv3.EventTypeDelete || ended.Events[0].Kv.ModRevision != before.Header.Revision+1 {
		t.Fatalf("the jump changed %v, %v", ended.Events, ended.Err())
	}
	cluster.Await(t, bound, "both frontends are members", func() error {
		members, err := client.MemberList(ctx)
		if err == nil && len(members.Members) != 2 {
			err = errors.New("a frontend is missing")
		}
		return err
	})
	after, err := client.Get(ctx, "kept-", clientv3.WithPrefix())
	if err != nil || after.Count != 1 || after.Header.Revision != before.Header.Revision+1 {
		t.Fatalf("after the jumps there is %v, %v", after, err)
	}
}

// TestLeasesGetTheirFullTimeAgain: leases that would have ended while Redis was down
// do not end when it comes back: their owners could not renew them.
func TestLeasesGetTheirFullTimeAgain(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{})
	id := leased(t, c.Client(), "kept-leased")
	c.Frontends[0].Stop()
	moveClock(t, c.Redis, 2*leaseSeconds*time.Second)
	c.Redis.Kill()
	c.Redis.Restart()
	c.Frontends[0].Restart()
	left, err := c.Frontends[0].Client().TimeToLive(t.Context(), id, clientv3.WithAttachedKeys())
	if err != nil || left.TTL < leaseSeconds/2 || len(left.Keys) != 1 {
		t.Fatalf("the lease has %v, %v", left, err)
	}
}
