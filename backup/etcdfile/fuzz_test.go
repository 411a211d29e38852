package etcdfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/router"
)

// FuzzVersions: whatever pairs a database has, they are versions of a keyspace, read twice
// alike, or the file is refused as one that was altered.
func FuzzVersions(f *testing.F) {
	version := func(main router.Revision, sub int64, tombstone bool, kv *mvccpb.KeyValue) ([]byte, []byte) {
		value, err := proto.Marshal(kv)
		if err != nil {
			f.Fatal(err)
		}
		return appendRevisionKey(nil, main, sub, tombstone), value
	}
	key, value := version(2, 0, false, &mvccpb.KeyValue{Key: []byte("a"), Value: []byte("v"), ModRevision: 2, CreateRevision: 2, Version: 1, Lease: 7})
	gone, goneValue := version(3, 1, true, &mvccpb.KeyValue{Key: []byte("a")})
	f.Add(key, value, gone, goneValue, []byte{0, 0, 0, 0, 0, 0, 0, 7}, []byte{8, 7, 16, 60}, appendRevisionKey(nil, 2, 0, false))
	f.Add(gone, value, key, goneValue, []byte{7}, []byte{}, []byte("x"))
	f.Add(key, []byte{}, key[:3], []byte{0xff}, []byte{0}, []byte{0xff}, appendRevisionKey(nil, 1<<62, -1, true))
	f.Fuzz(func(t *testing.T, key, value, other, otherValue, lease, leaseValue, compacted []byte) {
		path := filepath.Join(t.TempDir(), "db")
		db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true, NoGrowSync: true})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error {
			for _, p := range []struct {
				bucket     string
				key, value []byte
			}{
				{bucketMeta, []byte(metaScheduledCompact), compacted}, {bucketMeta, []byte(metaFinishedCompact), nil}, {bucketKey, key, value}, {bucketKey, other, otherValue},
				{bucketLease, lease, leaseValue}, {bucketAlarm, leaseValue, nil}, {bucketAuth, []byte(authRevision), lease}, {bucketAuthUsers, lease, value},
			} {
				bucket, err := tx.CreateBucketIfNotExists([]byte(p.bucket))
				if err != nil {
					return err
				}
				// What bbolt does not take is no pair.
				if len(p.key) > 0 && len(p.value) > 0 && len(p.key) < bolt.MaxKeySize {
					if err := bucket.Put(p.key, p.value); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		readTwice(t, path)
	})
}

// readTwice reads a file to its end.
func readTwice(t *testing.T, path string) {
	t.Helper()
	r, err := Open(t.Context(), path)
	if errors.Is(err, ErrAltered) || errors.Is(err, ErrNotDatabase) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	counted := int64(0)
	err = r.Versions(t.Context(), func(v router.Version) error {
		counted++
		if len(v.KV.Key) == 0 || v.Main < 0 || v.Sub < 0 {
			t.Errorf("a version without a key: %+v", v)
		}
		return nil
	})
	if err != nil || counted != r.State().Versions {
		t.Errorf("%d versions, %v; the state has %d", counted, err, r.State().Versions)
	}
	if leases, err := r.Leases(); err != nil || int64(len(leases)) != r.State().Leases {
		t.Errorf("%v, %v; the state has %d leases", leases, err, r.State().Leases)
	}
	if _, err := r.Hash(t.Context(), Point{At: r.State().Revision, Compacted: r.State().Compacted}); err != nil {
		t.Errorf("hash: %v", err)
	}
}

// FuzzDatabase: a file with bytes changed somewhere, and no digest behind it to tell, is read or
// refused, and never ends the process.
func FuzzDatabase(f *testing.F) {
	path := filepath.Join(f.TempDir(), "db")
	w, err := Create(path)
	if err != nil {
		f.Fatal(err)
	}
	for i := range 5 {
		v := router.Version{Main: router.Revision(i + 2), KV: &mvccpb.KeyValue{
			Key: []byte{byte('a' + i)}, Value: bytes.Repeat([]byte("v"), 100), ModRevision: int64(i + 2), CreateRevision: int64(i + 2), Version: 1,
		}}
		if err := w.PutVersion(v); err != nil {
			f.Fatal(err)
		}
	}
	if _, err := w.Finish(FinishOptions{}); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte{0}, uint32(len(whole)))
	f.Add(uint32(16), []byte{0xff, 0xff, 0xff, 0xff}, uint32(len(whole)))
	f.Add(uint32(os.Getpagesize()*3), []byte{1, 0, 0, 0, 0xff}, uint32(len(whole)/2))
	f.Fuzz(func(t *testing.T, at uint32, change []byte, size uint32) {
		altered := bytes.Clone(whole)
		copy(altered[int(at)%len(altered):], change)
		altered = altered[:int(size)%(len(altered)+1)]
		path := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(path, altered, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(t.Context(), path)
		if err != nil {
			return
		}
		defer r.Close()
		_ = r.Versions(t.Context(), func(router.Version) error { return nil }) // an error is an answer
		_, _ = r.Leases()
	})
}
