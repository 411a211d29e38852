package endpoint

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/audit"
	"github.com/tierd/tierd/functions/caller"
)

// unansweredMax bounds the creations of watches of one stream that wait for their
// answer; those beyond are told of without it.
const unansweredMax = 128

// auditor writes calls to the audit log, with what the client is told of each: so it
// stands around all that may refuse one.
type auditor struct {
	log *audit.Log
	now func() time.Time
	// streams numbers them.
	streams atomic.Uint64
}

// unary tells of a call once it has ended.
func (a *auditor) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := a.now()
	resp, err := handler(ctx, req)
	if a.leftOut(info.FullMethod, req, err) {
		return resp, err
	}
	e := entryOf(ctx, info.FullMethod, audit.EventCall)
	e.Request = audit.Describe(req)
	if grant, ok := resp.(*pb.LeaseGrantResponse); ok && err == nil {
		e.Lease = grant.GetID()
	}
	a.ended(e, start, err)
	return resp, err
}

// leftOut says whether a call is none that this log is about: a read that succeeded,
// where reads are not wanted. What was refused is always told.
func (a *auditor) leftOut(method string, req any, err error) bool {
	return err == nil && !a.log.Reads() && audit.IsRead(method, req)
}

// entryOf is an entry with what is known of the client by now.
func entryOf(ctx context.Context, method, event string) *audit.Entry {
	c := caller.From(ctx)
	return &audit.Entry{
		Event: event, Method: method, User: c.User(), CommonName: c.CommonName, Address: c.Address, Gateway: c.ViaGateway,
	}
}

// ended records an entry with the outcome.
func (a *auditor) ended(e *audit.Entry, start time.Time, err error) {
	e.Ended, e.Took = true, a.now().Sub(start)
	if err != nil {
		s := status.Convert(err)
		e.Code, e.Error = s.Code(), s.Message()
	}
	a.log.Record(e)
}

// stream tells of a stream once it has ended, and of what is of interest before.
func (a *auditor) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := a.now()
	watched := &auditedStream{ServerStream: ss, auditor: a, method: info.FullMethod, number: a.streams.Add(1)}
	err := handler(srv, watched)
	watched.forsaken()
	if a.leftOut(info.FullMethod, nil, err) {
		return err
	}
	e := watched.entry(audit.EventStreamEnd)
	if !info.IsClientStream {
		e.Event = audit.EventCall
	}
	watched.mu.Lock()
	e.Request, e.Messages = watched.mu.first, watched.mu.received
	watched.mu.Unlock()
	a.ended(e, start, err)
	return err
}

// auditedStream is a stream that is told of.
type auditedStream struct {
	grpc.ServerStream
	auditor *auditor
	method  string
	number  uint64

	mu struct {
		sync.Mutex
		// first is the first request, received their number, begun says that the
		// stream's first line is written.
		first    audit.Request
		received int
		begun    bool
		// creations are those of watches that wait for their answer, which come in the
		// order of the requests; told counts the ones after them that were told of
		// without.
		creations []creation
		told      int
	}
}

// creation is a watch that was asked for.
type creation struct {
	request audit.Request
	at      time.Time
}

func (s *auditedStream) entry(event string) *audit.Entry {
	e := entryOf(s.Context(), s.method, event)
	e.Stream = s.number
	return e
}

func (s *auditedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.received++; s.mu.received == 1 {
		s.mu.first = audit.Describe(m).Settled()
	}
	if r, ok := m.(*pb.WatchRequest); ok && r.GetCreateRequest() != nil {
		s.askedLocked(creation{audit.Describe(r.GetCreateRequest()).Settled(), s.auditor.now()})
	}
	return nil
}

// askedLocked notes that a watch was asked for.
func (s *auditedStream) askedLocked(c creation) {
	if s.mu.told == 0 && len(s.mu.creations) < unansweredMax {
		s.mu.creations = append(s.mu.creations, c)
		return
	}
	s.mu.told++
	e := s.entry(audit.EventWatchCreate)
	e.Request = c.request
	s.auditor.log.Record(e)
}

func (s *auditedStream) SendMsg(m any) error {
	switch r := m.(type) {
	case *pb.WatchResponse:
		if r.Created || r.Canceled {
			s.answered(r)
		}
	case *pb.LeaseKeepAliveResponse:
		s.began()
	}
	return s.ServerStream.SendMsg(m)
}

// began tells of a stream's first answer, when authentication has found the user.
func (s *auditedStream) began() {
	s.mu.Lock()
	begun, first := s.mu.begun, s.mu.first
	s.mu.begun = true
	s.mu.Unlock()
	if begun {
		return
	}
	e := s.entry(audit.EventStreamBegin)
	e.Request = first
	s.auditor.log.Record(e)
}

// answered tells of a watch that was created, refused or ended.
func (s *auditedStream) answered(r *pb.WatchResponse) {
	e := s.entry(audit.EventWatchCancel)
	e.WatchID, e.HasWatchID = r.WatchId, true
	if r.Created {
		asked, found := s.nextCreation()
		if !found {
			return
		}
		e.Event, e.Request = audit.EventWatchCreate, asked.request
		e.Took = s.auditor.now().Sub(asked.at)
	}
	e.Ended, e.Code, e.Error = true, reasonCode(r), r.CancelReason
	if e.Code == codes.OK && !s.auditor.log.Reads() {
		return
	}
	s.auditor.log.Record(e)
}

// nextCreation is the request that an answer belongs to; not found if it was told of.
func (s *auditedStream) nextCreation() (creation, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.creations) == 0 {
		s.mu.told = max(s.mu.told-1, 0)
		return creation{}, false
	}
	next := s.mu.creations[0]
	s.mu.creations[0] = creation{}
	s.mu.creations = s.mu.creations[1:]
	return next, true
}

// forsaken tells of the watches that were asked for and not answered before the stream
// ended.
func (s *auditedStream) forsaken() {
	for {
		s.mu.Lock()
		left := len(s.mu.creations)
		s.mu.Unlock()
		if left == 0 {
			return
		}
		asked, _ := s.nextCreation()
		e := s.entry(audit.EventWatchCreate)
		e.Request = asked.request
		s.auditor.log.Record(e)
	}
}

// reasonCode is the gRPC code that stands for the end of a watch: its stream goes on,
// so the client gets the reason as a text only.
func reasonCode(r *pb.WatchResponse) codes.Code {
	if !r.Canceled || !r.Created && r.CancelReason == "" {
		return codes.OK
	}
	for _, err := range []error{
		rpctypes.ErrGRPCPermissionDenied, rpctypes.ErrGRPCInvalidAuthToken, rpctypes.ErrGRPCAuthOldRevision,
		rpctypes.ErrGRPCUserEmpty, rpctypes.ErrGRPCCompacted,
	} {
		if rpctypes.ErrorDesc(err) == r.CancelReason {
			return status.Code(err)
		}
	}
	if r.CompactRevision > 0 {
		return codes.OutOfRange
	}
	return codes.InvalidArgument
}
