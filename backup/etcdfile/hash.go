package etcdfile

import (
	"hash/crc32"

	"github.com/tierd/tierd/router"
)

// Hasher computes etcd's checksum of a history, HashKV: CRC-32C over the name of the bucket of
// versions, and then every version as it is stored, in order. Which versions belong to the hash of a
// revision, router.API.HashedHistory says; State.Hash chooses them from a file.
type Hasher struct {
	sum    uint32
	table  *crc32.Table
	buffer []byte
}

// NewHasher begins a hash.
func NewHasher() *Hasher {
	table := crc32.MakeTable(crc32.Castagnoli)
	return &Hasher{sum: crc32.Checksum([]byte(bucketKey), table), table: table}
}

// Write adds the next version.
func (h *Hasher) Write(v router.Version) error {
	pair, _, err := appendVersion(h.buffer[:0], v)
	if err != nil {
		return err
	}
	h.buffer = pair
	h.sum = crc32.Update(h.sum, h.table, pair)
	return nil
}

// WriteMarker adds the entry without a key that etcdutl's --bump-revision leaves at a revision.
func (h *Hasher) WriteMarker(at router.Revision) {
	h.buffer = appendRevisionKey(h.buffer[:0], at, 0, false)
	h.sum = crc32.Update(h.sum, h.table, h.buffer)
}

// writePair adds a version as it is stored.
func (h *Hasher) writePair(key, value []byte) {
	h.sum = crc32.Update(crc32.Update(h.sum, h.table, key), h.table, value)
}

// Sum is the hash of what was added.
func (h *Hasher) Sum() uint32 { return h.sum }
