package check_test

import (
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/torture/check"
	"github.com/tierd/tierd/test/torture/history"
)

// damage is one thing that must not be, done to the good history.
type damage struct {
	do func(h *history.History)
	// rules have to be among those that are found broken.
	rules []check.Rule
}

func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	for _, table := range []map[string]damage{callDamages(), revisionDamages(), watchDamages(), leaseDamages()} {
		for name, d := range table {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := story(t).finish()
				d.do(h)
				got := broken(h)
				for _, rule := range d.rules {
					if !slices.Contains(got, rule) {
						t.Errorf("not found: %q; found: %q", rule, got)
					}
				}
			})
		}
	}
}

func rules(r ...check.Rule) []check.Rule { return r }

// everything and one are the watches of the good history, at a delivery of one.
func everything(h *history.History) *history.Session { return h.Sessions[0] }
func one(h *history.History) *history.Session        { return h.Sessions[1] }

func at(s *history.Session, revision int64) *history.Delivery { return &s.Deliveries[revision-2] }

// another adds a second watch of everything, as a copy of the first one.
func another(h *history.History) *history.Session {
	copied := *everything(h)
	copied.Watcher, copied.Deliveries = 2, slices.Clone(copied.Deliveries)
	for i, d := range copied.Deliveries {
		copied.Deliveries[i].Events = clone(d.Events, true)
	}
	h.Sessions = append(h.Sessions, &copied)
	return &copied
}

func staleRead(h *history.History) {
	h.Operations[readB].Response = &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 3}, Count: 1, Kvs: []*mvccpb.KeyValue{
		{Key: []byte("b"), Value: []byte("b1"), CreateRevision: 3, ModRevision: 3, Version: 1},
	}}
}

func rangeOf(h *history.History, call int) *pb.RangeResponse {
	return h.Operations[call].Response.(*pb.RangeResponse)
}

func callDamages() map[string]damage {
	return map[string]damage{
		"stale read": {staleRead, rules(check.RuleRealTime, check.RuleLinearizable)},
		"a read of what never was": {func(h *history.History) {
			rangeOf(h, readB).Kvs[0] = &mvccpb.KeyValue{Key: []byte("b"), Value: []byte("b1"), CreateRevision: 3, ModRevision: 3, Version: 1}
		}, rules(check.RuleRead, check.RuleLinearizable)},
		"a key is missing in a read": {func(h *history.History) {
			rangeOf(h, readB).Kvs, rangeOf(h, readB).Count = nil, 0
		}, rules(check.RuleRead, check.RuleLinearizable)},
		"a wrong count": {func(h *history.History) { rangeOf(h, readB).Count = 2 }, rules(check.RuleRead, check.RuleLinearizable)},
		"a past revision as it was later": {func(h *history.History) {
			rangeOf(h, readPast).Kvs[0] = &mvccpb.KeyValue{Key: []byte("a"), Value: []byte("a2"), CreateRevision: 2, ModRevision: 4, Version: 2}
		}, rules(check.RuleRead, check.RuleLinearizable)},
		"a compacted revision is read": {func(h *history.History) {
			h.Operations[readPast].Call = h.Operations[compact3].Return + second/4
			h.Operations[readPast].Return = h.Operations[compact3].Return + second/2
		}, rules(check.RuleRead, check.RuleLinearizable)},
		"a revision that is not compacted is refused": {func(h *history.History) {
			o := h.Operations[readPast]
			o.Outcome, o.Response, o.Error = history.Refused, nil, "compacted"
		}, rules(check.RuleRead, check.RuleLinearizable)},
		"a revision that exists is said to be in the future": {func(h *history.History) {
			o := h.Operations[readPast]
			o.Outcome, o.Response, o.Error = history.Refused, nil, "future revision"
		}, rules(check.RuleRead, check.RuleLinearizable)},
		"a swap whose comparison is false": {func(h *history.History) {
			h.Operations[txnAB].Request.(*pb.TxnRequest).Compare[0].TargetUnion = &pb.Compare_ModRevision{ModRevision: 1}
		}, rules(check.RuleWrite, check.RuleLinearizable)},
		"the wrong branch is reported": {func(h *history.History) {
			h.Operations[txnAB].Response.(*pb.TxnResponse).Succeeded = false
		}, rules(check.RuleWrite, check.RuleLinearizable)},
		"a deletion tells a wrong value": {func(h *history.History) {
			h.Operations[deleteA].Response.(*pb.DeleteRangeResponse).PrevKvs[0].Value = []byte("a1")
		}, rules(check.RuleWrite, check.RuleLinearizable)},
		"a write that was refused is done": {func(h *history.History) {
			o := h.Operations[putA3]
			o.Outcome, o.Response, o.Error = history.NotDone, nil, "etcdserver: no leader"
		}, rules(check.RuleWrite)},
		"a write is done twice": {func(h *history.History) {
			unknown(h.Operations[putB1])
			e := everything(h).Deliveries[9].Events[0]
			e.Kv.Key, e.Kv.Value = []byte("b"), []byte("b1")
			h.Operations = slices.Delete(h.Operations, putA3, putA3+1)
		}, rules(check.RuleOneWriter)},
		"compaction goes backwards": {func(h *history.History) {
			again := *h.Operations[compact3]
			again.Call, again.Return = again.Return+1, again.Return+2
			h.Operations = append(h.Operations, &again)
		}, rules(check.RuleLinearizable)},
		"a compaction takes effect after the revision it shows": {func(h *history.History) {
			o := h.Operations[compact3]
			o.Call = h.Operations[putB1].Call
			o.Response.(*pb.CompactionResponse).Header.Revision = 3
		}, rules(check.RuleLinearizable)},
		"an internal error": {func(h *history.History) {
			unknown(h.Operations[putA3])
			h.Operations[putA3].Error = "etcdserver: internal error"
		}, rules(check.RuleErrors)},
	}
}

