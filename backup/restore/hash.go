package restore

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/backup/etcdfile"
	"github.com/tierd/tierd/router"
)

// keyHash stands for a key; two keys of one hash are taken for impossible.
type keyHash [16]byte

func hashOf(key []byte) keyHash {
	sum := sha256.Sum256(key)
	return keyHash(sum[:16])
}

// place is where a version is in a history.
type place struct {
	main router.Revision
	sub  int32
}

// Hash computes etcd's HashKV of what a plan restores, from the archive alone. It reads the archive twice, and
// its memory grows with the number of keys: some 50 bytes for each.
func (p *Plan) Hash(ctx context.Context, a *backup.Archive) (uint32, error) {
	alive, read, err := p.alive(ctx, a, p.Revision)
	if err != nil {
		return 0, fmt.Errorf("hash the archive: %w", err)
	}
	end := p.end(read)
	if len(alive) == 0 && end.Compacted > 0 {
		// Where nothing is alive, etcd hashes what was at the compacted revision.
		if alive, _, err = p.alive(ctx, a, end.Compacted); err != nil {
			return 0, fmt.Errorf("hash the archive: %w", err)
		}
	}
	hasher := etcdfile.NewHasher()
	var revision router.Revision
	var sub int64
	_, err = a.Read(ctx, p.Plan, func(it backup.Item) error {
		if it.Kind != backup.KindChange || !p.wanted(it.Version.KV.Key) {
			return nil
		}
		original := it.Version.Sub
		if it.Revision != revision {
			revision, sub = it.Revision, 0
		}
		if it.Revision >= p.Floor {
			// Where changes of a revision are left out, the others are numbered anew.
			it.Version.Sub = sub
			sub++
		}
		if it.Revision <= end.Compacted && alive[hashOf(it.Version.KV.Key)] != (place{it.Version.Main, int32(original)}) {
			return nil
		}
		return hasher.Write(it.Version)
	})
	if err != nil {
		return 0, fmt.Errorf("hash the archive: %w", err)
	}
	return hasher.Sum(), nil
}

// alive finds the version of each key that is alive at a revision.
func (p *Plan) alive(ctx context.Context, a *backup.Archive, at router.Revision) (map[keyHash]place, backup.End, error) {
	alive := make(map[keyHash]place)
	end, err := a.Read(ctx, p.Plan, func(it backup.Item) error {
		if it.Kind != backup.KindChange || it.Revision > at || !p.wanted(it.Version.KV.Key) {
			return nil
		}
		if it.Version.Tombstone {
			delete(alive, hashOf(it.Version.KV.Key))
		} else {
			alive[hashOf(it.Version.KV.Key)] = place{it.Version.Main, int32(it.Version.Sub)}
		}
		return nil
	})
	return alive, end, err
}
