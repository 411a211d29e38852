package hostile

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/answers"
)

func putOp(key string, value []byte) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: value, PrevKv: true}}}
}

func deleteOp(key, end string) *pb.RequestOp {
	r := &pb.DeleteRangeRequest{Key: []byte(key), PrevKv: true}
	if end != "" {
		r.RangeEnd = []byte(end)
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}
}

func rangeOp(key, end string) *pb.RequestOp {
	r := &pb.RangeRequest{Key: []byte(key)}
	if end != "" {
		r.RangeEnd = []byte(end)
	}
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}

func txnOp(r *pb.TxnRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}
}

// many makes n operations of the keys m000000, m000001, ...
func many(n int, op func(key string) *pb.RequestOp) []*pb.RequestOp {
	ops := make([]*pb.RequestOp, n)
	for i := range ops {
		ops[i] = op(fmt.Sprintf("m%06d", i))
	}
	return ops
}

// TestSizes: requests just under, at and just over what may be sent are done or
// refused as etcd does it, with its words.
func TestSizes(t *testing.T) {
	t.Parallel()
	p := startPair(t, 0)
	const (
		limit    = 3 << 19 // --max-request-bytes
		overhead = 512 << 10
	)
	edges := func(size int) []int {
		return []int{size - 100, size - 2, size - 1, size, size + 1, size + 2, size + 100}
	}
	sized := func(total int, shape func(pad int) proto.Message) proto.Message {
		pad := total - proto.Size(shape(0))
		for proto.Size(shape(pad)) > total {
			pad--
		}
		return shape(pad)
	}
	shapes := map[string]struct {
		method string
		of     func(pad int) proto.Message
	}{
		"value": {pb.KV_Put_FullMethodName, func(pad int) proto.Message {
			return &pb.PutRequest{Key: []byte("k"), Value: make([]byte, pad)}
		}},
		"key": {pb.KV_Put_FullMethodName, func(pad int) proto.Message {
			return &pb.PutRequest{Key: bytes.Repeat([]byte{0xff}, pad+1), Value: []byte("v")}
		}},
		"transaction": {pb.KV_Txn_FullMethodName, func(pad int) proto.Message {
			return &pb.TxnRequest{Success: []*pb.RequestOp{putOp("a", make([]byte, pad/2)), putOp("b", make([]byte, pad-pad/2))}}
		}},
		"compared value": {pb.KV_Txn_FullMethodName, func(pad int) proto.Message {
			return &pb.TxnRequest{Failure: []*pb.RequestOp{putOp("a", nil)}, Compare: []*pb.Compare{{
				Key: []byte("k"), Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: make([]byte, pad)}}}}
		}},
		"reads only": {pb.KV_Txn_FullMethodName, func(pad int) proto.Message {
			return &pb.TxnRequest{Success: []*pb.RequestOp{rangeOp(string(make([]byte, pad+1)), "")}}
		}},
		"range end": {pb.KV_Range_FullMethodName, func(pad int) proto.Message {
			return &pb.RangeRequest{Key: []byte("a"), RangeEnd: bytes.Repeat([]byte{'b'}, pad+1), CountOnly: true}
		}},
		"deletion": {pb.KV_DeleteRange_FullMethodName, func(pad int) proto.Message {
			return &pb.DeleteRangeRequest{Key: []byte("b"), RangeEnd: bytes.Repeat([]byte{'c'}, pad+1)}
		}},
	}
	for _, name := range []string{"value", "key", "transaction", "compared value", "reads only", "range end", "deletion"} {
		shape := shapes[name]
		t.Run(name, func(t *testing.T) {
			one := *p
			one.TB = t
			for _, size := range slices.Concat(edges(limit), edges(limit+overhead)) {
				one.both(shape.method, sized(size, shape.of))
			}
			one.unharmed()
		})
	}
}

