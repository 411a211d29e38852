package maintenance

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

const (
	// hashAttemptsMax bounds how often a hash is begun again because a
	// compaction overtook it.
	hashAttemptsMax = 5
	// eventPageBytes is about how much of the history is held in memory at once.
	eventPageBytes = 1 << 20
)

// errOvertaken: a compaction happened while the history was read, and what was
// read belongs to no single moment.
var errOvertaken = errors.New("a compaction overtook the reading of the history")

// Hash is a checksum of the whole keyspace, old versions included: CRC-32C over
// the history that a snapshot of the current revision would hold. All frontends
// compute the same one at the same revision and compaction. It is not comparable
// with an etcd's, which hashes the pages of its own database, member list and
// all; HashKV is.
func (s *server) Hash(ctx context.Context, _ *pb.HashRequest) (*pb.HashResponse, error) {
	h := newKVHasher(0, nil)
	info, err := s.api.History(ctx, 0, h.write)
	if err != nil {
		return nil, wire.Error(fmt.Errorf("hash: %w", err))
	}
	return &pb.HashResponse{Header: wire.Header(s.api, info.At), Hash: h.sum()}, nil
}

// HashKV is etcd's checksum of all versions up to a revision.
func (s *server) HashKV(ctx context.Context, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	resp, err := s.hashKV(ctx, r.Revision)
	for attempt := 1; errors.Is(err, errOvertaken) && attempt < hashAttemptsMax; attempt++ {
		resp, err = s.hashKV(ctx, r.Revision)
	}
	if err != nil {
		return nil, wire.Error(fmt.Errorf("hash of revision %d: %w", r.Revision, err))
	}
	return resp, nil
}

// hashKV hashes once; errOvertaken if a compaction came in between. Revision 0
// is the current one.
//
// The answer is the one that an etcd computes from its database. In one case a
// running etcd answers from memory instead: for a revision that was compacted at
// exactly, it may still have the hash of what was there before that compaction,
// which it forgets when it restarts. That history is gone, here as in its
// database, and the answer is that of the restarted etcd.
func (s *server) hashKV(ctx context.Context, revision int64) (*pb.HashKVResponse, error) {
	current, compacted, err := s.api.CurrentRevision(ctx)
	if err != nil {
		return nil, err
	}
	at := router.Revision(revision)
	switch {
	case at == 0:
		at = current
	case at > current:
		return nil, router.ErrFutureRevision
	case at > 0 && at < compacted:
		return nil, router.ErrCompacted
	}
	resp := &pb.HashKVResponse{
		Header:          wire.Header(s.api, current),
		CompactRevision: int64(compacted),
		HashRevision:    int64(at),
	}
	if compacted == 0 {
		resp.CompactRevision = -1 // etcd's word for "never"
	}
	resp.Hash, err = s.hashUpTo(ctx, at, compacted)
	return resp, err
}

// hashUpTo hashes the versions up to at, in a keyspace compacted at compacted.
func (s *server) hashUpTo(ctx context.Context, at, compacted router.Revision) (uint32, error) {
	if at < 0 {
		// As etcd: no version is that old, and nothing is hashed.
		return newKVHasher(0, nil).sum(), nil
	}
	changed, err := s.changedKeys(ctx, compacted, at)
	if err != nil {
		return 0, err
	}
	h := newKVHasher(compacted, changed)
	info, err := s.api.History(ctx, at, h.write)
	if errors.Is(err, router.ErrCompacted) || (err == nil && info.Compacted != compacted) {
		return 0, errOvertaken
	}
	if err != nil {
		return 0, err
	}
	return h.sum(), nil
}

// keyDigest stands for a key in less memory; that two keys share one does not
// happen.
type keyDigest [16]byte

func digest(key []byte) keyDigest {
	sum := sha256.Sum256(key)
	return keyDigest(sum[:])
}

// changedKeys are the keys changed in revisions above after up to at, with
// whether each is alive at at. The memory it takes grows with the number of keys
// changed since the compaction, not with their sizes or with the keyspace.
func (s *server) changedKeys(ctx context.Context, after, at router.Revision) (map[keyDigest]bool, error) {
	changed := make(map[keyDigest]bool)
	if after == 0 {
		return changed, nil // no version is older than the compaction: nothing to look up
	}
	for from := after + 1; from <= at; {
		page, err := s.api.Events(ctx, from, eventPageBytes, false)
		if errors.Is(err, router.ErrCompacted) || (err == nil && page.Compacted != after) {
			return nil, errOvertaken
		}
		if err != nil {
			return nil, fmt.Errorf("events from revision %d: %w", from, err)
		}
		if page.Through < from {
			return nil, fmt.Errorf("events from revision %d: the page is empty, though revision %d exists", from, at)
		}
		for _, e := range page.Events {
			if router.Revision(e.Kv.ModRevision) <= at {
				changed[digest(e.Kv.Key)] = e.Type == mvccpb.Event_PUT
			}
		}
		from = page.Through + 1
	}
	return changed, nil
}

// kvHasher computes etcd's HashKV from the versions in their order.
//
// etcd leaves out versions at or below the compacted revision that a compaction
// at the hashed revision would drop, which are those of keys changed since. But
// when nothing at all is alive at the hashed revision, it leaves out none of
// them. Which of the two holds is known only at the end, so both sums are kept.
type kvHasher struct {
	compacted router.Revision
	changed   map[keyDigest]bool
	// kept leaves out the versions that a compaction would drop; all does not.
	kept, all uint32
	// alive says that something is alive at the hashed revision.
	alive  bool
	table  *crc32.Table
	buffer []byte
}

// newKVHasher hashes a history compacted at compacted, in which the keys of
// changed were changed since.
func newKVHasher(compacted router.Revision, changed map[keyDigest]bool) *kvHasher {
	table := crc32.MakeTable(crc32.Castagnoli)
	start := crc32.Checksum([]byte(bucketKey), table)
	h := &kvHasher{compacted: compacted, changed: changed, kept: start, all: start, table: table}
	for _, alive := range changed {
		h.alive = h.alive || alive
	}
	return h
}

// write adds one version.
func (h *kvHasher) write(v router.Version) error {
	if v.Tombstone && v.Main == h.compacted {
		// Whether a compaction at a tombstone keeps it depends on etcd's
		// version; etcd skips it, so that all versions agree.
		return nil
	}
	pair, _, err := appendVersion(h.buffer[:0], v)
	if err != nil {
		return err
	}
	h.buffer = pair
	h.all = crc32.Update(h.all, h.table, pair)
	if v.Main <= h.compacted {
		if h.changedSince(v.KV.Key) {
			return nil
		}
		h.alive = true
	}
	h.kept = crc32.Update(h.kept, h.table, pair)
	return nil
}

func (h *kvHasher) changedSince(key []byte) bool {
	if len(h.changed) == 0 {
		return false
	}
	_, since := h.changed[digest(key)]
	return since
}

func (h *kvHasher) sum() uint32 {
	if h.alive {
		return h.kept
	}
	return h.all
}
