package sealing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/shards"
)

// changeBound is how long bringing all values to a setting may take here.
const changeBound = 2 * time.Minute

// overhead is how many bytes a sealed value has more (docs/formats.md).
const overhead = 45

// status is what tierd seal status tells.
type status struct {
	On, Settled bool
	Current     int
	Keys        []struct{ Number int }
}

// seal runs tierd seal.
func seal(t *testing.T, c *cluster.Cluster, arguments ...string) status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), changeBound)
	defer cancel()
	out, err := c.Tool(ctx, nil, append([]string{"seal", "--output", "json"}, arguments...)...)
	if err != nil {
		t.Fatal(err)
	}
	var s status
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatalf("decode %q: %v", out, err)
	}
	return s
}

// hashes are HashKV at some revisions, of the first frontend.
func hashes(t *testing.T, c *cluster.Cluster) []uint32 {
	t.Helper()
	client := c.Frontends[0].Client()
	now := must[*clientv3.GetResponse](t, "get")(client.Get(t.Context(), "none")).Header.Revision
	var all []uint32
	for _, at := range []int64{2, now / 2, now} {
		all = append(all, must[*clientv3.HashKVResponse](t, "hash")(client.HashKV(t.Context(), c.Frontends[0].Endpoint(), at)).Hash)
	}
	return all
}

// kept is what all shards have in Redis: the records with values, which of them are sealed, the bytes
// that are counted for the quota, and the length of the records. Entries say how long those are.
type kept struct{ puts, sealed, bytes, length int64 }

func inRedis(t *testing.T, c *cluster.Cluster) kept {
	t.Helper()
	var k kept
	for _, url := range c.HotTier {
		options, err := redis.ParseURL(url)
		if err != nil {
			t.Fatal(err)
		}
		client := redis.NewClient(options)
		defer client.Close()
		for _, name := range must[[]string](t, "list keys")(client.Keys(t.Context(), "*:rec").Result()) {
			records := must[map[string]string](t, "read records")(client.HGetAll(t.Context(), name).Result())
			for field, record := range records {
				if len(record) >= 47 && record[0]&1 == 0 && field[len(field)-1] != 'i' {
					k.puts++
					k.sealed += int64(record[0] >> 1)
					k.length += int64(len(record))
				}
			}
			prefix := name[:len(name)-len("rec")]
			bytes, err := client.HGet(t.Context(), prefix+"meta", "bytes").Int64()
			if err != nil {
				t.Fatal(err)
			}
			k.bytes += bytes
			for key, e := range must[map[string]string](t, "read entries")(client.HGetAll(t.Context(), prefix+"key").Result()) {
				number := func(from, to int) int64 {
					n, _ := strconv.ParseInt(fmt.Sprintf("%x", e[from:to]), 16, 64)
					return n
				}
				field := strconv.FormatInt(number(29, 36), 10)
				if sub := number(36, 39); sub > 0 {
					field += ":" + strconv.FormatInt(sub, 10)
				}
				if length := int64(len(records[field])); length > 0 && length != number(39, 43) {
					t.Errorf("the entry of %q says that its record has %d bytes, not %d", key, number(39, 43), length)
				}
			}
		}
	}
	return k
}

// TestOnAndOff: turned on where there is much already, all of it is sealed, history too; turned off, all
// is as it was. Nothing that clients are told is different.
func TestOnAndOff(t *testing.T) {
	t.Parallel()
	for _, spread := range [][]string{nil, {"f", "j", "p"}} {
		t.Run(fmt.Sprintf("%d shards", len(spread)+1), func(t *testing.T) {
			t.Parallel()
			c := cluster.Start(t, cluster.Options{Frontends: 2, Servers: 2, Redis: legible(), Keyed: true, Args: []string{"--balance=false"}})
			if spread != nil {
				shards.Spread(t, c, spread...)
			}
			everything(t, c)
			plain, before := inRedis(t, c), hashes(t, c)
			if plain.sealed != 0 || plain.puts < 150 {
				t.Fatalf("before anything, Redis has %+v", plain)
			}
			if s := seal(t, c, "on", "--wait"); !s.On || !s.Settled || s.Current != 1 || len(s.Keys) != 1 {
				t.Fatalf("turned on, the status is %+v", s)
			}
			sealed := inRedis(t, c)
			if sealed.sealed != plain.puts || sealed.puts != plain.puts {
				t.Errorf("%+v are sealed of %+v", sealed, plain)
			}
			if grown := plain.puts * overhead; sealed.bytes-plain.bytes != grown || sealed.length-plain.length != grown {
				t.Errorf("%d values were sealed; %d more bytes are counted, and %d there", plain.puts, sealed.bytes-plain.bytes, sealed.length-plain.length)
			}
			if after := hashes(t, c); !slices.Equal(before, after) {
				t.Errorf("the hashes were %d and are %d", before, after)
			}
			readable(t, c)
			for i, server := range c.Servers {
				if err := server.Client().BgRewriteAOF(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				cluster.Await(t, changeBound, "no value is left on disk", func() error {
					if names := found(t, server); len(names) > 0 {
						return fmt.Errorf("values are in %q of server %d", names, i)
					}
					return nil
				})
			}
			if s := seal(t, c, "off", "--wait"); s.On || !s.Settled || len(s.Keys) != 0 {
				t.Fatalf("turned off, the status is %+v", s)
			}
			if again := inRedis(t, c); again != plain {
				t.Errorf("Redis had %+v, and has %+v", plain, again)
			}
			if after := hashes(t, c); !slices.Equal(before, after) {
				t.Errorf("the hashes were %d and are %d", before, after)
			}
		})
	}
}

// counter is a key that clients count up by comparing its value.
type counter struct {
	key           string
	done, unknown atomic.Int64
}

// count adds one, if nobody else does at the same time.
func (n *counter) count(ctx context.Context, client *clientv3.Client) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	got, err := client.Get(ctx, n.key)
	if err != nil {
		return
	}
	held, number := "", int64(0)
	condition := clientv3.Compare(clientv3.CreateRevision(n.key), "=", 0)
	if len(got.Kvs) > 0 {
		held = string(got.Kvs[0].Value)
		condition = clientv3.Compare(clientv3.Value(n.key), "=", held)
		number, _ = strconv.ParseInt(held[len(marker):], 10, 64)
	}
	answer, err := client.Txn(ctx).If(condition).Then(clientv3.OpPut(n.key, marker+strconv.FormatInt(number+1, 10))).Commit()
	switch {
	case err != nil:
		n.unknown.Add(1)
	case answer.Succeeded:
		n.done.Add(1)
	}
}

