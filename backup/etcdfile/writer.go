package etcdfile

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/lease/leasepb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/router"
)

// emptyBuckets are there because etcd's tools expect them. The members are those of the
// cluster that is restored to; alarms speak of this service's memory and not of the data;
// authentication is off unless PutAuth says otherwise.
func emptyBuckets() []string {
	return []string{bucketAlarm, "members", "members_removed", bucketAuth, bucketAuthUsers, bucketAuthRoles}
}

const (
	// BatchVersionsMax and batchBytesMax bound one transaction on the file, and with it the
	// memory that building takes.
	BatchVersionsMax = 10_000
	batchBytesMax    = 8 << 20
	// fillPercent suits keys that are only ever appended, as etcd fills pages.
	fillPercent = 0.9
	// lockBound is how long opening the file may wait for its lock. Nobody else is to use
	// the file, so the wait ends at once or never.
	lockBound = time.Second
)

// Writer is an etcd database file being built. One goroutine uses it. Until Finish has returned
// the file is good for nothing.
type Writer struct {
	path string
	db   *bolt.DB
	// tx is the open batch, keys its bucket of versions; versions and bytes say how much is
	// in it.
	tx              *bolt.Tx
	keys            *bolt.Bucket
	versions, bytes int
	// scratch is where a pair is encoded before it is copied to the batch.
	scratch []byte
}

// Meta is what a database says of itself.
type Meta struct {
	// Revision is the current one, Compacted the compacted one, -1 for never.
	Revision, Compacted router.Revision
	// Unswept says that versions are there which the compaction supersedes: from the revision Swept
	// on. The etcd that is started on the file removes them.
	Unswept bool
	Swept   router.Revision
	Term    uint64
	// StorageVersion is such as "3.7.0".
	StorageVersion string
}

// FinishOptions say what a finished file is for.
type FinishOptions struct {
	// Digest appends the SHA-256 of the file, which etcd's tools want of a snapshot.
	Digest bool
	// Sync returns only when the file is on disk.
	Sync bool
}

