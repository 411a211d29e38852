package maintenance

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/lease/leasepb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/router"
)

// The buckets of an etcd 3.7 database and the keys of its meta and cluster
// buckets, as etcd's storage schema names them.
const (
	bucketKey     = "key"
	bucketMeta    = "meta"
	bucketLease   = "lease"
	bucketCluster = "cluster"

	metaConsistentIndex  = "consistent_index"
	metaTerm             = "term"
	metaStorageVersion   = "storageVersion"
	metaScheduledCompact = "scheduledCompactRev"
	metaFinishedCompact  = "finishedCompactRev"
	clusterVersion       = "clusterVersion"
)

// emptyBuckets are there because etcd's tools expect them. The members are those
// of the cluster that is restored to; alarms speak of this service's memory and
// not of the data; authentication is off.
var emptyBuckets = [...]string{"alarm", "members", "members_removed", "auth", "authUsers", "authRoles"}

const (
	// batchVersionsMax and batchBytesMax bound one transaction on the file, and
	// with it the memory that building takes.
	batchVersionsMax = 10_000
	batchBytesMax    = 8 << 20
	// fillPercent suits keys that are only ever appended, as etcd fills pages.
	fillPercent = 0.9
	// lockBound is how long opening the file may wait for its lock. Nobody else
	// knows the name, so the wait ends at once or never.
	lockBound = time.Second
)

// database is an etcd database file being built. One goroutine uses it.
type database struct {
	db *bolt.DB
	// tx is the open batch, keys its bucket of versions; versions and bytes say
	// how much is in it.
	tx              *bolt.Tx
	keys            *bolt.Bucket
	versions, bytes int
	// scratch is where a pair is encoded before it is copied to the batch.
	scratch []byte
}

// meta is what a database says of itself.
type meta struct {
	revision, compacted router.Revision
	term                uint64
	storageVersion      string
}

// createDatabase creates the file at path with etcd's buckets, all empty. It is
// not synced to disk at any time: it does not outlive the call that builds it.
func createDatabase(path string) (*database, error) {
	options := *bolt.DefaultOptions
	options.Timeout = lockBound
	options.NoSync, options.NoGrowSync = true, true
	options.FreelistType = bolt.FreelistMapType
	db, err := bolt.Open(path, 0o600, &options)
	if err != nil {
		return nil, fmt.Errorf("create the database file: %w", err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		names := append([]string{bucketKey, bucketMeta, bucketLease, bucketCluster}, emptyBuckets[:]...)
		for _, name := range names {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return fmt.Errorf("create bucket %s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w (closing: %v)", err, db.Close())
	}
	return &database{db: db}, nil
}

// putVersion adds one version.
func (d *database) putVersion(v router.Version) error {
	if d.tx == nil {
		if err := d.begin(); err != nil {
			return err
		}
	}
	pair, valueAt, err := appendVersion(d.scratch[:0], v)
	if err != nil {
		return err
	}
	d.scratch = pair
	// The bucket keeps the value until the batch is committed (and copies the key).
	value := append([]byte(nil), pair[valueAt:]...)
	if err := d.keys.Put(pair[:valueAt], value); err != nil {
		return fmt.Errorf("store revision %d.%d: %w", v.Main, v.Sub, err)
	}
	d.versions++
	d.bytes += len(pair)
	if d.versions >= batchVersionsMax || d.bytes >= batchBytesMax {
		return d.commit()
	}
	return nil
}

func (d *database) begin() error {
	tx, err := d.db.Begin(true)
	if err != nil {
		return fmt.Errorf("begin a batch: %w", err)
	}
	d.tx, d.keys, d.versions, d.bytes = tx, tx.Bucket([]byte(bucketKey)), 0, 0
	d.keys.FillPercent = fillPercent
	return nil
}

// commit ends the open batch, if there is one.
func (d *database) commit() error {
	if d.tx == nil {
		return nil
	}
	tx := d.tx
	d.tx, d.keys = nil, nil
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit a batch: %w", err)
	}
	return nil
}

// putLeases adds leases; one that is there already is written again. They get
// their full time to live when the database is started: no time passes in a file.
func (d *database) putLeases(leases []router.Lease) error {
	return d.db.Update(func(tx *bolt.Tx) error {
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

// putMeta says which state the database holds.
func (d *database) putMeta(m meta) error {
	return d.db.Update(func(tx *bolt.Tx) error {
		pairs := map[string][]byte{
			metaConsistentIndex: binary.BigEndian.AppendUint64(nil, uint64(m.revision)),
			metaTerm:            binary.BigEndian.AppendUint64(nil, max(m.term, 1)),
			metaStorageVersion:  []byte(m.storageVersion),
		}
		if m.compacted > 0 {
			at := appendRevisionKey(nil, m.compacted, 0, false)
			pairs[metaScheduledCompact], pairs[metaFinishedCompact] = at, at
		}
		for key, value := range pairs {
			if err := tx.Bucket([]byte(bucketMeta)).Put([]byte(key), value); err != nil {
				return fmt.Errorf("store %s: %w", key, err)
			}
		}
		return tx.Bucket([]byte(bucketCluster)).Put([]byte(clusterVersion), []byte(m.storageVersion))
	})
}

// size is how many bytes of the file, from its start, are the database.
func (d *database) size() (bytes int64, err error) {
	err = d.db.View(func(tx *bolt.Tx) error {
		bytes = tx.Size()
		return nil
	})
	return bytes, err
}

// close closes the file; an open batch is dropped.
func (d *database) close() error {
	var err error
	if d.tx != nil {
		err = d.tx.Rollback()
		d.tx = nil
	}
	if closeErr := d.db.Close(); closeErr != nil {
		err = closeErr
	}
	return err
}

// fill writes the current state of a keyspace to the database.
func (d *database) fill(ctx context.Context, api API, storageVersion string) (router.HistoryInfo, error) {
	// Leases are read on both sides of the history, and both lists are kept:
	// whichever lease a key of it names is in one of them, whether it was granted
	// or revoked meanwhile. One too many expires without keys.
	if err := d.copyLeases(ctx, api); err != nil {
		return router.HistoryInfo{}, err
	}
	info, err := api.History(ctx, 0, d.putVersion)
	if err != nil {
		return info, fmt.Errorf("read the history: %w", err)
	}
	if err := d.commit(); err != nil {
		return info, err
	}
	if err := d.copyLeases(ctx, api); err != nil {
		return info, err
	}
	m := meta{revision: info.At, compacted: info.Compacted, term: api.Term(), storageVersion: storageVersion}
	if err := d.putMeta(m); err != nil {
		return info, fmt.Errorf("describe the database: %w", err)
	}
	return info, nil
}

func (d *database) copyLeases(ctx context.Context, api API) error {
	leases, _, err := api.Leases(ctx)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	if err := d.putLeases(leases); err != nil {
		return fmt.Errorf("copy leases: %w", err)
	}
	return nil
}
