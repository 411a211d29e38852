package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router/feed"
)

const (
	// autoID in a request lets the server choose the id.
	autoID = 0
	// invalidID is the id in answers that are about no watch.
	invalidID = -1
)

// Why a watch is refused, in etcd's words.
const (
	reasonEmptyRange  = "mvcc: watcher range is empty"
	reasonDuplicateID = "mvcc: duplicate watch ID provided on the WatchStream"
)

// watch is what a stream knows of one of its watches; it is the Tag of the
// feed's watcher.
type watch struct {
	id                       int64
	fragment, progressNotify bool
}

// receiver turns the requests of one stream into calls of the feed. It belongs to
// one goroutine.
type receiver struct {
	server *server
	stream pb.Watch_WatchServer
	hub    *feed.Stream
	// watches are those that the client has not canceled, among them the ones that
	// compaction has ended: their ids stay taken, as in etcd.
	watches map[int64]*feed.Watcher
	// nextID is where the search for a free id begins.
	nextID int64
}

func newReceiver(s *server, stream pb.Watch_WatchServer, hub *feed.Stream) *receiver {
	return &receiver{server: s, stream: stream, hub: hub, watches: make(map[int64]*feed.Watcher)}
}

// run serves requests until the client sends no more (nil) or the stream fails.
func (r *receiver) run() error {
	for {
		request, err := r.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.serve(r.stream.Context(), request); err != nil {
			return err
		}
	}
}

// serve serves one request. What is none at all is passed over, as in etcd.
func (r *receiver) serve(ctx context.Context, request *pb.WatchRequest) error {
	switch {
	case request.GetCreateRequest() != nil:
		return r.create(ctx, request.GetCreateRequest())
	case request.GetCancelRequest() != nil:
		return r.cancel(ctx, request.GetCancelRequest().WatchId)
	case request.GetProgressRequest() != nil:
		r.hub.RequestProgress()
	default:
		r.server.logger.Debug("a watch request without content is ignored", "type", fmt.Sprintf("%T", request.GetRequestUnion()))
	}
	return nil
}

// create starts a watch, or refuses it within the stream.
func (r *receiver) create(ctx context.Context, c *pb.WatchCreateRequest) error {
	if c.StartRevision < 0 {
		return r.refuse(ctx, rpctypes.ErrorDesc(rpctypes.ErrGRPCCompacted))
	}
	request := rangeOf(c)
	if refused, err := r.permit(ctx, &request, c.RangeEnd); err != nil {
		return fmt.Errorf("create a watch: %w", err)
	} else if refused != nil {
		return r.refuse(ctx, deniedReason(refused))
	}
	if request.Range && len(request.End) > 0 && bytes.Compare(request.Key, request.End) >= 0 {
		return r.refuse(ctx, reasonEmptyRange)
	}
	if len(r.watches) >= r.server.settings.watchesMax() {
		r.server.metrics.tooMany.Inc()
		return r.refuse(ctx, rpctypes.ErrorDesc(rpctypes.ErrGRPCRequestTooManyRequests))
	}
	id := c.WatchId
	if id == autoID {
		id = r.freeID()
	} else if r.watches[id] != nil {
		return r.refuse(ctx, reasonDuplicateID)
	}
	request.Start = feed.Revision(c.StartRevision)
	request.PrevKV = c.PrevKv
	request.NoPut = slices.Contains(c.Filters, pb.WatchCreateRequest_NOPUT)
	request.NoDelete = slices.Contains(c.Filters, pb.WatchCreateRequest_NODELETE)
	request.Tag = &watch{id: id, fragment: c.Fragment, progressNotify: c.ProgressNotify}
	watcher, err := r.hub.Watch(ctx, request)
	if err != nil {
		return fmt.Errorf("create watch %d: %w", id, err)
	}
	r.watches[id] = watcher
	return nil
}

// permit asks whether the caller may watch, and notes who holds the right.
func (r *receiver) permit(ctx context.Context, request *feed.Request, end []byte) (refused, err error) {
	gate := r.server.settings.Gate
	if gate == nil {
		return nil, nil
	}
	err = r.hub.Patiently(ctx, func(ctx context.Context) (err error) {
		request.Holder, request.Auth, refused, err = gate.PermitWatch(ctx, request.Key, end)
		return err
	})
	return refused, err
}

// deniedReason is what etcd tells of why somebody may not watch.
func deniedReason(refused error) string {
	for _, told := range []error{rpctypes.ErrGRPCInvalidAuthToken, rpctypes.ErrGRPCAuthOldRevision, rpctypes.ErrGRPCUserEmpty} {
		if errors.Is(refused, told) {
			return told.Error()
		}
	}
	return rpctypes.ErrGRPCPermissionDenied.Error()
}

// rangeOf reads key and range_end as etcd does: no key means the smallest one,
// no range_end the key alone, and a range_end of one zero byte all keys above.
func rangeOf(c *pb.WatchCreateRequest) feed.Request {
	request := feed.Request{Key: c.Key, End: c.RangeEnd, Range: len(c.RangeEnd) > 0}
	if len(request.Key) == 0 {
		request.Key = []byte{0}
	}
	if len(request.End) == 1 && request.End[0] == 0 {
		request.End = nil
	}
	return request
}

// freeID chooses the id of a watch that names none.
func (r *receiver) freeID() int64 {
	for r.watches[r.nextID] != nil {
		r.nextID++
	}
	r.nextID++
	return r.nextID - 1
}

// refuse answers a create request with a watch that has ended at once.
func (r *receiver) refuse(ctx context.Context, reason string) error {
	return r.hub.Answer(ctx, &pb.WatchResponse{
		Header:       wire.Header(r.server.identity, 0),
		WatchId:      invalidID,
		Created:      true,
		Canceled:     true,
		CancelReason: reason,
	})
}

// cancel ends a watch; an unknown id is passed over, as in etcd.
func (r *receiver) cancel(ctx context.Context, id int64) error {
	watcher := r.watches[id]
	if watcher == nil {
		return nil
	}
	delete(r.watches, id)
	if err := r.hub.Cancel(ctx, watcher); err != nil {
		return fmt.Errorf("cancel watch %d: %w", id, err)
	}
	return nil
}
