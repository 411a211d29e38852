package router

import (
	"context"
	"errors"
)

// What a change of the shard map can be refused for. No etcd client ever sees them.
var (
	// ErrBusy: another change is under way; nothing was done.
	ErrBusy = errors.New("another change of the shard map is under way")
	// ErrMap: it cannot be made as asked; nothing was done.
	ErrMap = errors.New("the shard map cannot be changed like this")
)

// Topology is the shard map as it is now, with what each part says of itself.
type Topology struct {
	Revision Revision
	// Epoch counts the changes of the map.
	Epoch     int64
	Endpoints []EndpointStatus
	Shards    []ShardStatus
	// Ranges divide all keys, in order: each one's To is the next one's From.
	Ranges []RangeStatus
	// Move is the move under way; nil if there is none.
	Move *MoveStatus
}

// EndpointStatus is a Redis (one server, a Redis Cluster, a set of Sentinels) that
// shards live on. Endpoint 0 holds the sequencer and the home shard.
type EndpointStatus struct {
	ID int
	// URL names no user and no password.
	URL string
	// Draining says that nothing may be moved there.
	Draining bool
	// MemoryBytes is what it uses, MemoryMaxBytes its limit (0: none).
	MemoryBytes, MemoryMaxBytes int64
	// Failure is why it could not be asked; empty if it answered.
	Failure string
}

// ShardRole says what a shard is for.
type ShardRole string

// The roles. A shard is never filled twice: a move makes a new one, and the one that
// gave its ranges away keeps their history until it is compacted.
const (
	RoleHome    ShardRole = "home"
	RoleActive  ShardRole = "active"
	RoleCopying ShardRole = "copying"
	RoleHistory ShardRole = "history"
)

// ShardStatus is one shard.
type ShardStatus struct {
	ID, Endpoint int
	Role         ShardRole
	// Keys are live keys, Bytes the data with its history.
	Keys, Bytes int64
	// Tail is the last position appended, Ordered the last one that has a revision,
	// Stamped the last one whose revision the shard's index has.
	Tail, Ordered, Stamped int64
	// Locked says that a transaction over several shards, or a move, holds it.
	Locked  bool
	Failure string
}

// RangeStatus is a range of keys and the shard that owns it.
type RangeStatus struct {
	// From is the first key, empty for the first range; To is the first key behind,
	// empty for the last one.
	From, To        []byte
	Shard, Endpoint int
	// Keys are its live keys. Bytes and Writes are its share of the shard's: writes
	// since the shard began.
	Keys, Bytes, Writes int64
	// Middle is the key that halves its keys, WrittenMiddle the one that halves its
	// last writes; empty where there is none to split at.
	Middle, WrittenMiddle []byte
}

// MoveStatus is a move under way.
type MoveStatus struct {
	From, To []byte
	// Shard is the new one, on Endpoint.
	Shard, Endpoint int
	// Step is a word for what is being done.
	Step string
	// Keys are copied so far, of about Total.
	Keys, Total int64
}

// Topologist is what may be asked and changed of the shard map. *Keyspace is the one
// implementation.
type Topologist interface {
	Topology(ctx context.Context) (Topology, error)
	// AddEndpoint makes a Redis known that shards may live on, and gives its number;
	// one that is known already keeps its own.
	AddEndpoint(ctx context.Context, url string) (int, error)
	// SetDraining says whether anything may be moved to an endpoint.
	SetDraining(ctx context.Context, endpoint int, draining bool) error
	// RemoveEndpoint forgets an endpoint that was drained, when no shard is there any more, not even for
	// history. ErrMap otherwise, ErrBusy if another change is under way.
	RemoveEndpoint(ctx context.Context, endpoint int) error
	// Split divides the range that holds a key before that key. Nothing is copied.
	Split(ctx context.Context, at []byte) error
	// Merge joins the ranges on both sides of a boundary that one shard owns.
	Merge(ctx context.Context, at []byte) error
	// Move gives all ranges from one boundary to another (empty: to the end) to a new
	// shard on an endpoint, as one range, under load. report, if not nil, is told how
	// far it is. ErrBusy if another move is under way.
	Move(ctx context.Context, from, to []byte, endpoint int, report func(MoveStatus)) error
}

var _ Topologist = (*Keyspace)(nil)
