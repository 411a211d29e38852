package endpoint

import (
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	// overheadBytes is how much larger than a write request a message may be
	// before gRPC itself refuses it with a less helpful error (as etcd).
	overheadBytes = 512 * 1024
	// maxRequestBytesMax keeps both together within a gRPC message.
	maxRequestBytesMax = math.MaxInt32 - overheadBytes

	// proposalBytes is what etcd adds to a request before it measures it: the
	// header that names it, 14 bytes, and the request's field tag, one byte.
	proposalBytes = 15
)

// writeSize is the size that etcd holds against max-request-bytes: that of the
// proposal which the request would become. It is 0 for requests that etcd does
// not propose, which are not limited.
func writeSize(req any) int {
	switch r := req.(type) {
	case *pb.PutRequest:
		return proposalSize(r)
	case *pb.DeleteRangeRequest:
		return proposalSize(r)
	case *pb.TxnRequest:
		if onlyReads(r.Success) && onlyReads(r.Failure) {
			return 0
		}
		return proposalSize(r)
	case *pb.RangeRequest:
		return 0
	}
	return authSize(req)
}

func proposalSize(m proto.Message) int {
	return proposalBytes + protowire.SizeBytes(proto.Size(m))
}

// onlyReads says whether all operations are plain ranges. A nested transaction
// counts as a write, whatever is in it, as it does in etcd.
func onlyReads(ops []*pb.RequestOp) bool {
	for _, op := range ops {
		if op.GetRequestRange() == nil {
			return false
		}
	}
	return true
}
