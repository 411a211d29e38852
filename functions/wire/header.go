// Package wire holds what every etcd service of this frontend says in the same
// way: the header of a response, and the gRPC status of an error.
//
// It keeps no state and starts nothing. It promises that an error of router
// reaches the client with the code and the text that etcd clients match on, and
// that no error leaves with a code which makes a client repeat a write whose
// outcome is unknown.
package wire

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
)

// Identity is the part of router.API that a response header is made from.
type Identity interface {
	// ClusterID identifies the keyspace.
	ClusterID() uint64
	// Self is this frontend.
	Self() router.Member
	// Term counts the recoveries of the hot tier.
	Term() uint64
	// LastRevision is the highest revision this frontend has seen.
	LastRevision() router.Revision
}

// Header is a whole response header for an answer given at revision rev.
func Header(id Identity, rev router.Revision) *pb.ResponseHeader {
	h := &pb.ResponseHeader{Revision: int64(rev)}
	Fill(id, h)
	return h
}

// Fill completes a header of which at most the revision is set, which is how
// router answers. Without a revision it takes the last one this frontend has
// seen, as etcd does. h is not nil.
func Fill(id Identity, h *pb.ResponseHeader) {
	h.ClusterId = id.ClusterID()
	h.MemberId = id.Self().ID
	h.RaftTerm = id.Term()
	if h.Revision == 0 {
		h.Revision = int64(id.LastRevision())
	}
}
