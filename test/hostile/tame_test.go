package hostile

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/answers"
)

// tame takes out of a request what cannot be compared: what ends at an instant that
// each system chooses, what has an id chosen, what ends the etcd, and the listed
// differences (test/differential/differences_test.go). It says false for a request
// that etcd must not get, or that is never answered.
func tame(method string, request proto.Message) bool {
	if _, refused := answers.Refused()[method]; refused || endless()[method] {
		return false
	}
	switch r := request.(type) {
	case *pb.RangeRequest:
		if method == pb.KV_RangeStream_FullMethodName && r.SortOrder == pb.RangeRequest_NONE && r.SortTarget < 5 {
			r.SortTarget = pb.RangeRequest_KEY
		}
	case *pb.TxnRequest:
		tameOps(r)
	case *pb.CompactionRequest:
		if r.Revision == 0 {
			r.Revision = 1
		}
	case *pb.HashKVRequest:
		r.Revision = min(r.Revision, 0) // one that was compacted at may be answered from memory
	case *pb.LeaseGrantRequest:
		if r.ID == 0 {
			r.ID = 7
		}
		r.TTL = max(r.TTL, 1000)
	case *pb.AlarmRequest:
		// An unknown action ends etcd, and an unknown type raised as well.
		r.Action, r.Alarm = pb.AlarmRequest_GET, pb.AlarmType_NONE
	case *v3electionpb.ProclaimRequest:
		tameLeader(r.Leader)
	case *v3electionpb.ResignRequest:
		tameLeader(r.Leader)
	}
	return true
}

// endless are the methods whose calls may wait, or go on, for ever.
func endless() map[string]bool {
	return map[string]bool{
		pb.Watch_Watch_FullMethodName:                 true,
		v3lockpb.Lock_Lock_FullMethodName:             true,
		v3electionpb.Election_Campaign_FullMethodName: true,
		v3electionpb.Election_Observe_FullMethodName:  true,
	}
}

// tameOps gives every deletion in a transaction an end: etcd's check for keys
// written twice overlooks one without, and etcd can then crash.
func tameOps(r *pb.TxnRequest) {
	for _, ops := range [][]*pb.RequestOp{r.GetSuccess(), r.GetFailure()} {
		for _, op := range ops {
			if d := op.GetRequestDeleteRange(); d != nil && string(d.RangeEnd) == "\x00" {
				d.RangeEnd = []byte("\xff\xff\xff")
			}
			tameOps(op.GetRequestTxn())
		}
	}
}

func tameLeader(k *v3electionpb.LeaderKey) {
	if k != nil && k.Lease == 0 {
		k.Lease = -1 // otherwise one is granted, with an id chosen
	}
}