// TestOperations: transactions with as many operations as are allowed are executed,
// larger ones refused, and nested ones counted as etcd counts them.
func TestOperations(t *testing.T) {
	t.Parallel()
	const allowed = 128
	p := startPair(t, 0)
	put := func(key string) *pb.RequestOp { return putOp(key, []byte("v")) }
	exists := func(n int) []*pb.Compare {
		all := make([]*pb.Compare, n)
		for i := range all {
			all[i] = &pb.Compare{Key: fmt.Appendf(nil, "m%06d", i), Target: pb.Compare_VERSION, TargetUnion: &pb.Compare_Version{Version: 1}}
		}
		return all
	}
	for _, n := range []int{allowed - 1, allowed, allowed + 1} {
		for name, r := range map[string]*pb.TxnRequest{
			"success":         {Success: many(n, put)},
			"failure":         {Failure: many(n, put), Compare: exists(1)},
			"compare":         {Compare: exists(n), Success: many(1, put)},
			"all":             {Compare: exists(n), Success: many(n, put), Failure: many(n, put)},
			"nested":          {Success: []*pb.RequestOp{txnOp(&pb.TxnRequest{Success: many(n-1, put)})}},
			"nested in other": {Success: many(allowed-1, put), Failure: []*pb.RequestOp{txnOp(&pb.TxnRequest{Success: many(n-127, put)})}},
		} {
			t.Run(fmt.Sprintf("%s, %d", name, n), func(t *testing.T) {
				one := *p
				one.TB = t
				one.both(pb.KV_Txn_FullMethodName, r)
			})
		}
	}
	p.unharmed()
}

// TestDeepNesting: transactions within transactions, to the depth that the limit of
// operations allows and far beyond what protobuf takes apart.
func TestDeepNesting(t *testing.T) {
	t.Parallel()
	p := startPair(t, 10_000)
	for _, depth := range []int{1, 100, 1000, 4990, 5010, 9990, 10_010} {
		r := &pb.TxnRequest{Success: []*pb.RequestOp{putOp("deep", fmt.Append(nil, depth)), rangeOp("deep", "")}}
		for range depth {
			r = &pb.TxnRequest{Success: []*pb.RequestOp{txnOp(r)}, Compare: []*pb.Compare{{
				Key: []byte("none"), Target: pb.Compare_CREATE, TargetUnion: &pb.Compare_CreateRevision{},
			}}}
		}
		p.nested(depth, r)
	}
	p.unharmed()
}

// nested compares a deep transaction: the answer is too deep to be received by a
// client long before it is too deep to be done.
func (p *pair) nested(depth int, r *pb.TxnRequest) {
	p.Helper()
	data, err := proto.Marshal(r)
	if err != nil {
		p.Fatal(err)
	}
	want, wantErr := p.exchange(p.etcd, pb.KV_Txn_FullMethodName, data)
	got, gotErr := p.exchange(p.tierd, pb.KV_Txn_FullMethodName, data)
	if answers.ErrorText(wantErr) == answers.ErrorText(rpctypes.ErrGRPCTimeout) {
		// The deepest ones take etcd seconds: on a busy machine too many to say anything.
		p.Logf("depth %d: etcd ran out of time, tierd answers %.300q", depth, answers.ErrorText(gotErr))
		return
	}
	if wantText, gotText := answers.ErrorText(wantErr), answers.ErrorText(gotErr); wantText != gotText {
		p.Fatalf("depth %d: etcd answers %.300q, tierd %.300q", depth, wantText, gotText)
	}
	if wantErr == nil && (len(want) != 1 || len(got) != 1) {
		p.Fatalf("depth %d: %d and %d messages", depth, len(want), len(got))
	}
}

