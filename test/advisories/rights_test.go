package advisories

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// ofRights are advisories on what users could do without a right to it.
func ofRights() []advisory {
	return []advisory{
		{"GHSA-xg4h-6gfc-h4m8", "CVE-2026-73499", "a user who may read one key could watch all keys from that one on", watchFromKey},
		{"GHSA-rfx7-8w68-q57q", "CVE-2026-33343", "transactions inside transactions were not checked against the user's permissions", nestedTransactions},
		{"GHSA-x35m-3gp4-4fh5", "CVE-2026-44283", "puts inside transactions gave the previous value, and attached leases, without the right to that", putsInTransactions},
		{"GHSA-q8m4-xhhv-38mg", "CVE-2026-33413", "MemberList, Alarm, the Lease API and Compact were open to whoever reached the port", openCalls},
		{"GHSA-3p4g-rcw5-8298", "CVE-2023-32082", "LeaseTimeToLive told the keys of a lease to users who may not read them", keysOfLeases},
	}
}

func watchFromKey(t *testing.T, s *services) {
	watch := func(key, end string) error {
		stream, err := pb.NewWatchClient(s.conn).Watch(s.ctx(t, "alice"))
		if err != nil {
			return err
		}
		create := &pb.WatchCreateRequest{Key: []byte(key), RangeEnd: []byte(end), StartRevision: 1}
		if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
			return err
		}
		resp, err := stream.Recv()
		if err == nil && resp.Canceled {
			return refusal(resp.CancelReason)
		}
		return err
	}
	granted(t, "a watch of the key", watch("a", ""))
	for _, end := range []string{"\x00", "b", "ab", "a\x00\x00", "\xff"} {
		refused(t, "a watch from the key to "+end, deniedText, watch("a", end))
	}
	refused(t, "a watch of all keys", deniedText, watch("\x00", "\x00"))
	refused(t, "a watch of no key", deniedText, watch("", ""))
	kv := pb.NewKVClient(s.conn)
	for _, end := range []string{"\x00", "b", "ab"} {
		_, err := kv.Range(s.ctx(t, "alice"), &pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte(end)})
		refused(t, "a read to "+end, deniedText, err)
		_, err = kv.DeleteRange(s.ctx(t, "alice"), &pb.DeleteRangeRequest{Key: []byte("w"), RangeEnd: []byte(end)})
		refused(t, "a deletion to "+end, deniedText, err)
	}
}

// refusal is the reason for which a watch was cancelled.
type refusal string

func (r refusal) Error() string { return string(r) }

// txn makes a transaction as alice.
func (s *services) txn(t *testing.T, r *pb.TxnRequest) error {
	t.Helper()
	_, err := pb.NewKVClient(s.conn).Txn(s.ctx(t, "alice"), r)
	return err
}

func opPut(r *pb.PutRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
}

func opRange(r *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}

func opDelete(r *pb.DeleteRangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}
}

func nestedTransactions(t *testing.T, s *services) {
	nest := func(r *pb.TxnRequest, depth int, fails bool) *pb.TxnRequest {
		for range depth {
			op := []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}}
			r = &pb.TxnRequest{Success: op}
			if fails {
				r = &pb.TxnRequest{Failure: op} // the branch that is not taken
			}
		}
		return r
	}
	secret, both := []byte("secret"), []byte("both")
	compare := &pb.Compare{Key: secret, Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte("guess")}}
	for what, r := range map[string]*pb.TxnRequest{
		"read":     {Success: []*pb.RequestOp{opRange(&pb.RangeRequest{Key: secret})}},
		"put":      {Success: []*pb.RequestOp{opPut(&pb.PutRequest{Key: secret, Value: []byte("x")})}},
		"deletion": {Success: []*pb.RequestOp{opDelete(&pb.DeleteRangeRequest{Key: secret})}},
		"failure":  {Failure: []*pb.RequestOp{opRange(&pb.RangeRequest{Key: secret})}},
		"compare":  {Compare: []*pb.Compare{compare}, Success: []*pb.RequestOp{opRange(&pb.RangeRequest{Key: both})}},
		"range":    {Success: []*pb.RequestOp{opRange(&pb.RangeRequest{Key: []byte("a"), RangeEnd: []byte{0}})}},
	} {
		for depth := range 4 {
			refused(t, what, deniedText, s.txn(t, nest(r, depth, false)))
			refused(t, what+" where it does not happen", deniedText, s.txn(t, nest(r, depth, true)))
		}
	}
	allowed := &pb.TxnRequest{Success: []*pb.RequestOp{opRange(&pb.RangeRequest{Key: both}), opPut(&pb.PutRequest{Key: both, Value: []byte("x")})}}
	granted(t, "what alice may do", s.txn(t, nest(allowed, 3, false)))
}

