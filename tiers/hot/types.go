package hot

// Revision numbers the states of a keyspace. An empty keyspace is at revision
// 1; every transaction that writes takes exactly the next one.
type Revision int64

// Position numbers the transactions of one shard in the order in which they
// were appended to it: 1, 2, 3, ...
type Position int64