// TestManyOperations: with a limit of ten thousand operations, that many are really
// executed, of every kind, in one transaction.
func TestManyOperations(t *testing.T) {
	t.Parallel()
	const n = 10_000
	p := startPair(t, n)
	txn := func(r *pb.TxnRequest) {
		t.Helper()
		if _, err := p.both(pb.KV_Txn_FullMethodName, r); err != nil {
			t.Fatal(err)
		}
	}
	same := func(target pb.Compare_CompareTarget) []*pb.Compare {
		all := make([]*pb.Compare, n)
		for i := range all {
			all[i] = &pb.Compare{Key: fmt.Appendf(nil, "m%06d", i), Target: target, Result: pb.Compare_GREATER, TargetUnion: &pb.Compare_Version{Version: 0}}
			if target == pb.Compare_VALUE {
				all[i].Result, all[i].TargetUnion = pb.Compare_EQUAL, &pb.Compare_Value{Value: []byte("second")}
			}
		}
		return all
	}
	put := func(value string) func(string) *pb.RequestOp {
		return func(key string) *pb.RequestOp { return putOp(key, []byte(value)) }
	}
	get := func(key string) *pb.RequestOp { return rangeOp(key, "") }
	remove := func(key string) *pb.RequestOp { return deleteOp(key, "") }
	txn(&pb.TxnRequest{Success: many(n, put("first"))})
	p.events(n)
	txn(&pb.TxnRequest{Compare: same(pb.Compare_VERSION), Success: many(n, put("second")), Failure: many(n, remove)})
	txn(&pb.TxnRequest{Compare: same(pb.Compare_VALUE), Success: many(n, get), Failure: many(n, put("never"))})
	p.both(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte("m"), RangeEnd: []byte("n")})
	p.both(pb.KV_Range_FullMethodName, &pb.RangeRequest{Key: []byte("m"), RangeEnd: []byte("n"), Revision: 2, SortTarget: pb.RangeRequest_KEY, SortOrder: pb.RangeRequest_DESCEND})
	txn(&pb.TxnRequest{Success: slices.Concat(many(n/2, remove), []*pb.RequestOp{rangeOp("m", "n")})})
	txn(&pb.TxnRequest{Success: []*pb.RequestOp{txnOp(&pb.TxnRequest{Success: many(n-1, put("third"))})}})
	p.both(pb.KV_DeleteRange_FullMethodName, &pb.DeleteRangeRequest{Key: []byte("m"), RangeEnd: []byte("n"), PrevKv: true})
	txn(&pb.TxnRequest{Success: many(n, remove)}) // nothing there
	for revision := range int64(7) {
		p.both(pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{Revision: revision})
	}
	p.unharmed()
}

// events compares the events of revision 2, which are all of one transaction.
func (p *pair) events(n int) {
	p.Helper()
	for _, s := range []*server{p.etcd, p.tierd} {
		watch := s.client.Watch(p.Context(), "m", clientv3.WithPrefix(), clientv3.WithRev(2))
		response := <-watch
		if err := response.Err(); err != nil || len(response.Events) != n {
			p.Fatalf("%s tells %d of %d events, %v", s.name, len(response.Events), n, err)
		}
		for i, e := range response.Events {
			if want := fmt.Sprintf("m%06d", i); string(e.Kv.Key) != want || e.Kv.ModRevision != 2 {
				p.Fatalf("%s: event %d is of %s at %d", s.name, i, e.Kv.Key, e.Kv.ModRevision)
			}
		}
	}
}

