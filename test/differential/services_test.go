package differential

import (
	"fmt"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/protobuf/proto"
)

// next is the next request.
func (g *generator) next() call {
	switch kind := g.IntN(100); {
	case kind < 20:
		return call{pb.KV_Put_FullMethodName, g.putRequest()}
	case kind < 36:
		return call{pb.KV_Range_FullMethodName, g.rangeRequest()}
	case kind < 41:
		return call{pb.KV_RangeStream_FullMethodName, g.streamRequest()}
	case kind < 49:
		return call{pb.KV_DeleteRange_FullMethodName, g.deleteRequest()}
	case kind < 76:
		return call{pb.KV_Txn_FullMethodName, g.txnRequest(nestingMax)}
	case kind < 79:
		return call{pb.KV_Compact_FullMethodName, g.compactionRequest()}
	case kind < 89:
		return g.leaseCall()
	case kind < 94:
		return g.maintenanceCall()
	}
	return g.smallCall()
}

// learn keeps up with where the store stands.
func (g *generator) learn(request, answer proto.Message, err error) {
	if err != nil {
		return
	}
	if h, ok := answer.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		g.revision = max(g.revision, h.GetHeader().GetRevision())
	}
	switch r := request.(type) {
	case *pb.CompactionRequest:
		g.compacted = r.Revision
		g.compactions = append(g.compactions, r.Revision)
	case *pb.LeaseGrantRequest:
		g.leases = append(g.leases, r.ID)
	}
}

// leaseCall is a call of the Lease service. No lease ends by itself: when is not
// the same instant on both systems (see game.shortLease for those that do).
func (g *generator) leaseCall() call {
	switch g.IntN(10) {
	case 0, 1, 2, 3:
		r := &pb.LeaseGrantRequest{ID: g.Int64N(20) + 1000, TTL: g.Int64N(1000) + 1000}
		if id := g.giant(); id != 0 && g.chance(0.1) { // 0 has an id chosen, see game.chosenLeases
			r.ID = id
		}
		if g.chance(0.1) {
			r.TTL = []int64{9_000_000_000, 9_000_000_001, math.MaxInt64}[g.IntN(3)]
		}
		return call{pb.Lease_LeaseGrant_FullMethodName, r}
	case 4:
		return call{pb.Lease_LeaseRevoke_FullMethodName, &pb.LeaseRevokeRequest{ID: g.lease()}}
	case 5, 6:
		return call{pb.Lease_LeaseKeepAlive_FullMethodName, &pb.LeaseKeepAliveRequest{ID: g.lease()}}
	case 7:
		return call{pb.Lease_LeaseLeases_FullMethodName, &pb.LeaseLeasesRequest{}}
	}
	return call{pb.Lease_LeaseTimeToLive_FullMethodName, &pb.LeaseTimeToLiveRequest{ID: g.lease(), Keys: g.chance(0.7)}}
}

func (g *generator) maintenanceCall() call {
	switch g.IntN(6) {
	case 0:
		return call{pb.Maintenance_Status_FullMethodName, &pb.StatusRequest{}}
	case 1:
		return call{pb.Maintenance_Alarm_FullMethodName, g.alarmRequest()}
	case 2:
		return call{pb.Maintenance_Hash_FullMethodName, &pb.HashRequest{}}
	case 3:
		if g.chance(0.4) {
			return call{pb.Maintenance_Defragment_FullMethodName, &pb.DefragmentRequest{}}
		}
	}
	return call{pb.Maintenance_HashKV_FullMethodName, g.hashRequest()}
}

// alarmRequest raises no alarm: game.noSpace does, since it changes what the rest
// is answered.
func (g *generator) alarmRequest() *pb.AlarmRequest {
	r := &pb.AlarmRequest{MemberID: uint64(g.Int64N(3)), Alarm: pb.AlarmType(g.IntN(3)), Action: pb.AlarmRequest_AlarmAction(g.IntN(3))}
	switch r.Action {
	case pb.AlarmRequest_ACTIVATE:
		r.Alarm = pb.AlarmType_NONE
	case pb.AlarmRequest_DEACTIVATE:
		r.MemberID++
	}
	return r
}

// keptHashes is how many hashes etcd remembers, those of the highest revisions.
const keptHashes = 10

// remembered says that etcd may answer HashKV of a revision from memory.
func (g *generator) remembered(revision int64) bool {
	newest := g.compactions[max(0, len(g.compactions)-keptHashes):]
	for _, kept := range newest {
		if kept == revision {
			return true
		}
	}
	return false
}

func (g *generator) hashRequest() *pb.HashKVRequest {
	r := &pb.HashKVRequest{Revision: g.at()}
	if g.remembered(r.Revision) {
		r.Revision = 0
	}
	return r
}

// smallCall is a call of one of the small services that answers at once.
func (g *generator) smallCall() call {
	switch g.IntN(10) {
	case 0:
		return call{pb.Cluster_MemberList_FullMethodName, &pb.MemberListRequest{Linearizable: g.chance(0.5)}}
	case 1:
		return call{pb.Auth_AuthStatus_FullMethodName, &pb.AuthStatusRequest{}}
	case 2:
		return call{pb.Auth_AuthDisable_FullMethodName, &pb.AuthDisableRequest{}}
	case 3:
		return call{pb.Auth_Authenticate_FullMethodName, &pb.AuthenticateRequest{Name: "root", Password: "x"}}
	case 4, 5:
		return call{v3lockpb.Lock_Unlock_FullMethodName, &v3lockpb.UnlockRequest{Key: g.queueKey()}}
	case 6:
		return call{v3electionpb.Election_Leader_FullMethodName, &v3electionpb.LeaderRequest{Name: g.name()}}
	case 7:
		return call{v3electionpb.Election_Resign_FullMethodName, &v3electionpb.ResignRequest{Leader: g.leaderKey()}}
	}
	return call{v3electionpb.Election_Proclaim_FullMethodName, &v3electionpb.ProclaimRequest{Leader: g.leaderKey(), Value: g.some()}}
}

// name is the name of a lock or an election.
func (g *generator) name() []byte {
	return [][]byte{[]byte("queue"), {}, {0}, {0xff}, []byte("k\x00"), []byte("é/")}[g.IntN(6)]
}

// queueKey is a key that may be in a queue, or none.
func (g *generator) queueKey() []byte {
	if g.chance(0.2) {
		return nil
	}
	return queueKey(g.name(), g.lease())
}

// queueKey is the key of a lease in the queue of a name.
func queueKey(name []byte, lease int64) []byte { return fmt.Appendf(nil, "%s/%x", name, lease) }

// leaderKey is what a candidate could say that it holds: nothing, or a key with a
// revision that may be right. A lease is named: without one a call has one granted,
// and its id differs (see game.chosenLeases).
func (g *generator) leaderKey() *v3electionpb.LeaderKey {
	if g.chance(0.1) {
		return nil
	}
	lease := g.lease()
	if lease == 0 {
		lease = -1
	}
	name := g.name()
	k := &v3electionpb.LeaderKey{Name: name, Key: queueKey(name, lease), Rev: g.revision - g.Int64N(10), Lease: lease}
	if g.chance(0.1) {
		k.Key = nil
	}
	if g.chance(0.1) {
		k.Rev = g.giant()
	}
	return k
}
