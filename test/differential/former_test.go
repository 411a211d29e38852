package differential

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestFormerDifferences: short sequences on which tierd once answered otherwise than
// etcd. docs/ledger.md tells the story of each.
func TestFormerDifferences(t *testing.T) {
	t.Parallel()
	key := func(name string) *pb.PutRequest { return &pb.PutRequest{Key: []byte(name), Value: []byte("v")} }
	put := func(name string) call { return call{pb.KV_Put_FullMethodName, key(name)} }
	list := call{pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}}
	full := call{pb.Maintenance_Alarm_FullMethodName, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 5, Alarm: pb.AlarmType_NOSPACE}}
	ranged := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte("b")}}}
	deleted := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte("none")}}}
	compact := call{pb.KV_Compact_FullMethodName, &pb.CompactionRequest{Revision: 2, Physical: true}}
	const corrupt = "alarms of a corrupt keyspace"
	for name, calls := range map[string][]call{
		"list at an old revision": {
			put("b"), put("a"), {pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Revision: 3}},
		},
		"compaction of what is compacted": {
			put("a"), compact, compact, {pb.KV_Compact_FullMethodName, &pb.CompactionRequest{Revision: 9}},
		},
		"limit, with a target to sort by but no order": {
			put("b"), put("c"), put("b"), put("a"),
			{pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Limit: 1, SortTarget: pb.RangeRequest_MOD}},
		},
		"compacted revision beside a hash": {
			{pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{}},
			put("a"), put("a"), {pb.KV_Compact_FullMethodName, &pb.CompactionRequest{Revision: 3, Physical: true}},
			{pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{}},
		},
		"revoke of the highest lease id": {
			{pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: -1, TTL: 1000}},
			{pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("\xff/a"), Lease: -1}},
			{pb.Lease_LeaseTimeToLive_FullMethodName, &pb.LeaseTimeToLiveRequest{ID: -1, Keys: true}},
			{pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: -1}},
			list,
		},
		corrupt: {
			{pb.Maintenance_Alarm_FullMethodName, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 5, Alarm: pb.AlarmType_CORRUPT}},
			{pb.Maintenance_Alarm_FullMethodName, &pb.AlarmRequest{Action: pb.AlarmRequest_GET}},
		},
		"without space, a put in the branch not taken": {
			full,
			{pb.KV_Txn_FullMethodName, &pb.TxnRequest{
				Success: []*pb.RequestOp{ranged, deleted}, Failure: single(key("a")).Success,
			}},
		},
		"without space, a put that would be refused anyway": {
			full,
			{pb.KV_Txn_FullMethodName, &pb.TxnRequest{Success: append(
				single(&pb.PutRequest{Key: []byte("a"), Lease: 9}).Success, ranged)}},
		},
		"without space, a grant for too long": {
			full,
			{pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: 1, TTL: 9_000_000_001}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, 1, false)
			g.both(put("a"))
			if name == corrupt {
				g.steady() // of one that is corrupt the shard map cannot be changed
			}
			for _, c := range calls {
				g.step++
				g.both(c)
			}
		})
	}
}
