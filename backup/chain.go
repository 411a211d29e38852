package backup

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/tierd/tierd/router"
)

// Genesis is the chain before the first block of a timeline, and that of its base of block 0.
func Genesis(t Timeline) Chain {
	return sha256.Sum256([]byte("tierd archive\x00" + t.Keyspace + "\x00" + t.ID()))
}

// GapGenesis is the chain that a log goes on with after a gap: that of the base of
// a block number that no block has, from which reading begins again.
func GapGenesis(t Timeline, block int64, revision router.Revision) Chain {
	text := []byte("tierd gap\x00" + t.Keyspace + "\x00" + t.ID() + "\x00")
	text = binary.BigEndian.AppendUint64(text, uint64(block))
	return sha256.Sum256(binary.BigEndian.AppendUint64(text, uint64(revision)))
}

// Beginning is the chain of a base at which the log begins, or begins again after a gap.
func Beginning(t Timeline, block int64, revision router.Revision) Chain {
	if block == 0 {
		return Genesis(t)
	}
	return GapGenesis(t, block, revision)
}