// TestNumbersAtTheEdge: the numbers of a request at the edges of what holds them.
func TestNumbersAtTheEdge(t *testing.T) {
	t.Parallel()
	p := startPair(t, 0)
	for i := range 5 {
		p.both(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("k"), Value: fmt.Append(nil, i)})
	}
	for _, n := range giants() {
		for _, r := range []*pb.RangeRequest{
			{Limit: n}, {Revision: n}, {MinModRevision: n}, {MaxModRevision: n}, {MinCreateRevision: n}, {MaxCreateRevision: n},
			{Limit: n, SortOrder: pb.RangeRequest_DESCEND}, {Limit: n, CountOnly: true}, {Limit: n, Revision: 3, KeysOnly: true},
		} {
			r.Key, r.RangeEnd = []byte("a"), []byte("z")
			p.both(pb.KV_Range_FullMethodName, r)
			p.both(pb.KV_Txn_FullMethodName, &pb.TxnRequest{Success: []*pb.RequestOp{
				{Request: &pb.RequestOp_RequestRange{RequestRange: r}}, putOp("other", nil)}})
		}
		for _, c := range []*pb.Compare{
			{Target: pb.Compare_VERSION, TargetUnion: &pb.Compare_Version{Version: n}},
			{Target: pb.Compare_CREATE, TargetUnion: &pb.Compare_CreateRevision{CreateRevision: n}},
			{Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{ModRevision: n}},
			{Target: pb.Compare_LEASE, TargetUnion: &pb.Compare_Lease{Lease: n}},
		} {
			for result := range pb.Compare_CompareResult_name {
				for _, end := range [][]byte{nil, []byte("z")} {
					c.Key, c.RangeEnd, c.Result = []byte("k"), end, pb.Compare_CompareResult(result)
					p.both(pb.KV_Txn_FullMethodName, &pb.TxnRequest{Compare: []*pb.Compare{c}, Success: []*pb.RequestOp{putOp("yes", nil)}})
				}
			}
		}
		p.both(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("leased"), Lease: n})
		p.both(pb.Lease_LeaseTimeToLive_FullMethodName, &pb.LeaseTimeToLiveRequest{ID: n, Keys: true})
		p.both(pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: n})
		if n != 0 { // an id is chosen then
			p.both(pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: n, TTL: 5000})
			p.both(pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: n, TTL: 5000})
		}
		p.both(pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("leased"), Lease: n})
		if n < -2 || n > 1000 {
			p.both(pb.Lease_LeaseGrant_FullMethodName, &pb.LeaseGrantRequest{ID: 99, TTL: max(n, 5000)})
			p.both(pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: 99})
		}
		p.both(pb.KV_Compact_FullMethodName, &pb.CompactionRequest{Revision: min(n, -1) | n&(-1<<40)}) // no revision that exists
	}
	p.unharmed()
}

// TestPutAndEndlessDelete: a transaction that puts a key and then deletes a range
// without an end which holds it. etcd's check for keys written twice overlooks it, and
// etcd can crash on it; tierd does both, in order.
func TestPutAndEndlessDelete(t *testing.T) {
	t.Parallel()
	p := startPair(t, 0)
	if _, err := p.call(p.tierd, pb.KV_Put_FullMethodName, &pb.PutRequest{Key: []byte("b"), Value: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	r := &pb.TxnRequest{Success: []*pb.RequestOp{putOp("a", []byte("2")), putOp("b", []byte("3")), deleteOp("a", "\x00")}}
	resp, err := p.call(p.tierd, pb.KV_Txn_FullMethodName, r)
	if err != nil {
		t.Fatal(err)
	}
	if deleted := resp.(*pb.TxnResponse).Responses[2].GetResponseDeleteRange(); deleted.Deleted != 2 || len(deleted.PrevKvs) != 2 || string(deleted.PrevKvs[1].Value) != "3" {
		t.Errorf("the deletion is answered with %v", deleted)
	}
	left, err := p.tierd.client.Get(t.Context(), "a", clientv3.WithFromKey())
	if err != nil || left.Count != 0 {
		t.Errorf("left is %v, %v", left, err)
	}
	told := <-p.tierd.client.Watch(t.Context(), "a", clientv3.WithFromKey(), clientv3.WithRev(3))
	if err := told.Err(); err != nil || len(told.Events) != 4 {
		t.Errorf("a watch tells %v, %v; want two puts and two deletions", told.Events, err)
	}
}

// TestUnknownAlarms: an action or a kind that does not exist is refused. (etcd does
// not survive the first, nor a raised alarm of the second.)
func TestUnknownAlarms(t *testing.T) {
	t.Parallel()
	p := startPair(t, 0)
	for _, r := range []*pb.AlarmRequest{
		{Action: 9}, {Action: -1, Alarm: pb.AlarmType_CORRUPT}, {Action: pb.AlarmRequest_ACTIVATE, Alarm: 77}, {Alarm: -1},
	} {
		if _, err := p.call(p.tierd, pb.Maintenance_Alarm_FullMethodName, r); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v is answered with %v", r, err)
		}
	}
	p.unharmed()
}