func revisionDamages() map[string]damage {
	return map[string]damage{
		"a write is lost": {func(h *history.History) {
			h.Last = 10
			everything(h).Deliveries = everything(h).Deliveries[:9]
			one(h).Deliveries = one(h).Deliveries[:9]
			rangeOf(h, readB).Header.Revision = 10
		}, rules(check.RuleOneWriter)},
		"a write is lost and its revision taken by another": {func(h *history.History) {
			thief := &history.Operation{Request: &pb.PutRequest{Key: []byte("a"), Value: []byte("thief")}}
			unknown(thief)
			h.Operations = append([]*history.Operation{thief}, h.Operations...)
			at(everything(h), 11).Events[0].Kv.Value = []byte("thief")
			at(one(h), 11).Events[0].Kv.Value = []byte("thief")
		}, rules(check.RuleWrite)},
		"a revision is acknowledged to two": {func(h *history.History) {
			h.Operations[putA3].Response.(*pb.PutResponse).Header.Revision = 9
		}, rules(check.RuleOneWriter)},
		"a revision is missing": {func(h *history.History) {
			everything(h).Deliveries = slices.Delete(everything(h).Deliveries, 3, 4)
		}, rules(check.RuleDense)},
		"an answer shows a revision that never was": {func(h *history.History) {
			rangeOf(h, readB).Header.Revision = 12
		}, rules(check.RuleDense)},
		"nobody asked for a revision": {func(h *history.History) {
			h.Operations = slices.Delete(h.Operations, deleteA, deleteA+1)
		}, rules(check.RuleOneWriter)},
		"half a transaction": {func(h *history.History) {
			at(everything(h), 4).Events = at(everything(h), 4).Events[:1]
		}, rules(check.RuleWrite, check.RuleRead)},
		"a wrong version": {func(h *history.History) {
			at(everything(h), 4).Events[1].Kv.Version = 7
		}, rules(check.RuleWrite)},
		"revisions against time": {func(h *history.History) {
			putA, putB := h.Operations[putA1], h.Operations[putB1]
			putA.Call, putA.Return, putB.Call, putB.Return = putB.Call, putB.Return, putA.Call, putA.Return
		}, rules(check.RuleRealTime, check.RuleLinearizable)},
		"an event before its call": {func(h *history.History) {
			at(everything(h), 11).At = h.Operations[putA3].Call - 1
		}, rules(check.RuleRealTime)},
		"two watches see different values": {func(h *history.History) {
			at(another(h), 3).Events[0].Kv.Value = []byte("other")
		}, rules(check.RuleAgree, check.RuleWatch)},
	}
}

