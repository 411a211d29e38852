package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/torture/history"
	"github.com/tierd/tierd/test/torture/model"
)

const (
	// impatience is how many calls in a hundred give up within impatientMax.
	impatience   = 2
	impatientMax = 4 * time.Millisecond
	// faithfulness is how many calls in a hundred go to the same frontend as the one
	// before.
	faithfulness = 85
	// failurePause follows a call that failed, so that an outage does not fill the
	// history.
	failurePause = 25 * time.Millisecond
)

// client makes one call after another.
type client struct {
	load       *Load
	id         int
	services   []services
	frontend   int
	random     *rand.Rand
	requests   *requests
	operations []*history.Operation
}

func newClient(l *Load, id int, group []services, random *rand.Rand) *client {
	return &client{load: l, id: id, services: group, frontend: id % len(group), random: random,
		requests: &requests{client: id, Rand: random, view: l.view}}
}

// run calls until the context ends. A call under way is not cut off by that.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil && c.load.calls.Add(1) <= int64(c.load.settings.CallsMax) {
		if c.random.IntN(100) >= faithfulness {
			c.frontend = c.random.IntN(len(c.services))
		}
		c.call(c.requests.next())
		pause := time.Duration(c.random.Int64N(int64(2*c.load.settings.Pause) + 1))
		if c.operations[len(c.operations)-1].Outcome != history.Acknowledged {
			pause += failurePause
		}
		wait(ctx, pause)
	}
}

// wait pauses, or until the context ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (c *client) call(request proto.Message) {
	timeout := c.load.settings.Timeout
	if c.random.IntN(100) < impatience {
		timeout = time.Duration(c.random.Int64N(int64(impatientMax)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	o := &history.Operation{Client: c.id, Frontend: c.frontend, Request: request, Call: c.load.Now()}
	response, err := c.services[c.frontend].do(ctx, request)
	o.Return = c.load.Now()
	c.operations = append(c.operations, o)
	if err == nil {
		o.Outcome, o.Response = history.Acknowledged, response
		c.load.acknowledged.Add(1)
		c.load.view.learn(request, response)
	} else if o.Outcome, o.Error = classify(err); o.Outcome == history.Unknown {
		o.Return = history.Forever
	}
	if grant, ok := request.(*pb.LeaseGrantRequest); ok && (o.Outcome == history.Acknowledged || o.Outcome == history.Unknown) {
		c.load.view.share(grant.ID, c.random)
	}
}

// do makes one call.
func (s services) do(ctx context.Context, request proto.Message) (proto.Message, error) {
	switch r := request.(type) {
	case *pb.RangeRequest:
		return s.kv.Range(ctx, r)
	case *pb.PutRequest:
		return s.kv.Put(ctx, r)
	case *pb.DeleteRangeRequest:
		return s.kv.DeleteRange(ctx, r)
	case *pb.TxnRequest:
		return s.kv.Txn(ctx, r)
	case *pb.CompactionRequest:
		return s.kv.Compact(ctx, r)
	case *pb.LeaseGrantRequest:
		return s.lease.LeaseGrant(ctx, r)
	case *pb.LeaseRevokeRequest:
		return s.lease.LeaseRevoke(ctx, r)
	case *pb.LeaseTimeToLiveRequest:
		return s.lease.LeaseTimeToLive(ctx, r)
	case *pb.LeaseKeepAliveRequest:
		return s.keepAlive(ctx, r)
	}
	return nil, fmt.Errorf("no service answers %T", request)
}

// keepAlive renews a lease once, on a stream of its own.
func (s services) keepAlive(ctx context.Context, r *pb.LeaseKeepAliveRequest) (proto.Message, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.lease.LeaseKeepAlive(ctx)
	if err != nil {
		return nil, err
	}
	if err := stream.Send(r); err != nil && !errors.Is(err, io.EOF) { // then Recv says why
		return nil, err
	}
	response, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	return response, nil
}

// classify says what an error means for the call. The texts are etcd's.
func classify(err error) (history.Outcome, string) {
	text := status.Convert(err).Message()
	for refusal, reason := range map[error]error{
		rpctypes.ErrGRPCCompacted: model.ErrCompacted, rpctypes.ErrGRPCFutureRev: model.ErrFuture,
		rpctypes.ErrGRPCLeaseNotFound: model.ErrLeaseNotFound, rpctypes.ErrGRPCLeaseExist: model.ErrLeaseExists,
		rpctypes.ErrGRPCKeyNotFound: model.ErrKeyNotFound,
	} {
		if text == status.Convert(refusal).Message() {
			return history.Refused, reason.Error()
		}
	}
	code := status.Code(err)
	switch {
	case code == codes.Canceled, code == codes.DeadlineExceeded, code == codes.Internal, strings.HasPrefix(text, "etcdserver: request timed out"):
		return history.Unknown, err.Error()
	case strings.HasPrefix(text, "etcdserver: "), strings.Contains(text, "Error while dialing"):
		return history.NotDone, err.Error()
	}
	return history.Unknown, err.Error()
}
