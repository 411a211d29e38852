package check_test

import (
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/torture/history"
	"github.com/tierd/tierd/test/torture/model"
)

// script makes a good history, call by call, on the model. Each call takes a
// second, and a second passes before the next.
type script struct {
	t       *testing.T
	history *history.History
	state   *model.State
	now     history.Time
	// happened are the events of each revision from 2 on, with previous values, and
	// when it was over.
	happened [][]*mvccpb.Event
	at       []history.Time
}

const second = history.Time(time.Second)

func newScript(t *testing.T) *script {
	return &script{t: t, history: &history.History{}, state: model.Empty()}
}

// call adds an operation.
func (s *script) call(request, response proto.Message) *history.Operation {
	o := &history.Operation{
		Client: len(s.history.Operations) % 3, Call: s.now, Return: s.now + second,
		Request: request, Response: response, Outcome: history.Acknowledged,
	}
	s.history.Operations = append(s.history.Operations, o)
	s.now += 2 * second
	return o
}

// change goes on to another state.
func (s *script) change(next *model.State, events []*mvccpb.Event) {
	s.state = next
	if len(events) > 0 {
		s.happened, s.at = append(s.happened, events), append(s.at, s.now)
	}
}

func (s *script) txn(r *pb.TxnRequest) *history.Operation {
	s.t.Helper()
	result, err := s.state.Txn(r)
	if err != nil {
		s.t.Fatal(err)
	}
	o := s.call(r, result.Response)
	s.change(result.State, result.Events)
	return o
}

func (s *script) put(key, value string) *history.Operation { return s.attach(key, value, 0) }

// attach puts a key with a lease.
func (s *script) attach(key, value string, lease int64) *history.Operation {
	s.t.Helper()
	o := s.txn(&pb.TxnRequest{Success: []*pb.RequestOp{putOp(key, value, lease)}})
	put := o.Response.(*pb.TxnResponse).Responses[0].GetResponsePut()
	put.Header = o.Response.(*pb.TxnResponse).Header
	o.Request, o.Response = o.Request.(*pb.TxnRequest).Success[0].GetRequestPut(), put
	return o
}

func putOp(key, value string, lease int64) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte(key), Value: []byte(value), Lease: lease}}}
}

func (s *script) delete(key string) *history.Operation {
	r := &pb.DeleteRangeRequest{Key: []byte(key), PrevKv: true}
	result := s.state.DeleteRange(r)
	response := result.Response.Responses[0].GetResponseDeleteRange()
	response.Header = result.Response.Header
	o := s.call(r, response)
	s.change(result.State, result.Events)
	return o
}

// read reads a key; at 0 now.
func (s *script) read(key string, at int64) *history.Operation {
	s.t.Helper()
	r := &pb.RangeRequest{Key: []byte(key), Revision: at}
	response, err := s.state.Range(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.call(r, proto.CloneOf(response))
}

func (s *script) header() *pb.ResponseHeader { return &pb.ResponseHeader{Revision: s.state.Revision} }

func (s *script) compact(revision int64) *history.Operation {
	s.t.Helper()
	next, err := s.state.Compact(revision)
	if err != nil {
		s.t.Fatal(err)
	}
	s.change(next, nil)
	return s.call(&pb.CompactionRequest{Revision: revision}, &pb.CompactionResponse{Header: s.header()})
}

func (s *script) grant(id, seconds int64) *history.Operation {
	s.t.Helper()
	next, err := s.state.Grant(id)
	if err != nil {
		s.t.Fatal(err)
	}
	s.change(next, nil)
	return s.call(&pb.LeaseGrantRequest{ID: id, TTL: seconds}, &pb.LeaseGrantResponse{Header: s.header(), ID: id, TTL: seconds})
}

func (s *script) keepAlive(id, seconds int64) *history.Operation {
	return s.call(&pb.LeaseKeepAliveRequest{ID: id}, &pb.LeaseKeepAliveResponse{Header: s.header(), ID: id, TTL: seconds})
}

func (s *script) revoke(id int64) *history.Operation {
	s.t.Helper()
	next, events, err := s.state.Revoke(id)
	if err != nil {
		s.t.Fatal(err)
	}
	o := s.call(&pb.LeaseRevokeRequest{ID: id}, &pb.LeaseRevokeResponse{Header: &pb.ResponseHeader{Revision: next.Revision}})
	s.change(next, events)
	return o
}

// expire ends a lease, at once.
func (s *script) expire(id int64) {
	s.t.Helper()
	next, events, err := s.state.Revoke(id)
	if err != nil {
		s.t.Fatal(err)
	}
	s.change(next, events)
	s.now += second
}

// finish adds a watch of everything, one of the key "a" with progress, and gives
// the history.
func (s *script) finish() *history.History {
	s.history.Last = s.state.Revision
	everything := &history.Session{
		Request: &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: 2, PrevKv: true}, Created: 1, CreatedRevision: 1, End: history.CaughtUp,
	}
	one := &history.Session{Watcher: 1, Request: &pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 1}, Created: 1, CreatedRevision: 1, End: history.CaughtUp}
	for i, events := range s.happened {
		revision := int64(i + 2)
		everything.Deliveries = append(everything.Deliveries, history.Delivery{At: s.at[i], Revision: revision, Events: clone(events, true)})
		var mine []*mvccpb.Event
		for _, e := range clone(events, false) {
			if string(e.Kv.Key) == "a" {
				mine = append(mine, e)
			}
		}
		one.Deliveries = append(one.Deliveries, history.Delivery{At: s.at[i], Revision: revision, Events: mine, Progress: len(mine) == 0})
	}
	s.history.Sessions = []*history.Session{everything, one}
	return s.history
}

func clone(events []*mvccpb.Event, previous bool) []*mvccpb.Event {
	out := make([]*mvccpb.Event, len(events))
	for i, e := range events {
		out[i] = proto.CloneOf(e)
		if !previous {
			out[i].PrevKv = nil
		}
	}
	return out
}

// The calls of the story, in order.
const (
	putA1 = iota
	putB1
	txnAB
	grant7
	putC1
	putD1
	readPast
	compact3
	deleteA
	readA
	grant8
	putE1
	keepAlive8
	revoke8
	putA3
	readB
)

// story is a good history that has a bit of everything. Revisions: 2 a=a1; 3 b=b1;
// 4 a=a2 and b=b2; 5 c=c1 and 6 d=d1 with lease 7; 7 the end of that lease; 8 a
// deleted; 9 e=e1 with lease 8; 10 its revocation; 11 a=a3.
func story(t *testing.T) *script {
	t.Helper()
	s := newScript(t)
	s.put("a", "a1")
	s.put("b", "b1")
	s.txn(&pb.TxnRequest{
		Compare: []*pb.Compare{{Key: []byte("a"), Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{ModRevision: 2}}},
		Success: []*pb.RequestOp{putOp("a", "a2", 0), putOp("b", "b2", 0)},
	})
	s.grant(7, 3)
	s.attach("c", "c1", 7)
	s.attach("d", "d1", 7)
	s.read("a", 2)
	s.compact(3)
	s.expire(7)
	s.delete("a")
	s.read("a", 0)
	s.grant(8, 60)
	s.attach("e", "e1", 8)
	s.keepAlive(8, 60)
	s.revoke(8)
	s.put("a", "a3")
	s.read("b", 0)
	return s
}