// Create creates the file at path, readable by its owner only, with etcd's buckets, all empty.
func Create(path string) (*Writer, error) {
	options := *bolt.DefaultOptions
	options.Timeout = lockBound
	options.NoSync, options.NoGrowSync = true, true
	options.FreelistType = bolt.FreelistMapType
	db, err := bolt.Open(path, 0o600, &options)
	if err != nil {
		return nil, fmt.Errorf("create the database file: %w", err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range append([]string{bucketKey, bucketMeta, bucketLease, bucketCluster}, emptyBuckets()...) {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return fmt.Errorf("create bucket %s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Writer{path: path, db: db}, nil
}

// PutVersion adds the next version, in order of revision and sub-revision.
func (w *Writer) PutVersion(v router.Version) error {
	if w.tx == nil {
		if err := w.begin(); err != nil {
			return err
		}
	}
	pair, valueAt, err := appendVersion(w.scratch[:0], v)
	if err != nil {
		return err
	}
	w.scratch = pair
	// The bucket keeps the value until the batch is committed (and copies the key).
	value := append([]byte(nil), pair[valueAt:]...)
	if err := w.keys.Put(pair[:valueAt], value); err != nil {
		return fmt.Errorf("store revision %d.%d: %w", v.Main, v.Sub, err)
	}
	w.versions++
	w.bytes += len(pair)
	if w.versions >= BatchVersionsMax || w.bytes >= batchBytesMax {
		return w.commit()
	}
	return nil
}

func (w *Writer) begin() error {
	tx, err := w.db.Begin(true)
	if err != nil {
		return fmt.Errorf("begin a batch: %w", err)
	}
	w.tx, w.keys, w.versions, w.bytes = tx, tx.Bucket([]byte(bucketKey)), 0, 0
	w.keys.FillPercent = fillPercent
	return nil
}

// commit ends the open batch, if there is one.
func (w *Writer) commit() error {
	if w.tx == nil {
		return nil
	}
	tx := w.tx
	w.tx, w.keys = nil, nil
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit a batch: %w", err)
	}
	return nil
}

// update changes the other buckets, after the versions so far.
func (w *Writer) update(change func(*bolt.Tx) error) error {
	if err := w.commit(); err != nil {
		return err
	}
	return w.db.Update(change)
}

// PutLeases adds leases; one that is there already is written again. They get their full
// time to live when the database is started: no time passes in a file.
func (w *Writer) PutLeases(leases []router.Lease) error {
	return w.update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket([]byte(bucketLease))
		for _, l := range leases {
			value, err := proto.Marshal(&leasepb.Lease{ID: l.ID, TTL: l.GrantedTTL})
			if err != nil {
				return fmt.Errorf("marshal lease %016x: %w", l.ID, err)
			}
			if err := bucket.Put(binary.BigEndian.AppendUint64(nil, uint64(l.ID)), value); err != nil {
				return fmt.Errorf("store lease %016x: %w", l.ID, err)
			}
		}
		return nil
	})
}

// PutMeta says which state the database holds.
func (w *Writer) PutMeta(m Meta) error {
	return w.update(func(tx *bolt.Tx) error {
		pairs := map[string][]byte{
			metaConsistentIndex: binary.BigEndian.AppendUint64(nil, uint64(m.Revision)),
			metaTerm:            binary.BigEndian.AppendUint64(nil, max(m.Term, 1)),
			metaStorageVersion:  []byte(m.StorageVersion),
		}
		if m.Compacted > 0 {
			pairs[metaScheduledCompact] = appendRevisionKey(nil, m.Compacted, 0, false)
			if !m.Unswept {
				m.Swept = m.Compacted
			}
			if m.Swept > 0 {
				pairs[metaFinishedCompact] = appendRevisionKey(nil, m.Swept, 0, false)
			}
		}
		for key, value := range pairs {
			if err := tx.Bucket([]byte(bucketMeta)).Put([]byte(key), value); err != nil {
				return fmt.Errorf("store %s: %w", key, err)
			}
		}
		return tx.Bucket([]byte(bucketCluster)).Put([]byte(clusterVersion), []byte(m.StorageVersion))
	})
}

// Finish closes the file, and says how large it is.
func (w *Writer) Finish(options FinishOptions) (bytes int64, err error) {
	defer func() { err = errors.Join(err, w.Close()) }()
	err = w.update(func(tx *bolt.Tx) error {
		bytes = tx.Size()
		return nil
	})
	if err != nil {
		return 0, err
	}
	if err := w.Close(); err != nil {
		return 0, fmt.Errorf("close the database file: %w", err)
	}
	file, err := os.OpenFile(w.path, os.O_RDWR, 0)
	if err != nil {
		return 0, fmt.Errorf("finish the database file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// The file grows ahead of what is used.
	if err := file.Truncate(bytes); err != nil {
		return 0, fmt.Errorf("cut the database file to its size: %w", err)
	}
	if options.Digest {
		if err := appendDigest(file); err != nil {
			return 0, err
		}
		bytes += sha256.Size
	}
	if options.Sync {
		if err := file.Sync(); err != nil {
			return 0, fmt.Errorf("sync the database file: %w", err)
		}
	}
	return bytes, nil
}

func appendDigest(file *os.File) error {
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return fmt.Errorf("read the database file for its digest: %w", err)
	}
	if _, err := file.Write(hash.Sum(nil)); err != nil {
		return fmt.Errorf("append the digest: %w", err)
	}
	return nil
}

// Close closes the file; an open batch is dropped. After Finish it does nothing.
func (w *Writer) Close() error {
	var err error
	if w.tx != nil {
		err = w.tx.Rollback()
		w.tx = nil
	}
	return errors.Join(err, w.db.Close())
}
