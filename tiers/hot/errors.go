package hot

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// What a caller can tell apart with errors.Is.
var (
	// ErrUnknown: the call may or may not have run.
	ErrUnknown = errors.New("outcome unknown")
	// ErrUnavailable: Redis could not be reached; the call did not run.
	ErrUnavailable = errors.New("redis unavailable")
	// ErrCorrupt: acknowledged writes are missing; nothing is served.
	ErrCorrupt = errors.New("acknowledged writes are missing from redis")
	// ErrOutOfMemory: Redis is at its maxmemory; the call did not run.
	ErrOutOfMemory = errors.New("redis is out of memory")
	// ErrRefused: the lane is closed; the call did not run.
	ErrRefused = errors.New("lane closed")
	// ErrCompacted: a revision below the compacted one.
	ErrCompacted = errors.New("revision compacted")
	// ErrFuture: a revision above the current one.
	ErrFuture = errors.New("revision in the future")
	// ErrKept: the CORRUPT alarm is not lowered by hand.
	ErrKept = errors.New("the CORRUPT alarm stays until the data is restored")
	// ErrScript: a script failed in the middle, which is a bug here; what it had
	// written stays, so it comes with ErrUnknown.
	ErrScript = errors.New("script failed")
	// ErrAgain: this read of a batch was not answered, and can be made again.
	ErrAgain = errors.New("read again")
	// ErrMissing: a record that an index names is not there.
	ErrMissing = errors.New("record missing")
	// ErrStaleMap: the call was routed by an old shard map; it did not run.
	ErrStaleMap = errors.New("the shard map has changed")
	// ErrGone: the shard has been removed for good; the call did not run.
	ErrGone = errors.New("the shard is gone")
	// ErrLocked: a transaction over several shards, or a move, holds the shard; the call
	// did not run. It comes as a *LockedError.
	ErrLocked = errors.New("the shard is locked")
	// ErrTicket: a token does not hold the ticket any more; the call did not run.
	ErrTicket = errors.New("the ticket has been given to someone else")
	// ErrNoKeyspace: the keyspace does not exist, and is not to be made.
	ErrNoKeyspace = errors.New("no such keyspace")
	// ErrRestoring: a restore has not come to its end.
	ErrRestoring = errors.New("the keyspace is being restored")
	// ErrKeyspaceExists: there is a keyspace already, with something in it or in service.
	ErrKeyspaceExists = errors.New("the keyspace exists")
	// ErrOtherRestore: something else is being restored there.
	ErrOtherRestore = errors.New("another restore has not come to its end")
	// ErrFenced: the archive has another writer; the call did not run.
	ErrFenced = errors.New("the archive has another writer")
	// ErrSuperseded: the caller goes by another incarnation of the shard; the call did not
	// run. Either the shard or what the caller was told is older.
	ErrSuperseded = errors.New("another incarnation of the shard was meant")
	// ErrReply: a reply that does not follow its script's format.
	ErrReply = errors.New("malformed reply")
)

// errNotRun marks failures after which the call can simply be made again;
// errStale those that want a recovery first.
var (
	errNotRun = errors.New("not run")
	errStale  = fmt.Errorf("scripts not loaded: %w", errNotRun)
)

// notRun says that a call can simply be made again.
func notRun(err error) bool { return errors.Is(err, errNotRun) }

// notKnownDone says that a call which does no harm when it is made twice can be
// made again; one that failed inside its script would only fail again.
func notKnownDone(err error) bool {
	return notRun(err) || errors.Is(err, ErrUnknown) && !errors.Is(err, ErrScript)
}

// classify says what an error of go-redis means for the call it came from.
func classify(err error) error {
	var reply redis.Error
	if errors.As(err, &reply) {
		return classifyReply(reply.Error())
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" || errors.Is(err, redis.ErrPoolTimeout) {
		return fmt.Errorf("%w: %w", errNotRun, err)
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

func classifyReply(text string) error {
	word, rest, _ := strings.Cut(text, " ")
	switch word {
	case "NOSCRIPT", "TIERD_INCARNATION":
		return fmt.Errorf("%w: %s", errStale, text)
	// What Redis says before it runs anything.
	case "LOADING", "MASTERDOWN", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "MOVED", "ASK", "MISCONF", "NOREPLICAS":
		return fmt.Errorf("%w: %s", errNotRun, text)
	// What WAIT says on a primary that has become a replica: what was sent before it ran.
	case "UNBLOCKED":
		return fmt.Errorf("%w: %s", ErrUnknown, text)
	case "TIERD_MEANT":
		return fmt.Errorf("%w: %s", ErrSuperseded, rest)
	case "TIERD_CORRUPT":
		return fmt.Errorf("%w: %s", ErrCorrupt, rest)
	case "TIERD_FORMER":
		return fmt.Errorf("%w: %s", errNotRun, text)
	case "TIERD_STALE":
		return ErrStaleMap
	case "TIERD_GONE":
		return ErrGone
	case "TIERD_BUSY":
		return &LockedError{Token: Token(rest)}
	case "TIERD_TICKET":
		return fmt.Errorf("%w: %s", ErrTicket, rest)
	case "TIERD_STAMP":
		return stampFailure(rest)
	case "TIERD_REFUSED":
		return fmt.Errorf("%w: %s", ErrRefused, rest)
	case "TIERD_COMPACTED":
		return ErrCompacted
	case "TIERD_FUTURE":
		return ErrFuture
	case "TIERD_KEEP":
		return ErrKept
	case "TIERD_RESTORE":
		return fmt.Errorf("%w: %s", ErrOtherRestore, rest)
	case "TIERD_FENCED":
		return ErrFenced
	case "TIERD_MISSING":
		return fmt.Errorf("%w: %s", ErrMissing, rest)
	case "OOM":
		return fmt.Errorf("%w: %s", ErrOutOfMemory, text)
	}
	if strings.HasPrefix(text, "ERR WAIT cannot be used with replica") {
		return fmt.Errorf("%w: %s", ErrUnknown, text)
	}
	if strings.Contains(text, "OOM command not allowed") {
		return fmt.Errorf("%w: %s", ErrOutOfMemory, text)
	}
	return fmt.Errorf("%w (%w): redis answered %q", ErrScript, ErrUnknown, text)
}
