package sealing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/shards"
)

// marker is in every value that the tests write, and in no key.
const marker = "PLAINTEXT-MARKER"

// value is one with the marker, long enough to be stored by itself.
func value(name string, n int) string {
	return fmt.Sprintf("%s of %s, number %d %s", marker, name, n, strings.Repeat(marker, 4))
}

// legible is a Redis that does not compress what it writes, so that a search finds it.
func legible() cluster.RedisOptions {
	return cluster.RedisOptions{Config: []string{"--rdbcompression", "no"}}
}

// found lists files of a server that have the marker, after it has also written a snapshot of
// all that it has.
func found(t *testing.T, server *cluster.Redis) []string {
	t.Helper()
	client := server.Client()
	if err := client.Save(t.Context()).Err(); err != nil {
		t.Fatalf("save: %v", err)
	}
	var names []string
	searched := int64(0)
	err := filepath.WalkDir(server.Dir(), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // one that a rewrite has replaced
		}
		if err != nil || !entry.Type().IsRegular() || strings.HasSuffix(path, ".log") {
			return err
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		searched += int64(len(text))
		if bytes.Contains(text, []byte(marker)) {
			names = append(names, filepath.Base(path))
		}
		return err
	})
	if err != nil || searched == 0 {
		t.Fatalf("search %s: %d bytes, error %v", server.Dir(), searched, err)
	}
	return names
}

// must ends a test with an error.
func must[T any](t *testing.T, what string) func(T, error) T {
	t.Helper()
	return func(result T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return result
	}
}

// everything writes values in every way that there is.
func everything(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	ctx, client := t.Context(), c.Client()
	put := must[*clientv3.PutResponse](t, "put")
	txn := must[*clientv3.TxnResponse](t, "transaction")
	lease := must[*clientv3.LeaseGrantResponse](t, "grant")(client.Grant(ctx, 600))
	for i := range 40 {
		key := fmt.Sprintf("%c/%d", 'a'+i%26, i)
		put(client.Put(ctx, key, value(key, 0)))
		put(client.Put(ctx, key, value(key, 1), clientv3.WithPrevKV(), clientv3.WithLease(lease.ID)))
		put(client.Put(ctx, key, "", clientv3.WithIgnoreValue()))
		put(client.Put(ctx, key, value(key, 2), clientv3.WithIgnoreLease()))
	}
	// On one shard, decided by a value, in both branches; on several; nested; over ranges.
	for i, held := range []string{value("a/0", 2), value("no such", 0)} {
		got := txn(client.Txn(ctx).If(clientv3.Compare(clientv3.Value("a/0"), "=", held)).
			Then(clientv3.OpPut("a/1", value("then", i)), clientv3.OpGet("a/0")).
			Else(clientv3.OpPut("a/2", value("else", i)), clientv3.OpGet("a/0")).Commit())
		if got.Succeeded != (i == 0) || string(got.Responses[1].GetResponseRange().Kvs[0].Value) != value("a/0", 2) {
			t.Fatalf("a comparison of values gave %v", got)
		}
	}
	txn(client.Txn(ctx).If(clientv3.Compare(clientv3.Value("b/"), ">", "A").WithPrefix()).Then(
		clientv3.OpPut("a/3", value("across", 0)), clientv3.OpPut("i/3", value("across", 1)), clientv3.OpPut("q/3", value("across", 2)),
		clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("z/3", value("nested", 0), clientv3.WithPrevKV())}, nil)).Commit())
	must[*clientv3.DeleteResponse](t, "delete")(client.Delete(ctx, "b/", clientv3.WithPrefix(), clientv3.WithPrevKV()))
	must[*clientv3.DeleteResponse](t, "delete over shards")(client.Delete(ctx, "h", clientv3.WithRange("j"), clientv3.WithPrevKV()))
}

// readable checks what everything has left, and that history is there.
func readable(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	for _, f := range c.Frontends {
		client := f.Client()
		got := must[*clientv3.GetResponse](t, "get")(client.Get(t.Context(), "\x00", clientv3.WithFromKey()))
		if len(got.Kvs) < 30 {
			t.Fatalf("%s has %d keys", f.Name(), len(got.Kvs))
		}
		for _, kv := range got.Kvs {
			if !bytes.HasPrefix(kv.Value, []byte(marker)) {
				t.Fatalf("%s: key %q has the value %q", f.Name(), kv.Key, kv.Value)
			}
		}
		watching, cancel := context.WithTimeout(t.Context(), time.Minute)
		events := 0
		for page := range client.Watch(watching, "\x00", clientv3.WithFromKey(), clientv3.WithRev(2), clientv3.WithPrevKV()) {
			if page.Err() != nil {
				t.Fatalf("watch: %v", page.Err())
			}
			for _, e := range page.Events {
				events++
				if e.Type == clientv3.EventTypePut && !bytes.HasPrefix(e.Kv.Value, []byte(marker)) {
					t.Fatalf("revision %d has the value %q", e.Kv.ModRevision, e.Kv.Value)
				}
			}
			if page.Header.Revision >= got.Header.Revision || events > 0 && page.Events[len(page.Events)-1].Kv.ModRevision >= got.Header.Revision {
				break
			}
		}
		cancel()
		if events < 150 {
			t.Fatalf("%s tells %d events", f.Name(), events)
		}
	}
}

// TestNothingPlainOnDisk: whatever is done with values, no Redis has ever one of them, neither
// in memory nor in a file. The same search finds them where nothing is sealed.
func TestNothingPlainOnDisk(t *testing.T) {
	t.Parallel()
	for _, spread := range [][]string{nil, {"f", "j", "p"}} {
		for _, sealed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d shards, sealed %v", len(spread)+1, sealed), func(t *testing.T) {
				t.Parallel()
				c := cluster.Start(t, cluster.Options{Frontends: 2, Servers: 2, Redis: legible(), Keyed: true, Sealed: sealed, Args: []string{"--balance=false"}})
				if spread != nil {
					shards.Spread(t, c, spread...)
				}
				everything(t, c)
				if err := shards.Move(t.Context(), c, nil, nil, nil, 1); err != nil {
					t.Fatal(err)
				}
				everything(t, c)
				readable(t, c)
				for i, server := range c.Servers {
					names := found(t, server)
					if sealed && len(names) > 0 {
						t.Errorf("values are in %q of server %d", names, i)
					}
					if !sealed && len(names) == 0 {
						t.Errorf("no value is found on server %d, where none is sealed", i)
					}
				}
			})
		}
	}
}
