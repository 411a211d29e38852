package travel

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/router"
)

const (
	// undoOps and undoBytes bound one transaction: what servers take by default.
	undoOps   = 128
	undoBytes = 1 << 20
	// livePage is how many keys are read at once.
	livePage = 200
)

// Outcome is what has become of one change.
type Outcome string

// The outcomes.
const (
	// Done: it was written.
	Done Outcome = "done"
	// Changed: somebody else has changed the key since it was read, so it was left as it is.
	Changed Outcome = "changed by others"
	// Failed: the server has refused it.
	Failed Outcome = "failed"
	// Unknown: the reply was lost, so it may have been written or not.
	Unknown Outcome = "unknown"
	// Untried: it was not begun, because of what happened before.
	Untried Outcome = "not tried"
)

// Result is a change and what has become of it.
type Result struct {
	Change  Change
	Outcome Outcome
	// Err is why, of Failed and Unknown.
	Err error
}

// LiveKeys reads the keys of a keyspace through a client, all at one revision.
func LiveKeys(kv clientv3.KV, keys Keys) Live {
	return func(ctx context.Context, yield func(KeyValue) error) error {
		from, options := string(keys.Key), []clientv3.OpOption{}
		if keys.Prefix {
			end := clientv3.GetPrefixRangeEnd(from)
			if from == "" {
				from, end = "\x00", "\x00"
			}
			options = append(options, clientv3.WithRange(end))
		}
		options = append(options, clientv3.WithLimit(livePage))
		for {
			page, err := kv.Get(ctx, from, options...)
			if err != nil {
				return fmt.Errorf("read the live keys: %w", err)
			}
			for _, found := range page.Kvs {
				live := KeyValue{Key: found.Key, Value: found.Value, Create: router.Revision(found.CreateRevision), Mod: router.Revision(found.ModRevision),
					Version: found.Version, Lease: found.Lease}
				if err := yield(live); err != nil {
					return err
				}
			}
			if !page.More {
				return nil
			}
			// The key after the last one, at the same revision.
			from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
			options = append(options, clientv3.WithRev(page.Header.Revision))
		}
	}
}

// Undo makes changes, as Back found them, in transactions that do nothing to a key that somebody else has changed since. Leases
// are not made again: a key that is there keeps its own, others have none. The results are in the order of the changes.
func Undo(ctx context.Context, kv clientv3.KV, changes []Change) []Result {
	u := &undo{ctx: ctx, kv: kv}
	for len(changes) > 0 {
		n := batch(changes)
		u.write(changes[:n])
		changes = changes[n:]
	}
	return u.results
}

// batch is how many changes go into one transaction.
func batch(changes []Change) int {
	size := 0
	for i, c := range changes {
		size += 3 * len(c.Key)
		if c.New != nil {
			size += len(c.New.Value)
		}
		if i > 0 && (size > undoBytes || i == undoOps) {
			return i
		}
	}
	return len(changes)
}

type undo struct {
	// ctx is that of the call.
	ctx     context.Context
	kv      clientv3.KV
	results []Result
	stopped bool
}

func (u *undo) tell(changes []Change, outcome Outcome, err error) {
	for _, c := range changes {
		u.results = append(u.results, Result{Change: c, Outcome: outcome, Err: err})
	}
}

// write makes one transaction of changes; where one of them cannot be made, each alone.
func (u *undo) write(changes []Change) {
	if u.stopped {
		u.tell(changes, Untried, nil)
		return
	}
	var guards []clientv3.Cmp
	var ops []clientv3.Op
	for _, c := range changes {
		guards, ops = append(guards, guard(c)), append(ops, op(c))
	}
	answer, err := u.kv.Txn(u.ctx).If(guards...).Then(ops...).Commit()
	switch {
	case err != nil && refused(err):
		u.stopped = true
		u.tell(changes, Failed, err)
	case err != nil:
		u.stopped = true
		u.tell(changes, Unknown, err)
	case answer.Succeeded:
		u.tell(changes, Done, nil)
	case len(changes) == 1:
		u.tell(changes, Changed, nil)
	default:
		for i := range changes {
			u.write(changes[i : i+1])
		}
	}
}

// guard holds if the key is as it was read.
func guard(c Change) clientv3.Cmp {
	mod := int64(0)
	if c.Old != nil {
		mod = int64(c.Old.Mod)
	}
	return clientv3.Compare(clientv3.ModRevision(string(c.Key)), "=", mod)
}

func op(c Change) clientv3.Op {
	switch {
	case c.New == nil:
		return clientv3.OpDelete(string(c.Key))
	case c.Old != nil && c.Old.Lease != 0:
		return clientv3.OpPut(string(c.Key), string(c.New.Value), clientv3.WithIgnoreLease())
	default:
		return clientv3.OpPut(string(c.Key), string(c.New.Value))
	}
}

// refused tells whether an error says that nothing was done.
func refused(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	code := codes.Unknown
	var coded interface{ Code() codes.Code }
	if errors.As(err, &coded) {
		code = coded.Code()
	} else if s, ok := status.FromError(err); ok {
		code = s.Code()
	}
	switch code {
	case codes.InvalidArgument, codes.ResourceExhausted, codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition, codes.NotFound, codes.OutOfRange:
		return true
	default:
		return false
	}
}
