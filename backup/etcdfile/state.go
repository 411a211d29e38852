package etcdfile

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	bolt "go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/lease/leasepb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/router"
)

const maxRevision = router.Revision(math.MaxInt64)

// State is what a snapshot says of itself.
type State struct {
	// Revision is the current one, 1 if nothing was ever written; Compacted is -1 for never.
	Revision, Compacted router.Revision
	// Floor is the first revision of which all changes are there: the compacted one, or that after it,
	// since an etcd before 3.5.15 removes the tombstones of the compacted revision. -1 if all ever made are.
	Floor router.Revision
	// Digest is the SHA-256 of the database; Digested says that the file has it behind its
	// end, and so is what was saved.
	Digest    [sha256.Size]byte
	Digested  bool
	SizeBytes int64
	// StorageVersion is empty before etcd 3.6.
	StorageVersion string
	// AuthEnabled says that clients have to log in; Users and Roles are names, AuthRevision counts
	// the changes.
	AuthEnabled  bool
	AuthRevision uint64
	Users, Roles []string
	Alarms       []string
	// Markers are the revisions of the entries that etcdutl's --bump-revision left. They are no
	// keys, but are in etcd's hash.
	Markers []router.Revision
	// Versions counts what Reader.Versions yields, Keys those alive at the end, Leases the
	// leases; KeyBytes is the size of the versions as they are stored.
	Versions, Keys, Leases, VersionBytes int64
}

// State is what the snapshot says of itself.
func (r *Reader) State() State { return r.state }

// readState fills the state in: one pass over the keys that changed while a compaction was
// interrupted, one over all versions.
func (r *Reader) readState(ctx context.Context, tx *bolt.Tx) error {
	for _, read := range []func(*bolt.Tx) error{r.readMeta, r.readAuth, r.readAlarms} {
		if err := read(tx); err != nil {
			return err
		}
	}
	if r.state.Compacted > r.floor {
		last, err := lastSince(ctx, tx, r.floor, r.state.Compacted)
		if err != nil {
			return err
		}
		r.superseding = last
	}
	leases, err := readLeases(tx)
	if err != nil {
		return err
	}
	r.state.Leases = int64(len(leases))
	return r.count(ctx, tx)
}

func (r *Reader) readMeta(tx *bolt.Tx) error {
	meta := tx.Bucket([]byte(bucketMeta))
	if meta == nil || tx.Bucket([]byte(bucketKey)) == nil {
		return fmt.Errorf("%w: the database is not one of an etcd", ErrNotDatabase)
	}
	finished, err := readRevision(meta, metaFinishedCompact)
	if err != nil {
		return err
	}
	scheduled, err := readRevision(meta, metaScheduledCompact)
	if err != nil {
		return err
	}
	r.floor, r.state.Compacted = finished, max(finished, scheduled)
	r.state.StorageVersion = string(meta.Get([]byte(metaStorageVersion)))
	return nil
}

// readRevision reads an entry of the meta bucket; -1 if it is not there.
func readRevision(meta *bolt.Bucket, name string) (router.Revision, error) {
	value := meta.Get([]byte(name))
	if value == nil {
		return -1, nil
	}
	v, err := parseRevisionKey(value)
	if err != nil {
		return 0, fmt.Errorf("%w: %s: %w", ErrAltered, name, err)
	}
	return v.Main, nil
}

// names are the keys of a bucket.
func names(tx *bolt.Tx, bucket string) (all []string) {
	b := tx.Bucket([]byte(bucket))
	if b == nil {
		return nil
	}
	cursor := b.Cursor()
	for key, _ := cursor.First(); key != nil; key, _ = cursor.Next() {
		all = append(all, string(key))
	}
	return all
}

func (r *Reader) readAlarms(tx *bolt.Tx) error {
	for _, text := range names(tx, bucketAlarm) {
		alarm := &pb.AlarmMember{}
		if err := proto.Unmarshal([]byte(text), alarm); err != nil {
			return fmt.Errorf("%w: an alarm: %w", ErrAltered, err)
		}
		r.state.Alarms = append(r.state.Alarms, fmt.Sprintf("%s of member %x", alarm.Alarm, alarm.MemberID))
	}
	return nil
}