// TestRotationUnderLoad: data keys are replaced again and again while clients count by comparing
// values, frontends are killed and shards move. Not a count is lost, and in the end there is one key,
// and nothing is sealed with another.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Frontends: 3, Databases: 2, Redis: legible(), Sealed: true, Args: []string{"--balance=false"}})
	shards.Spread(t, c, "f", "p")
	everything(t, c)
	ctx, stop := context.WithCancel(t.Context())
	counters := make([]*counter, 8)
	var counting sync.WaitGroup
	for i := range counters {
		counters[i] = &counter{key: fmt.Sprintf("%c/count", 'a'+3*i)}
		client := c.Client()
		for range 2 {
			counting.Go(func() {
				for ctx.Err() == nil {
					counters[i].count(ctx, client)
				}
			})
		}
	}
	defer counting.Wait()
	defer stop()
	const rounds = 6
	for round := range rounds {
		rotate(t, c)
		f := c.Frontends[round%len(c.Frontends)]
		f.Kill()
		f.Restart()
		f.AwaitReady()
		if round%2 == 0 {
			if err := shards.Move(t.Context(), c, nil, []byte("f"), []byte("p"), round/2%2); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := seal(t, c, "on", "--wait")
	if !s.Settled || s.Current != rounds+1 || len(s.Keys) != 1 {
		t.Fatalf("at the end the status is %+v", s)
	}
	stop()
	counting.Wait()
	client := c.Client()
	total := int64(0)
	for _, n := range counters {
		got := must[*clientv3.GetResponse](t, "get")(client.Get(t.Context(), n.key))
		number, err := strconv.ParseInt(string(got.Kvs[0].Value[len(marker):]), 10, 64)
		if err != nil || number < n.done.Load() || number > n.done.Load()+n.unknown.Load() {
			t.Errorf("%s is at %d (%v) after %d were counted, and %d perhaps", n.key, number, err, n.done.Load(), n.unknown.Load())
		}
		total += number
	}
	t.Logf("%d counted, %d rotations", total, rounds)
	readable(t, c)
	if k := inRedis(t, c); k.sealed != k.puts {
		t.Errorf("Redis has %+v", k)
	}
	if names := found(t, c.Redis); len(names) > 0 {
		t.Errorf("values are in %q", names)
	}
}

// rotate takes a new data key. A frontend that dies at that moment may be what is waited for.
func rotate(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	cluster.Await(t, changeBound, "the data key is replaced", func() error {
		_, err := c.Tool(t.Context(), nil, "seal", "rotate")
		return err
	})
}

// TestAnotherMasterKey: the data keys are encrypted anew, frontends that run go on, and one that
// starts needs the new key.
func TestAnotherMasterKey(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Frontends: 1, Sealed: true})
	client := c.Client()
	must[*clientv3.PutResponse](t, "put")(client.Put(t.Context(), "k", value("k", 0)))
	next := cluster.Folder(t) + "/next.key"
	if _, err := c.Tool(t.Context(), nil, "seal", "rotate-key", "--new-key-file", next); err != nil {
		t.Fatal(err)
	}
	must[*clientv3.PutResponse](t, "put")(client.Put(t.Context(), "k", value("k", 1)))
	var failure *cluster.ToolError
	if _, err := c.Tool(t.Context(), nil, "seal", "status"); !errors.As(err, &failure) || failure.Code != 2 {
		t.Errorf("with the former master key: %v", err)
	}
	c.KeyFile = next
	if s := seal(t, c, "status"); !s.On || s.Current != 1 {
		t.Errorf("the status is %+v", s)
	}
	f := cluster.StartFrontend(t, cluster.FrontendOptions{Name: "later", HotTier: c.Redis.URL(), Args: []string{"--archive-key-file", next}})
	got := must[*clientv3.GetResponse](t, "get")(f.Client().Get(t.Context(), "k"))
	if string(got.Kvs[0].Value) != value("k", 1) {
		t.Errorf("k is %q", got.Kvs[0].Value)
	}
}