func putsInTransactions(t *testing.T, s *services) {
	kv := pb.NewKVClient(s.conn)
	for what, r := range map[string]*pb.PutRequest{
		"a put that tells what was there":       {Key: []byte("w"), Value: []byte("x"), PrevKv: true},
		"a put on a lease with others' keys":    {Key: []byte("w"), Value: []byte("x"), Lease: leaseOfSecret},
		"a put of both on a lease of others":    {Key: []byte("both"), Value: []byte("x"), Lease: leaseOfSecret},
		"a put on a lease, with the value kept": {Key: []byte("w"), IgnoreValue: true, Lease: leaseOfSecret},
	} {
		_, err := kv.Put(s.ctx(t, "alice"), r)
		refused(t, what, deniedText, err)
		refused(t, what+", in a transaction", deniedText, s.txn(t, &pb.TxnRequest{Success: []*pb.RequestOp{opPut(r)}}))
		inner := &pb.TxnRequest{Success: []*pb.RequestOp{opPut(r)}}
		refused(t, what+", two transactions deep", deniedText, s.txn(t, &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: inner}}}}))
	}
	refused(t, "a deletion that tells what was there", deniedText,
		s.txn(t, &pb.TxnRequest{Success: []*pb.RequestOp{opDelete(&pb.DeleteRangeRequest{Key: []byte("w"), PrevKv: true})}}))
	granted(t, "a put that tells nothing", s.txn(t, &pb.TxnRequest{Success: []*pb.RequestOp{opPut(&pb.PutRequest{Key: []byte("w"), Value: []byte("x")})}}))
}

func openCalls(t *testing.T, s *services) {
	lease, maintenance, kv := pb.NewLeaseClient(s.conn), pb.NewMaintenanceClient(s.conn), pb.NewKVClient(s.conn)
	one := func(_ any, err error) error { return err }
	for what, call := range map[string]func(user string) error{
		"MemberList": func(user string) error {
			return one(pb.NewClusterClient(s.conn).MemberList(s.ctx(t, user), &pb.MemberListRequest{}))
		},
		"Status":         func(user string) error { return one(maintenance.Status(s.ctx(t, user), &pb.StatusRequest{})) },
		"list of alarms": func(user string) error { return one(maintenance.Alarm(s.ctx(t, user), &pb.AlarmRequest{})) },
		"LeaseGrant":     func(user string) error { return one(lease.LeaseGrant(s.ctx(t, user), &pb.LeaseGrantRequest{TTL: 60})) },
		"LeaseTimeToLive": func(user string) error {
			return one(lease.LeaseTimeToLive(s.ctx(t, user), &pb.LeaseTimeToLiveRequest{ID: leaseOfSecret}))
		},
	} {
		refused(t, what+" by nobody", nobodyText, call(""))
		granted(t, what+" by a user", call("alice"))
	}
	raise := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 1, Alarm: pb.AlarmType_NOSPACE}
	for what, call := range map[string]func(user string) error{
		"Alarm":   func(user string) error { return one(maintenance.Alarm(s.ctx(t, user), raise)) },
		"Compact": func(user string) error { return one(kv.Compact(s.ctx(t, user), &pb.CompactionRequest{Revision: 2})) },
		"LeaseRevoke": func(user string) error {
			return one(lease.LeaseRevoke(s.ctx(t, user), &pb.LeaseRevokeRequest{ID: leaseOfSecret}))
		},
		"LeaseLeases": func(user string) error { return one(lease.LeaseLeases(s.ctx(t, user), &pb.LeaseLeasesRequest{})) },
		"Defragment":  func(user string) error { return one(maintenance.Defragment(s.ctx(t, user), &pb.DefragmentRequest{})) },
		"HashKV":      func(user string) error { return one(maintenance.HashKV(s.ctx(t, user), &pb.HashKVRequest{})) },
		"keep alive": func(user string) error {
			stream, err := lease.LeaseKeepAlive(s.ctx(t, user))
			if err != nil {
				return err
			}
			if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: leaseOfSecret}); err != nil {
				return err
			}
			return one(stream.Recv())
		},
		"Snapshot": func(user string) error {
			stream, err := maintenance.Snapshot(s.ctx(t, user), &pb.SnapshotRequest{})
			if err != nil {
				return err
			}
			return one(stream.Recv())
		},
	} {
		refused(t, what+" by nobody", nobodyText, call(""))
		refused(t, what+" by a user", deniedText, call("alice"))
	}
	resp, err := lease.LeaseTimeToLive(s.ctx(t, "root"), &pb.LeaseTimeToLiveRequest{ID: leaseOfSecret})
	if err != nil || resp.TTL <= 0 {
		t.Errorf("the lease is gone: %v, %v", resp, err)
	}
}

func keysOfLeases(t *testing.T, s *services) {
	ask := func(user string) (*pb.LeaseTimeToLiveResponse, error) {
		return pb.NewLeaseClient(s.conn).LeaseTimeToLive(s.ctx(t, user), &pb.LeaseTimeToLiveRequest{ID: leaseOfSecret, Keys: true})
	}
	_, err := ask("alice")
	refused(t, "the keys of a lease", deniedText, err)
	if resp, err := ask("root"); err != nil || len(resp.Keys) != 1 {
		t.Errorf("the keys of a lease for root: %v, %v", resp, err)
	}
}