func watchDamages() map[string]damage {
	return map[string]damage{
		"an event is missing": {func(h *history.History) {
			one(h).Deliveries = slices.Delete(one(h).Deliveries, 2, 6)
		}, rules(check.RuleWatch)},
		"the last event is missing": {func(h *history.History) {
			one(h).Deliveries = one(h).Deliveries[:9]
		}, rules(check.RuleWatch)},
		"an event twice": {func(h *history.History) {
			one(h).Deliveries = append(one(h).Deliveries, *at(one(h), 11))
		}, rules(check.RuleWatch)},
		"events out of order": {func(h *history.History) {
			d := one(h).Deliveries
			d[0], d[2] = d[2], d[0]
		}, rules(check.RuleWatch)},
		"an event from before the start": {func(h *history.History) {
			one(h).Request = proto.CloneOf(one(h).Request)
			one(h).Request.StartRevision = 3
		}, rules(check.RuleWatch)},
		"an event of another key": {func(h *history.History) {
			at(one(h), 3).Progress, at(one(h), 3).Events = false, clone(at(everything(h), 3).Events, false)
		}, rules(check.RuleWatch)},
		"part of a revision": {func(h *history.History) {
			at(another(h), 4).Events = at(another(h), 4).Events[1:]
		}, rules(check.RuleWatch)},
		"a revision in two responses": {func(h *history.History) {
			s := another(h)
			whole := *at(s, 4)
			first, rest := whole, whole
			first.Events, rest.Events = whole.Events[:1], whole.Events[1:]
			s.Deliveries = slices.Replace(s.Deliveries, 2, 3, first, rest)
		}, rules(check.RuleWatch)},
		"a revision inside out": {func(h *history.History) { slices.Reverse(at(another(h), 4).Events) }, rules(check.RuleWatch)},
		"progress too early": {func(h *history.History) {
			at(one(h), 3).Revision = 4
		}, rules(check.RuleProgress)},
		"progress beyond the end": {func(h *history.History) {
			one(h).Deliveries = append(one(h).Deliveries, history.Delivery{At: history.Forever - 1, Revision: 12, Progress: true})
		}, rules(check.RuleProgress)},
		"a header below its events":   {func(h *history.History) { at(one(h), 4).Revision = 3 }, rules(check.RuleWatch)},
		"a wrong previous value":      {func(h *history.History) { at(everything(h), 8).Events[0].PrevKv.Version = 1 }, rules(check.RulePrevious)},
		"a previous value is missing": {func(h *history.History) { at(everything(h), 8).Events[0].PrevKv = nil }, rules(check.RulePrevious)},
		"a previous value too many":   {func(h *history.History) { at(one(h), 8).Events[0].PrevKv = &mvccpb.KeyValue{Key: []byte("a")} }, rules(check.RulePrevious)},
		"ended by no compaction": {func(h *history.History) {
			h.Sessions = append(h.Sessions, &history.Session{Request: one(h).Request, End: "canceled", Ended: 99 * second, CompactRevision: 5})
		}, rules(check.RuleWatch)},
		"ended by a compaction that did not concern it": {func(h *history.History) {
			request := proto.CloneOf(one(h).Request)
			request.StartRevision = 3
			h.Sessions = append(h.Sessions, &history.Session{Request: request, End: "canceled", Ended: 99 * second, CompactRevision: 3})
		}, rules(check.RuleWatch)},
		"canceled without a reason": {func(h *history.History) {
			h.Sessions = append(h.Sessions, &history.Session{Request: one(h).Request, End: "canceled: why", Ended: 99 * second})
		}, rules(check.RuleErrors)},
		"told of what was compacted": {func(h *history.History) {
			s := another(h)
			s.Requested, s.Created = h.Operations[compact3].Return+1, h.Operations[compact3].Return+2
		}, rules(check.RuleWatch)},
	}
}

