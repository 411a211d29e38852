package kv

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// FuzzCheckTxn: no transaction makes the checks panic, and one that they let pass
// puts no key twice on its own level.
func FuzzCheckTxn(f *testing.F) {
	put := func(key string) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key)}}}
	}
	remove := func(key, end string) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
			RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(key), RangeEnd: []byte(end)}}}
	}
	nested := func(ops ...*pb.RequestOp) *pb.RequestOp {
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{Success: ops}}}
	}
	for _, ops := range [][]*pb.RequestOp{
		{put("a"), put("a")}, {put("a"), remove("a", "")}, {remove("b", "a"), put("b")}, {remove("\x00", "\x00"), put("\xff")},
		{nested(put("a"), nested(remove("a", "c"))), put("b")}, {{}}, {put("")}, {nested()},
	} {
		data, err := proto.Marshal(&pb.TxnRequest{Success: ops, Failure: ops[:1]})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	const maxOps = 16
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &pb.TxnRequest{}
		if proto.Unmarshal(data, r) != nil || checkTxn(r, maxOps) != nil {
			return
		}
		for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
			if len(ops) > maxOps {
				t.Fatalf("%d operations pass", len(ops))
			}
			seen := make(map[string]bool)
			for _, op := range ops {
				if p := op.GetRequestPut(); p != nil {
					if seen[string(p.Key)] || len(p.Key) == 0 {
						t.Fatalf("key %q passes", p.Key)
					}
					seen[string(p.Key)] = true
				}
			}
		}
	})
}
