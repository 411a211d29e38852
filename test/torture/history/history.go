// Package history is what a torture run leaves behind: every call of every client
// with the moments at which it was made and answered, everything that every watch
// was told, and the faults. It is plain data, which can be written to a file and
// read back, so that a history can be checked again after the processes are gone.
//
// A call has four outcomes. Acknowledged: it was done, Response says how. Refused:
// an answer that depends on the state ("compacted"), so it is a read of it.
// NotDone: the service, or the connection, says that nothing was done. Unknown: it
// may take effect at any time after the call, or never.
package history

import (
	"math"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Time is nanoseconds since the run began, on one monotonic clock.
type Time int64

// Forever is when a call with an unknown outcome returned.
const Forever Time = math.MaxInt64

// Outcome is what became of a call.
type Outcome string

// The outcomes.
const (
	Acknowledged Outcome = "acknowledged"
	Refused      Outcome = "refused"
	NotDone      Outcome = "not done"
	Unknown      Outcome = "unknown"
)

// Operation is one call of one client.
type Operation struct {
	Client, Frontend int
	Call, Return     Time
	// Request is a *pb.RangeRequest, PutRequest, DeleteRangeRequest, TxnRequest,
	// CompactionRequest, LeaseGrantRequest, LeaseRevokeRequest,
	// LeaseKeepAliveRequest or LeaseTimeToLiveRequest.
	Request proto.Message
	// Response belongs to Request; nil unless it was acknowledged.
	Response proto.Message
	Outcome  Outcome
	// Error is what the client was told where there is no response.
	Error string
}

// CaughtUp is how a session ends that was told of everything there was.
const CaughtUp = "caught up"

// Session is the life of one watch on one stream.
type Session struct {
	// Watcher is the same for all sessions with which one watcher goes on.
	Watcher, Frontend int
	Request           *pb.WatchCreateRequest
	Requested         Time
	// Created is when the answer came, 0 if it never did; CreatedRevision is its
	// header.
	Created         Time
	CreatedRevision int64
	Deliveries      []Delivery
	// CompactRevision is set if compaction had overtaken the watch.
	CompactRevision int64
	// End tells how it ended, and when.
	End   string
	Ended Time
}

// Delivery is one response of a watch: events, or progress without any.
type Delivery struct {
	At Time
	// Revision is the header's.
	Revision int64
	Events   []*mvccpb.Event
	Progress bool
}

// Fault is something that was done to a process.
type Fault struct {
	At, Until Time
	What      string
	// RedisDied says that Redis was dead at some time between At and Until, which
	// gives every lease its full time again.
	RedisDied bool
}

// History is one run. Operations are in the order of their calls.
type History struct {
	Seed       uint64
	Operations []*Operation
	Sessions   []*Session
	Faults     []Fault
	// Last is the revision of the store when all was over.
	Last int64
}

// Count counts the operations with an outcome.
func (h *History) Count(outcome Outcome) int {
	n := 0
	for _, o := range h.Operations {
		if o.Outcome == outcome {
			n++
		}
	}
	return n
}

// Events counts the events that watches were told of.
func (h *History) Events() int {
	n := 0
	for _, s := range h.Sessions {
		for _, d := range s.Deliveries {
			n += len(d.Events)
		}
	}
	return n
}
