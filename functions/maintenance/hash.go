package maintenance

import (
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

// Hash is a checksum of the whole keyspace, old versions included: CRC-32C over
// the history that a snapshot of the current revision would hold. All frontends
// compute the same one at the same revision and compaction. It is not comparable
// with an etcd's, which hashes the pages of its own database, member list and
// all; HashKV is.
func (s *server) Hash(ctx context.Context, _ *pb.HashRequest) (*pb.HashResponse, error) {
	hash, info, err := hashCurrent(ctx, s.api.History)
	if err != nil {
		return nil, wire.Error(fmt.Errorf("hash: %w", err))
	}
	return &pb.HashResponse{Header: wire.Header(s.api, info.At), Hash: hash}, nil
}

// HashKV is etcd's checksum of all versions up to a revision; 0 is the current
// one.
//
// The answer is the one that an etcd computes from its database. In one case a
// running etcd answers from memory instead: for a revision that was compacted at
// exactly, it may still have the hash of what was there before that compaction,
// which it forgets when it restarts. That history is gone, here as in its
// database, and the answer is that of the restarted etcd.
func (s *server) HashKV(ctx context.Context, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	hash, info, err := s.hashKV(ctx, router.Revision(r.Revision))
	if err != nil {
		return nil, wire.Error(fmt.Errorf("hash of revision %d: %w", r.Revision, err))
	}
	resp := &pb.HashKVResponse{
		Header: wire.Header(s.api, info.Current), Hash: hash,
		HashRevision: int64(info.At), CompactRevision: int64(info.Compacted),
	}
	return resp, nil
}

func (s *server) hashKV(ctx context.Context, at router.Revision) (uint32, router.HistoryInfo, error) {
	switch {
	case at == 0:
		return hashCurrent(ctx, s.api.HashedHistory)
	case at < 0:
		// As etcd: no version is that old, so the hash is that of nothing.
		current, compacted, err := s.api.CurrentRevision(ctx)
		return etcdfile.NewHasher().Sum(), router.HistoryInfo{At: at, Current: current, Compacted: compacted}, err
	default:
		return hashAt(ctx, at, s.api.HashedHistory)
	}
}

// history is the shape of router.API.History and HashedHistory.
type history func(ctx context.Context, at router.Revision, yield func(router.Version) error) (router.HistoryInfo, error)

// hashCurrent hashes the history of the current revision, again if a compaction
// overtakes the reading.
func hashCurrent(ctx context.Context, read history) (hash uint32, info router.HistoryInfo, err error) {
	err = undisturbed(func() error {
		hash, info, err = hashAt(ctx, 0, read)
		return err
	})
	return hash, info, err
}

func hashAt(ctx context.Context, at router.Revision, read history) (uint32, router.HistoryInfo, error) {
	h := etcdfile.NewHasher()
	info, err := read(ctx, at, h.Write)
	return h.Sum(), info, err
}

// readAttemptsMax bounds how often the current state is read again because a
// compaction overtook the reading.
const readAttemptsMax = 5

// undisturbed calls read, which reads the current state, until no compaction
// overtakes it. When all attempts were overtaken the error is none of etcd's:
// the client named no revision that could have been compacted.
func undisturbed(read func() error) error {
	for range readAttemptsMax {
		if err := read(); !errors.Is(err, router.ErrCompacted) {
			return err
		}
	}
	return fmt.Errorf("a compaction overtook the reading, %d times", readAttemptsMax)
}