func leaseDamages() map[string]damage {
	return map[string]damage{
		"a lease ends early": {func(h *history.History) {
			h.Operations[grant7].Response.(*pb.LeaseGrantResponse).TTL = 30
		}, rules(check.RuleLease)},
		"a lease ends early after it was renewed": {func(h *history.History) {
			h.Operations = append(h.Operations, &history.Operation{
				Call: h.Operations[compact3].Return, Return: h.Operations[compact3].Return, Outcome: history.Acknowledged,
				Request: &pb.LeaseKeepAliveRequest{ID: 7}, Response: &pb.LeaseKeepAliveResponse{Header: &pb.ResponseHeader{Revision: 6}, ID: 7, TTL: 3},
			})
		}, rules(check.RuleLease)},
		"a lease ends early after redis came back": {func(h *history.History) {
			h.Operations[grant7].Response.(*pb.LeaseGrantResponse).TTL = 4
			h.Faults = []history.Fault{{At: 13 * second, Until: 13*second + second/2, RedisDied: true}}
		}, rules(check.RuleLease)},
		"a key outlives its lease": {func(h *history.History) {
			at(everything(h), 7).Events = at(everything(h), 7).Events[:1]
		}, rules(check.RuleOneWriter)},
		"a lease that has ended is renewed": {func(h *history.History) {
			o := *h.Operations[keepAlive8]
			o.Request = &pb.LeaseKeepAliveRequest{ID: 7}
			h.Operations = append(h.Operations, &o)
		}, rules(check.RuleLease)},
		"a lease that lives is said to be gone": {func(h *history.History) {
			h.Operations[keepAlive8].Response.(*pb.LeaseKeepAliveResponse).TTL = 0
		}, rules(check.RuleLease)},
		"a put is refused for a lease that lives": {func(h *history.History) {
			o := *h.Operations[keepAlive8]
			o.Request, o.Response = &pb.PutRequest{Key: []byte("a"), Value: []byte("x"), Lease: 8}, nil
			o.Outcome, o.Error = history.Refused, "lease not found"
			h.Operations = append(h.Operations, &o)
		}, rules(check.RuleLinearizable)},
		"a key is attached to a lease that is gone": {func(h *history.History) {
			h.Operations[putA3].Request.(*pb.PutRequest).Lease = 8
			at(everything(h), 11).Events[0].Kv.Lease = 8
			at(one(h), 11).Events[0].Kv.Lease = 8
		}, rules(check.RuleLinearizable)},
		"a lease is revoked twice": {func(h *history.History) {
			o := *h.Operations[revoke8]
			o.Call, o.Return = o.Return, o.Return+second/2
			h.Operations = append(h.Operations, &o)
		}, rules(check.RuleLinearizable)},
		"wrong keys of a lease": {func(h *history.History) {
			o := *h.Operations[keepAlive8]
			o.Request = &pb.LeaseTimeToLiveRequest{ID: 8, Keys: true}
			o.Response = &pb.LeaseTimeToLiveResponse{Header: &pb.ResponseHeader{Revision: 9}, ID: 8, TTL: 59, GrantedTTL: 60}
			h.Operations = append(h.Operations, &o)
		}, rules(check.RuleLease)},
	}
}
