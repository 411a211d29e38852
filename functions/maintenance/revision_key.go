package maintenance

import (
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/router"
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
