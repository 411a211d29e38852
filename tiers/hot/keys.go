package hot

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"unsafe"
)

var keyspacePattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func checkKeyspace(name string) error {
	if !keyspacePattern.MatchString(name) {
		return fmt.Errorf("keyspace name %q: use 1 to 64 letters, digits, '.', '_' or '-'", name)
	}
	return nil
}

// keyNames are the Redis keys of a shard, in the order in which lua/lib.lua takes
// them. Those of the sequencer and the home shard (0) share the hash tag {K:seq}, so
// that they live in one slot of a Redis Cluster; those of shard N have {K:sN}.
func keyNames(keyspace string, shard Shard) []string {
	tag := "{" + keyspace + ":seq}:"
	if shard != HomeShard {
		tag = "{" + keyspace + ":s" + strconv.Itoa(int(shard)) + "}:"
	}
	names := []string{
		"order", "cuts", "leases", "due", "members", "alarms", "calls", "holds", // the sequencer's
		"meta", "rec", "key", "live", "hist", "runs", "leased", "pending", "steps", // the shard's
		"shards", "ordered", "plans", "sharers", "map", // the sequencer's
		"touched",
		"archive", "journal", "auth", // the sequencer's
	}
	for i, name := range names {
		names[i] = tag + name
	}
	return names
}

// Places in keyNames: the stream that followers wait on, and what is read without
// a script.
const (
	orderKey  = 0
	cutsKey   = 1
	metaKey   = 8
	shardsKey = 17
	mapKey    = 21
	recKey    = 9
	entryKey  = 10
	authKey   = 25
)

// id8 is a 64-bit id as Redis keeps it: eight bytes, big-endian.
func id8(id uint64) string {
	return string(binary.BigEndian.AppendUint64(nil, id))
}

// bytesOf views a reply's text as bytes without copying; nobody writes to it.
func bytesOf(text string) []byte {
	if text == "" {
		return nil
	}
	return unsafe.Slice(unsafe.StringData(text), len(text))
}

// textOf views bytes as a text without copying; nobody may write to them after.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
