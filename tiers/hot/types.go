package hot

// Revision numbers the states of a keyspace. An empty keyspace is at revision
// 1; every transaction that writes takes exactly the next one.
type Revision int64

// Shard numbers the shards of a keyspace. The home shard shares the sequencer's Redis;
// numbers are never used twice.
type Shard uint16

// HomeShard is the one that the sequencer is on.
const HomeShard Shard = 0

// Epoch counts the changes of the shard map. A shard refuses calls that were routed by
// a map from before it gave keys away.
type Epoch int64

// EpochAny is for calls that no gate refuses.
const EpochAny Epoch = 1 << 53

// Position numbers the transactions of one shard in the order in which they
// were appended to it: 1, 2, 3, ...
type Position int64
