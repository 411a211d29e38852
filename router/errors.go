package router

import "errors"

// The errors a caller can tell apart with errors.Is. They are classified by
// what the caller does next; functions/wire turns them into etcd's codes and
// texts. Everything else that a method returns is a failure of the hot tier
// which happened before the call could change anything.
var (
	// ErrCompacted: the revision asked for lies below the compacted one.
	ErrCompacted = errors.New("revision has been compacted")
	// ErrFutureRevision: the revision asked for does not exist yet.
	ErrFutureRevision = errors.New("revision is in the future")
	// ErrKeyNotFound: ignore_value or ignore_lease on a key that does not exist.
	ErrKeyNotFound = errors.New("key not found")
	// ErrLeaseNotFound: the lease does not exist (any more).
	ErrLeaseNotFound = errors.New("lease not found")
	// ErrLeaseExists: a grant named an id that is taken.
	ErrLeaseExists = errors.New("lease already exists")
	// ErrLeaseTTLTooLarge: a grant asked for more than LeaseTTLMax seconds.
	ErrLeaseTTLTooLarge = errors.New("lease time to live is too large")
	// ErrNoSpace: the keyspace is at its quota, or Redis is out of memory.
	ErrNoSpace = errors.New("keyspace quota or memory of the hot tier is used up")
	// ErrCorrupt: the hot tier has lost acknowledged writes; nothing is served.
	ErrCorrupt = errors.New("the hot tier has lost acknowledged writes")
	// ErrTooManyKeys: a transaction would delete more keys than Settings.DeletesMax.
	ErrTooManyKeys = errors.New("too many keys in one transaction")
	// ErrTooManyRequests: a queue is full; nothing was done.
	ErrTooManyRequests = errors.New("too many requests")
	// ErrUnavailable: the hot tier cannot be reached; nothing was done.
	ErrUnavailable = errors.New("hot tier unavailable")
	// ErrOutcomeUnknown: the write may or may not have been done, and the time
	// to find out ran out.
	ErrOutcomeUnknown = errors.New("outcome of the write is unknown")
	// ErrInternal: a script failed, or Redis answered what no script says. That is
	// a bug; a write may or may not have been done.
	ErrInternal = errors.New("internal error")
	// ErrStopped: this frontend is shutting down; nothing was done.
	ErrStopped = errors.New("frontend is shutting down")
	// errStaleMap: the call was routed by an old shard map; nothing was done.
	errStaleMap = errors.New("the shard map has changed")
)
