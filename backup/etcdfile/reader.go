package etcdfile

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/router"
)

// sectorBytes divides the size of each database file; what is left over by a file with
// a digest behind it is the digest.
const sectorBytes = 512

// Reader is an etcd snapshot, opened. One goroutine uses it. The file must not change
// meanwhile.
type Reader struct {
	db    *bolt.DB
	state State
	// auth are the auth data.
	auth map[string][]byte
	// floor is the revision up to which the compaction was carried through: superseded versions
	// are gone up to there, and may be there above it.
	floor router.Revision
	// superseding has, of each key that has versions above floor and up to the compacted
	// revision, the last one there; empty if no compaction was interrupted.
	superseding lastVersions
}

// Open opens a snapshot, verifies its digest if it has one, and finds out what is in it. It
// reads the whole file. The errors are ErrNotDatabase and ErrAltered, and those of the file.
func Open(ctx context.Context, path string) (_ *Reader, err error) {
	identity, err := identify(ctx, path)
	if err != nil {
		return nil, err
	}
	options := *bolt.DefaultOptions
	options.ReadOnly, options.Timeout = true, lockBound
	options.PreLoadFreelist = false
	r := &Reader{state: State{Digest: identity.digest, Digested: identity.digested, SizeBytes: identity.size}}
	err = guarded(func() error {
		r.db, err = bolt.Open(path, 0, &options)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNotDatabase, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	err = r.view(func(tx *bolt.Tx) error {
		if tx.Size() > identity.size {
			return fmt.Errorf("%w: it should have %d bytes and has %d", ErrAltered, tx.Size(), identity.size)
		}
		return r.readState(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// identity is what a file is, apart from its contents.
type identity struct {
	size     int64
	digest   [sha256.Size]byte
	digested bool
}

// identify computes a file's digest and compares it with the one behind it.
func identify(ctx context.Context, path string) (id identity, err error) {
	file, err := os.Open(path)
	if err != nil {
		return id, fmt.Errorf("open the snapshot: %w", err)
	}
	defer file.Close() // only read
	info, err := file.Stat()
	if err != nil {
		return id, fmt.Errorf("look at the snapshot: %w", err)
	}
	if !info.Mode().IsRegular() {
		return id, fmt.Errorf("%w: it is no regular file", ErrNotDatabase)
	}
	id.size = info.Size()
	if id.digested = id.size%sectorBytes == sha256.Size; id.digested {
		id.size -= sha256.Size
	}
	if id.size == 0 || id.size%sectorBytes != 0 {
		return id, fmt.Errorf("%w, or cut short: no database has %d bytes", ErrNotDatabase, info.Size())
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, contextReader{ctx, io.LimitReader(file, id.size)}); err != nil {
		return id, fmt.Errorf("read the snapshot: %w", err)
	}
	hash.Sum(id.digest[:0])
	if !id.digested {
		return id, nil
	}
	var stored [sha256.Size]byte
	if _, err := io.ReadFull(file, stored[:]); err != nil {
		return id, fmt.Errorf("read the digest of the snapshot: %w", err)
	}
	if stored != id.digest {
		return id, fmt.Errorf("%w, or is none: its SHA-256 is %x, and the one behind it says %x", ErrAltered, id.digest, stored)
	}
	return id, nil
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// guarded calls f, which reads a database file that may be damaged: what the library would
// end the process for, a page that makes no sense or lies behind the end of the file, is an error.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if damage := recover(); damage != nil {
			err = fmt.Errorf("%w: %v", ErrAltered, damage)
		}
	}()
	return f()
}

// view reads the file in one transaction.
func (r *Reader) view(f func(*bolt.Tx) error) error {
	return guarded(func() error { return r.db.View(f) })
}

// Close closes the file.
func (r *Reader) Close() error {
	if err := r.db.Close(); err != nil {
		return fmt.Errorf("close the snapshot: %w", err)
	}
	return nil
}

// row is a version as it is stored. Key and value are the file's memory.
type row struct {
	router.Version
	key, value []byte
}

// marker tells whether a row is the one without a key that etcdutl's --bump-revision makes.
func (r row) marker() bool { return len(r.value) == 0 }

// rows yields the versions after a revision, as they are stored, up to and with another one. The
// KV of each is overwritten by the next.
func rows(ctx context.Context, tx *bolt.Tx, after, through router.Revision, yield func(row) error) error {
	bucket := tx.Bucket([]byte(bucketKey))
	if bucket == nil {
		return fmt.Errorf("%w: it has no versions", ErrNotDatabase)
	}
	kv := &mvccpb.KeyValue{}
	cursor := bucket.Cursor()
	for n, key, value := 0, []byte(nil), []byte(nil); ; n++ {
		if n == 0 {
			key, value = cursor.Seek(appendRevisionKey(nil, max(after, 0)+1, 0, false))
		} else {
			key, value = cursor.Next()
		}
		if key == nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		v, err := parseRevisionKey(key)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrAltered, err)
		}
		if v.Main > through {
			return nil
		}
		kv.Reset()
		if err := proto.Unmarshal(value, kv); err != nil {
			return fmt.Errorf("%w: revision %d.%d: %w", ErrAltered, v.Main, v.Sub, err)
		}
		v.KV = kv
		if err := yield(row{v, key, value}); err != nil {
			return err
		}
	}
}

// Versions yields what a snapshot of the keyspace holds, in order: all changes from the compacted
// revision on, and of those below it the ones that were still alive there. What is
// yielded is the callee's to keep.
func (r *Reader) Versions(ctx context.Context, yield func(router.Version) error) error {
	return r.view(func(tx *bolt.Tx) error {
		return r.versions(ctx, tx, func(v row) error {
			v.KV = proto.Clone(v.KV).(*mvccpb.KeyValue)
			return yield(v.Version)
		})
	})
}

func (r *Reader) versions(ctx context.Context, tx *bolt.Tx, yield func(row) error) error {
	return rows(ctx, tx, 0, maxRevision, func(v row) error {
		if v.marker() || r.compacted(v) {
			return nil
		}
		return yield(v)
	})
}

// compacted tells whether a version is one that the compaction removes.
func (r *Reader) compacted(v row) bool {
	if v.Main > r.state.Compacted {
		return false
	}
	if v.Tombstone && v.Main < r.state.Compacted {
		return true
	}
	last, later := r.superseding[keyDigest(v.KV.Key)]
	return later && (last.main != v.Main || last.sub != v.Sub)
}

// check refuses a version that cannot be one.
func check(v row) error {
	kv := v.KV
	switch {
	case len(kv.Key) == 0:
		return fmt.Errorf("%w: revision %d.%d has no key", ErrAltered, v.Main, v.Sub)
	case v.Tombstone:
		return nil
	case kv.ModRevision != int64(v.Main) || kv.CreateRevision < 1 || kv.CreateRevision > kv.ModRevision || kv.Version < 1:
		return fmt.Errorf("%w: revision %d.%d has a key created at %d, modified at %d, of version %d", ErrAltered,
			v.Main, v.Sub, kv.CreateRevision, kv.ModRevision, kv.Version)
	}
	return nil
}

// Leases are the leases, by id, each with its full time to live.
func (r *Reader) Leases() (leases []router.Lease, err error) {
	err = r.view(func(tx *bolt.Tx) error {
		leases, err = readLeases(tx)
		return err
	})
	return leases, err
}