func readLeases(tx *bolt.Tx) ([]router.Lease, error) {
	bucket := tx.Bucket([]byte(bucketLease))
	if bucket == nil {
		return nil, nil
	}
	var leases []router.Lease
	err := bucket.ForEach(func(key, value []byte) error {
		l := &leasepb.Lease{}
		if err := proto.Unmarshal(value, l); err != nil {
			return fmt.Errorf("%w: lease %x: %w", ErrAltered, key, err)
		}
		if len(key) != 8 || int64(binary.BigEndian.Uint64(key)) != l.ID {
			return fmt.Errorf("%w: lease %x stands under %x", ErrAltered, l.ID, key)
		}
		leases = append(leases, router.Lease{ID: l.ID, GrantedTTL: l.TTL, RemainingTTL: l.TTL})
		return nil
	})
	return leases, err
}

// count reads all versions once: it checks and counts them.
func (r *Reader) count(ctx context.Context, tx *bolt.Tx) error {
	s := &r.state
	s.Revision, s.Floor = max(1, s.Compacted), s.Compacted
	next := int64(0) // the number of the next change of the compacted revision
	return rows(ctx, tx, 0, maxRevision, func(v row) error {
		s.Revision = max(s.Revision, v.Main)
		if v.marker() {
			s.Markers = append(s.Markers, v.Main)
			return nil
		}
		if r.compacted(v) {
			return nil
		}
		s.Versions++
		s.VersionBytes += int64(len(v.key) + len(v.value))
		if v.Main == s.Compacted {
			if v.Sub != next {
				s.Floor = s.Compacted + 1
			}
			next++
		}
		switch recent := v.Main > s.Compacted; {
		case v.Tombstone && recent:
			s.Keys--
		case !v.Tombstone && (!recent || v.KV.CreateRevision == int64(v.Main)):
			s.Keys++
		}
		return check(v)
	})
}

// keyDigest stands for a key in memory.
func keyDigest(key []byte) [16]byte {
	sum := sha256.Sum256(key)
	return [16]byte(sum[:])
}

// lastVersion is the last version of a key within some revisions.
type lastVersion struct {
	main  router.Revision
	sub   int64
	alive bool
}

type lastVersions map[[16]byte]lastVersion

// lastSince finds the last versions of the keys that changed after a revision, up to and with
// another one.
func lastSince(ctx context.Context, tx *bolt.Tx, after, through router.Revision) (lastVersions, error) {
	last := make(lastVersions)
	err := rows(ctx, tx, after, through, func(v row) error {
		last[keyDigest(v.KV.Key)] = lastVersion{v.Main, v.Sub, !v.Tombstone}
		return nil
	})
	return last, err
}

// Point names a hash: that of revision At, in a keyspace compacted at Compacted (-1: never).
type Point struct {
	At, Compacted router.Revision
}

// Hash is etcd's HashKV: the number that an etcd started on this file would tell, once it was
// compacted there. Neither may be below what the file is compacted at.
func (r *Reader) Hash(ctx context.Context, p Point) (sum uint32, err error) {
	if p.Compacted < r.state.Compacted || p.At < p.Compacted {
		return 0, fmt.Errorf("the snapshot is compacted at %d: it has no hash of revision %d compacted at %d", r.state.Compacted, p.At, p.Compacted)
	}
	then := &Reader{db: r.db, state: r.state, floor: r.floor}
	then.state.Compacted = p.Compacted
	err = r.view(func(tx *bolt.Tx) error {
		sum, err = then.hash(ctx, tx, p.At)
		return err
	})
	return sum, err
}

// hash hashes all versions above the compacted revision, and below it those that are alive
// at the revision asked for; if nothing at all is, then all there are.
func (r *Reader) hash(ctx context.Context, tx *bolt.Tx, at router.Revision) (uint32, error) {
	var last lastVersions
	if r.state.Compacted > 0 {
		var err error
		if r.superseding, err = lastSince(ctx, tx, r.floor, r.state.Compacted); err != nil {
			return 0, err
		}
		if last, err = lastSince(ctx, tx, r.floor, at); err != nil {
			return 0, err
		}
	}
	anything := false
	for _, l := range last {
		anything = anything || l.alive
	}
	kept, all := NewHasher(), NewHasher()
	err := rows(ctx, tx, 0, at, func(v row) error {
		if r.compacted(v) || (v.Tombstone && v.Main == r.state.Compacted) {
			return nil
		}
		all.writePair(v.key, v.value)
		l, later := last[keyDigest(v.KV.Key)]
		alive := !v.Tombstone && (!later || (l.main == v.Main && l.sub == v.Sub))
		anything = anything || alive
		if alive || v.Main > r.state.Compacted {
			kept.writePair(v.key, v.value)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if !anything {
		return all.Sum(), nil
	}
	return kept.Sum(), nil
}
