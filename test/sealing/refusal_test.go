package sealing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// exitBound is how long a frontend that cannot start may take to say so.
const exitBound = time.Minute

// TestStartWithoutTheKey: a frontend that has not the key does not start, and says which flag is
// wrong.
func TestStartWithoutTheKey(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Sealed: true})
	must[*clientv3.PutResponse](t, "put")(c.Client().Put(t.Context(), "k", value("k", 0)))
	other := filepath.Join(cluster.Folder(t), "other.key")
	made := cluster.StartFrontend(t, cluster.FrontendOptions{Args: []string{"--archive-key-file", other}}) // which makes that key
	made.Stop()
	for name, args := range map[string][]string{
		"another key":           {"--archive-key-file", other},
		"no key":                {"--object-tier", "none"},
		"another key, and told": {"--archive-key-file", other, "--seal-values"},
	} {
		t.Run(name, func(t *testing.T) {
			f := cluster.NewFrontend(t, cluster.FrontendOptions{HotTier: c.Redis.URL(), Args: args})
			f.Start()
			if code := f.WaitExit(exitBound); code != 2 {
				t.Errorf("it ended with the code %d", code)
			}
			for _, word := range []string{"sealed", "--archive-key-file", "--archive-kms-key"} {
				if !strings.Contains(f.Log(), word) {
					t.Errorf("nothing is said of %q:\n%s", word, f.Log())
				}
			}
		})
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}

// TestTurnedOnBeside: a frontend that has not the key when sealing is turned on writes nothing any more
// from then on, and the others go on.
func TestTurnedOnBeside(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Keyed: true, Redis: legible()})
	beside := cluster.StartFrontend(t, cluster.FrontendOptions{Name: "beside", HotTier: c.Redis.URL(), Args: []string{"--object-tier", "none"}})
	client, poor := c.Client(), beside.Client()
	must[*clientv3.PutResponse](t, "put")(poor.Put(t.Context(), "k", "not marked"))
	// One that writes all the time: what is acknowledged after the command returned is the
	// frontend's fault.
	writing, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	busy.Go(func() {
		for i := 0; writing.Err() == nil; i++ {
			ctx, cancel := context.WithTimeout(writing, time.Second)
			_, _ = poor.Put(ctx, "busy", fmt.Sprint("not marked ", i))
			cancel()
		}
	})
	defer busy.Wait()
	defer stop()
	if s := seal(t, c, "on"); !s.On {
		t.Fatalf("the status is %+v", s)
	}
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if _, err := poor.Put(ctx, "k", value("k", 1)); err == nil {
			t.Error("a frontend without the key has written a value")
		}
		cancel()
	}
	must[*clientv3.PutResponse](t, "put")(client.Put(t.Context(), "k", value("k", 2)))
	stop()
	busy.Wait()
	seal(t, c, "on", "--wait")
	if names := found(t, c.Redis); len(names) > 0 {
		t.Errorf("values are in %q", names)
	}
	if k := inRedis(t, c); k.sealed != k.puts {
		t.Errorf("Redis has %+v", k)
	}
}

// TestOffAgainstTheFlag: frontends with --seal-values write nothing plain, whoever turns sealing off.
func TestOffAgainstTheFlag(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Sealed: true, Redis: legible()})
	client := c.Client()
	must[*clientv3.PutResponse](t, "put")(client.Put(t.Context(), "k", value("k", 0)))
	seal(t, c, "off")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := client.Put(ctx, "k", value("k", 1)); err == nil {
		t.Error("a value was written")
	}
	if names := found(t, c.Redis); len(names) > 0 {
		t.Errorf("values are in %q", names)
	}
	seal(t, c, "on")
	cluster.Await(t, changeBound, "the frontend writes again", func() error {
		_, err := client.Put(t.Context(), "k", value("k", 2))
		return err
	})
}

// TestAlteredValues: a value that somebody has changed in Redis, or that is another key's, is not told to
// anyone. Other keys are not concerned, also where they are asked for at the same time, and the key can be written again.
func TestAlteredValues(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Options{Sealed: true, Args: []string{"--record-cache-bytes", "0"}})
	client, server := c.Client(), c.Redis.Client()
	records := make(map[string]string) // by key, the name of its record
	seal(t, c, "on", "--wait")
	for _, key := range []string{"whole", "bit", "other", "short", "plain", "unknown"} {
		must[*clientv3.PutResponse](t, "put")(client.Put(t.Context(), key, value("same length", 1)))
	}
	all := must[map[string]string](t, "read records")(server.HGetAll(t.Context(), "{default:seq}:rec").Result())
	for name, record := range all {
		length := int(record[46])
		records[record[47:47+length]] = name
	}
	alter := func(key string, change func(head, sealed []byte) []byte) {
		record := []byte(all[records[key]])
		head := 47 + len(key)
		value := change(record[:head], bytes.Clone(record[head:]))
		if err := server.HSet(t.Context(), "{default:seq}:rec", records[key], append(bytes.Clone(record[:head]), value...)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	alter("bit", func(_, sealed []byte) []byte { sealed[len(sealed)/2] ^= 1; return sealed })
	alter("other", func([]byte, []byte) []byte { return []byte(all[records["whole"]])[47+len("whole"):] })
	alter("short", func(_, sealed []byte) []byte { return sealed[:20] })
	alter("plain", func(head, _ []byte) []byte { head[0] = 0; return []byte("forged") })
	alter("unknown", func(_, sealed []byte) []byte { sealed[1] ^= 0x80; return sealed })

	var asking sync.WaitGroup
	for range 8 { // in batches with the others
		for key, want := range map[string]error{"whole": nil, "bit": rpctypes.ErrCorrupt, "other": rpctypes.ErrCorrupt, "short": rpctypes.ErrCorrupt, "plain": rpctypes.ErrCorrupt} {
			asking.Go(func() {
				got, err := client.Get(t.Context(), key)
				if !errors.Is(err, want) {
					t.Errorf("get %s: %v, not %v", key, err, want)
				}
				if err == nil && string(got.Kvs[0].Value) != value("same length", 1) {
					t.Errorf("%s is %q", key, got.Kvs[0].Value)
				}
			})
		}
	}
	asking.Wait()
	short, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := client.Get(short, "unknown"); err == nil {
		t.Error("a value of an unknown key was told")
	}
	if _, err := client.Get(t.Context(), "", clientv3.WithPrefix()); !errors.Is(err, rpctypes.ErrCorrupt) {
		t.Errorf("a range with altered values: %v", err)
	}
	if _, err := client.Put(t.Context(), "bit", value("bit", 2), clientv3.WithPrevKV()); !errors.Is(err, rpctypes.ErrCorrupt) {
		t.Errorf("a put that wants an altered value: %v", err)
	}
	for _, key := range []string{"bit", "other", "short", "plain", "unknown"} {
		must[*clientv3.PutResponse](t, "put "+key)(client.Put(t.Context(), key, value(key, 3)))
	}
	got := must[*clientv3.GetResponse](t, "get all")(client.Get(t.Context(), "", clientv3.WithPrefix()))
	if len(got.Kvs) != 6 {
		t.Errorf("%d keys are there", len(got.Kvs))
	}
	if log := c.Frontends[0].Log(); !strings.Contains(log, "a sealed value has been altered") || strings.Contains(log, marker) {
		t.Error("the log does not say that values were altered, or has values")
	}
}
