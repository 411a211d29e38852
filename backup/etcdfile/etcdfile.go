// Package etcdfile writes and reads etcd's database files, those that etcdctl snapshot
// save writes and etcdutl snapshot restore reads, and computes etcd's checksum of a history.
//
// It promises that a file written here is one that etcd's own tools accept and from which a
// real etcd serves the same keys, revisions, versions and leases; and that of a file written by an
// etcd from 3.4 on, everything about the keys and leases is told as that etcd would serve it: a
// compaction that was interrupted counts as done. A file that is cut short or altered is refused.
// Memory is bounded by one batch of versions; a reader also keeps some bytes for each key that
// changed after the last compaction. A database is a single file with one owner: nothing here may be
// used on the file of a running etcd.
package etcdfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/router"
)

// The buckets of an etcd 3.7 database and the keys of its meta, cluster and auth buckets, as
// etcd's storage schema names them.
const (
	bucketKey       = "key"
	bucketMeta      = "meta"
	bucketLease     = "lease"
	bucketCluster   = "cluster"
	bucketAlarm     = "alarm"
	bucketAuth      = "auth"
	bucketAuthUsers = "authUsers"
	bucketAuthRoles = "authRoles"

	metaConsistentIndex  = "consistent_index"
	metaTerm             = "term"
	metaStorageVersion   = "storageVersion"
	metaScheduledCompact = "scheduledCompactRev"
	metaFinishedCompact  = "finishedCompactRev"
	clusterVersion       = "clusterVersion"
)

// A version is stored in an etcd database, and hashed, as a pair of byte strings:
//
//	key    8 bytes main revision, big-endian | '_' | 8 bytes sub-revision, big-endian | 't' if a tombstone
//	value  the mvccpb.KeyValue in protocol buffers; of a tombstone, one with the key alone
//
// Keys sort as revisions do.
const (
	revisionKeyBytes = 8 + 1 + 8
	tombstoneMark    = 't'
)

// appendRevisionKey appends the key of one version.
func appendRevisionKey(b []byte, main router.Revision, sub int64, tombstone bool) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(main))
	b = append(b, '_')
	b = binary.BigEndian.AppendUint64(b, uint64(sub))
	if tombstone {
		b = append(b, tombstoneMark)
	}
	return b
}

// appendVersion appends the pair of one version and says where its value begins.
func appendVersion(b []byte, v router.Version) (pair []byte, valueAt int, err error) {
	b = appendRevisionKey(b, v.Main, v.Sub, v.Tombstone)
	valueAt = len(b)
	b, err = proto.MarshalOptions{}.MarshalAppend(b, v.KV)
	if err != nil {
		return nil, 0, fmt.Errorf("marshal the version of revision %d.%d: %w", v.Main, v.Sub, err)
	}
	return b, valueAt, nil
}

// parseRevisionKey reads the key of one version.
func parseRevisionKey(key []byte) (v router.Version, err error) {
	marked := len(key) == revisionKeyBytes+1 && key[revisionKeyBytes] == tombstoneMark
	if (len(key) != revisionKeyBytes && !marked) || key[8] != '_' {
		return v, fmt.Errorf("%x is no revision", key)
	}
	main, sub := binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[9:])
	if main > math.MaxInt64 || sub > math.MaxInt64 {
		return v, fmt.Errorf("%x is no revision", key)
	}
	return router.Version{Main: router.Revision(main), Sub: int64(sub), Tombstone: marked}, nil
}

// ErrNotDatabase is a file that is no etcd snapshot, ErrAltered one that was when it was
// written.
var (
	ErrNotDatabase = errors.New("not an etcd snapshot")
	ErrAltered     = errors.New("the snapshot was altered or cut short")
)
