package migrate

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"testing"

	bolt "go.etcd.io/bbolt"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/oracle"
)

// aged makes of a snapshot what an etcd before 3.5.15 would have written: without a storage version, and
// without the tombstones of the compacted revision, which it removed.
func aged(t *testing.T, path string, compacted int64) {
	t.Helper()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)-sha256.Size], 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		keys := tx.Bucket([]byte("key"))
		var old [][]byte
		err := keys.ForEach(func(key, _ []byte) error {
			if len(key) == 18 && int64(binary.BigEndian.Uint64(key)) == compacted {
				old = append(old, key)
			}
			return nil
		})
		for _, key := range old {
			err = errors.Join(err, keys.Delete(key))
		}
		if len(old) == 0 {
			err = errors.Join(err, errors.New("no tombstone at the compacted revision"))
		}
		return errors.Join(err, tx.Bucket([]byte("meta")).Delete([]byte("storageVersion")))
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if whole, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(whole)
	if err := os.WriteFile(path, append(whole, digest[:]...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A snapshot of an old etcd lacks changes of the compacted revision: some, or all of them. Everything
// after it is there.
func TestOldSnapshot(t *testing.T) {
	t.Parallel()
	for name, last := range map[string][]clientv3.Op{
		"some": {clientv3.OpDelete("b"), clientv3.OpPut("c", "3"), clientv3.OpDelete("a"), clientv3.OpPut("d", "4")},
		"all":  {clientv3.OpDelete("b"), clientv3.OpDelete("a")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			etcd := oracle.Start(t, oracle.Options{}).Client()
			ctx := t.Context()
			for _, key := range []string{"a", "b", "c", "e"} {
				if _, err := etcd.Put(ctx, key, "1"); err != nil {
					t.Fatal(err)
				}
			}
			resp, err := etcd.Txn(ctx).Then(last...).Commit()
			if err != nil {
				t.Fatal(err)
			}
			compacted := resp.Header.Revision
			for _, key := range []string{"a", "e", "f"} {
				if _, err := etcd.Put(ctx, key, "2"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := etcd.Compact(ctx, compacted, clientv3.WithCompactPhysical()); err != nil {
				t.Fatal(err)
			}
			path := save(t, etcd.Endpoints()[0])
			aged(t, path, compacted)
			redis := cluster.StartRedis(t, cluster.RedisOptions{})
			if r := done(t, "import", path, "--hot-tier", redis.URL()); !r.Equal || r.Compacted != compacted {
				t.Errorf("%+v", r)
			}
			served := serve(t, redis.URL())
			same(t, etcd, served, compacted+1, compacted+3)
			// A watch from the compacted revision on goes on with what comes after it.
			watch := served.Watch(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithRev(compacted))
			for last := int64(0); last < compacted+3; {
				answer := <-watch
				if err := answer.Err(); err != nil {
					t.Fatal(err)
				}
				last = answer.Events[len(answer.Events)-1].Kv.ModRevision
			}
		})
	}
}
