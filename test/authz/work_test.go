package authz

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// keysOfUser is how many keys a user has.
const keysOfUser = 10

// attempt is a call of a user on some frontend; it gives the revision of the answer,
// if that has one.
type attempt struct {
	kind string
	do   func(ctx context.Context, conn *grpc.ClientConn) (int64, error)
}

// work makes calls as the user, and in between as root below the same prefix, so that
// there is something to watch while the user has no right.
func (r *right) work(ctx context.Context, random *rand.Rand) {
	for n := 0; ctx.Err() == nil; n++ {
		if random.IntN(4) == 0 {
			r.writeAsRoot(ctx, random)
		}
		r.once(ctx, random, fmt.Sprintf("%s %d.%d", r.prefix, random.Uint64(), n))
	}
}

// once makes one call as the user and writes down how it went.
func (r *right) once(ctx context.Context, random *rand.Rand, value string) {
	a := r.attempt(random, value)
	token, generation := r.token(random.IntN(4) == 0)
	bounded, cancel := context.WithTimeout(with(ctx, token), callBound)
	defer cancel()
	conn := r.any(random)
	o := op{kind: a.kind, generation: generation, begin: time.Now()}
	o.revision, o.err = a.do(bounded, conn)
	o.end = time.Now()
	o.result = resultOf(o.err)
	r.note(o)
}

func (r *right) key(random *rand.Rand) []byte {
	return fmt.Appendf(nil, "%s/%d", r.prefix, random.IntN(keysOfUser))
}

// attempt chooses a call.
func (r *right) attempt(random *rand.Rand, value string) attempt {
	key := r.key(random)
	from, to := r.reach()
	put := &pb.PutRequest{Key: key, Value: []byte(value)}
	get := &pb.RangeRequest{Key: from, RangeEnd: to, Limit: random.Int64N(3), Serializable: random.IntN(4) == 0}
	kv := func(kind string, do func(context.Context, pb.KVClient) (interface{ GetHeader() *pb.ResponseHeader }, error)) attempt {
		return attempt{kind, func(ctx context.Context, conn *grpc.ClientConn) (int64, error) {
			resp, err := do(ctx, pb.NewKVClient(conn))
			if err != nil {
				return 0, err
			}
			return resp.GetHeader().GetRevision(), nil
		}}
	}
	switch kind := random.IntN(20); {
	case kind < 7:
		return kv("put", func(ctx context.Context, c pb.KVClient) (interface{ GetHeader() *pb.ResponseHeader }, error) {
			return c.Put(ctx, put)
		})
	case kind < 11:
		return kv("get", func(ctx context.Context, c pb.KVClient) (interface{ GetHeader() *pb.ResponseHeader }, error) {
			return c.Range(ctx, get)
		})
	case kind < 13:
		return kv("delete", func(ctx context.Context, c pb.KVClient) (interface{ GetHeader() *pb.ResponseHeader }, error) {
			return c.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: key, PrevKv: true})
		})
	case kind < 17:
		return kv("transaction", func(ctx context.Context, c pb.KVClient) (interface{ GetHeader() *pb.ResponseHeader }, error) {
			return c.Txn(ctx, r.transaction(key, r.key(random), put, get))
		})
	case kind < 18:
		return attempt{"watch", r.tryWatch}
	}
	return attempt{"lease", r.tryLease(random)}
}

// transaction reads and writes keys that may lie on several shards, some of them
// inside a transaction of its own.
func (r *right) transaction(key, other []byte, put *pb.PutRequest, get *pb.RangeRequest) *pb.TxnRequest {
	write := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}}
	ops := []*pb.RequestOp{write, {Request: &pb.RequestOp_RequestRange{RequestRange: get}}}
	if string(key) != string(other) {
		ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: []*pb.RequestOp{
			{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: other, Value: put.Value}}},
		}}}})
	}
	compare := &pb.Compare{Key: key, Target: pb.Compare_VERSION, Result: pb.Compare_GREATER, TargetUnion: &pb.Compare_Version{Version: -1}}
	return &pb.TxnRequest{Compare: []*pb.Compare{compare}, Success: ops}
}

// tryLease has root attach a key to a lease, and the user end it. Nobody else writes
// the key: a lease without keys is anybody's to end.
func (r *right) tryLease(random *rand.Rand) func(context.Context, *grpc.ClientConn) (int64, error) {
	id := random.Int64() | 1
	key := fmt.Appendf(nil, "%s/of lease %d", r.prefix, id)
	return func(ctx context.Context, conn *grpc.ClientConn) (int64, error) {
		asRoot := with(context.WithoutCancel(r.Context()), r.rootToken())
		asRoot, cancel := context.WithTimeout(asRoot, callBound)
		defer cancel()
		lease := pb.NewLeaseClient(conn)
		if _, err := lease.LeaseGrant(asRoot, &pb.LeaseGrantRequest{ID: id, TTL: 600}); err != nil {
			return 0, status.Error(codes.Unavailable, "no lease")
		}
		if _, err := pb.NewKVClient(conn).Put(asRoot, &pb.PutRequest{Key: key, Value: []byte("of root"), Lease: id}); err != nil {
			return 0, status.Error(codes.Unavailable, "no key")
		}
		_, err := lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: id})
		return 0, err // the header of an answer may be of a later revision
	}
}

// writeAsRoot writes below the user's prefix.
func (r *right) writeAsRoot(ctx context.Context, random *rand.Rand) {
	ctx, cancel := context.WithTimeout(with(ctx, r.rootToken()), callBound)
	defer cancel()
	// That it fails while a frontend is away, or root has no token yet, is nobody's loss.
	_, _ = pb.NewKVClient(r.any(random)).Put(ctx, &pb.PutRequest{Key: r.key(random), Value: []byte("of root")})
}

// openWatch opens a watch of the user's prefix.
func (r *right) openWatch(ctx context.Context, conn *grpc.ClientConn) (pb.Watch_WatchClient, error) {
	stream, err := pb.NewWatchClient(conn).Watch(ctx)
	if err != nil {
		return nil, err
	}
	key, end := r.reach()
	create := &pb.WatchCreateRequest{Key: key, RangeEnd: end}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	resp, err := stream.Recv()
	switch {
	case err != nil:
		return nil, err
	case resp.Canceled:
		return nil, status.Error(codes.PermissionDenied, resp.CancelReason)
	}
	return stream, nil
}

func (r *right) tryWatch(ctx context.Context, conn *grpc.ClientConn) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_, err := r.openWatch(ctx, conn)
	return 0, err
}

// watch keeps a watch open as the user, and writes down what it tells.
func (r *right) watch(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		token, generation := r.token(false)
		if err := r.follow(with(ctx, token), r.any(random), generation); err != nil {
			wait(ctx, random, 20*time.Millisecond) // denied, or the frontend is away
		}
	}
}

func (r *right) follow(ctx context.Context, conn *grpc.ClientConn, generation int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := r.openWatch(ctx, conn)
	if err != nil {
		return err
	}
	opened := time.Now()
	for {
		resp, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, e := range resp.Events {
			r.noteEvent(event{generation: generation, opened: opened, at: time.Now(), revision: e.Kv.ModRevision})
		}
		if resp.Canceled {
			if isDenial(resp.CancelReason) {
				r.noteCancelled()
			}
			return status.Error(codes.PermissionDenied, resp.CancelReason)
		}
	}
}
