package differential

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	gocmp "github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
)

// compare gives the difference between two answers to one call, or nothing.
func compare(want proto.Message, wantErr error, got proto.Message, gotErr error) string {
	if diff := gocmp.Diff(errorText(wantErr), errorText(gotErr)); diff != "" || wantErr != nil {
		return diff
	}
	matchLeaseTTL(want, got)
	normalise(want.ProtoReflect())
	normalise(got.ProtoReflect())
	return gocmp.Diff(want, got, protocmp.Transform())
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("%v: %s", status.Code(err), status.Convert(err).Message())
}

// leaseSecondsApart is how far the seconds that a lease has left may lie apart:
// the two systems were not asked at the same instant.
const leaseSecondsApart = 30

// matchLeaseTTL makes two TTLs that are close together equal.
func matchLeaseTTL(want, got proto.Message) {
	w, ok := want.(*pb.LeaseTimeToLiveResponse)
	if !ok {
		return
	}
	g := got.(*pb.LeaseTimeToLiveResponse)
	if apart := w.TTL - g.TTL; w.TTL > 0 && g.TTL > 0 && max(apart, -apart) <= leaseSecondsApart {
		g.TTL = w.TTL
	}
}

// normalise clears, at any depth, the fields that may differ.
func normalise(m protoreflect.Message) {
	switch r := m.Interface().(type) {
	case *pb.ResponseHeader:
		// Ids are chosen at random, and the term of raft is that of recoveries here.
		r.ClusterId, r.MemberId, r.RaftTerm = 0, 0, 0
	case *pb.LeaseTimeToLiveResponse:
		slices.SortFunc(r.Keys, bytes.Compare) // etcd's come in any order
	case *pb.LeaseLeasesResponse:
		// Both list the next to expire first, and in any order what is equal to them;
		// their clocks are read at different instants.
		slices.SortFunc(r.Leases, func(a, b *pb.LeaseStatus) int { return cmp.Compare(a.ID, b.ID) })
	case *pb.StatusResponse:
		// There is no raft log, and a database of pages is larger than its data, even
		// when there is none. The fields must be there all the same.
		r.Leader, r.RaftIndex, r.RaftAppliedIndex, r.RaftTerm = there(r.Leader), there(r.RaftIndex), there(r.RaftAppliedIndex), there(r.RaftTerm)
		r.DbSize, r.DbSizeInUse = there(r.DbSize), 0
		for i, text := range r.Errors {
			r.Errors[i] = strings.ReplaceAll(text, "  ", " ") // protobuf puts in spaces at random
		}
		slices.Sort(r.Errors) // alarms, as below
	case *pb.AlarmResponse:
		// etcd's come in any order.
		slices.SortFunc(r.Alarms, func(a, b *pb.AlarmMember) int { return cmp.Compare(a.MemberID, b.MemberID) })
	case *pb.MemberListResponse:
		r.Members = r.Members[:1] // one of each frontend
	case *pb.HashResponse:
		r.Hash = there(r.Hash) // etcd's is of the pages of its database
	case *pb.Member:
		// Chosen ids and addresses; frontends have no peers, hence no peer URLs.
		r.ID, r.Name, r.PeerURLs, r.ClientURLs = there(r.ID), "", nil, r.ClientURLs[:0]
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsList() && field.Kind() == protoreflect.MessageKind:
			for i := range v.List().Len() {
				normalise(v.List().Get(i).Message())
			}
		case !field.IsList() && !field.IsMap() && field.Kind() == protoreflect.MessageKind:
			normalise(v.Message())
		}
		return true
	})
}

// there is 1 for any value but zero.
func there[N uint32 | uint64 | int64](n N) N { return min(n, 1) }

// refused are the methods that tierd refuses by name and etcd carries out, with
// the reason. They are asked of tierd only: on etcd most would end the run.
func refused() map[string]string {
	const (
		members = "frontends register themselves"
		format  = "frontends have no data format that a version could change"
		leader  = "frontends elect no raft leader"
		auth    = "this release has no users and roles"
	)
	return map[string]string{
		pb.Cluster_MemberAdd_FullMethodName:         members,
		pb.Cluster_MemberRemove_FullMethodName:      members,
		pb.Cluster_MemberUpdate_FullMethodName:      members,
		pb.Cluster_MemberPromote_FullMethodName:     members,
		pb.Maintenance_MoveLeader_FullMethodName:    leader,
		pb.Maintenance_Downgrade_FullMethodName:     format,
		pb.Auth_AuthEnable_FullMethodName:           auth,
		pb.Auth_UserAdd_FullMethodName:              auth,
		pb.Auth_UserGet_FullMethodName:              auth,
		pb.Auth_UserList_FullMethodName:             auth,
		pb.Auth_UserDelete_FullMethodName:           auth,
		pb.Auth_UserChangePassword_FullMethodName:   auth,
		pb.Auth_UserGrantRole_FullMethodName:        auth,
		pb.Auth_UserRevokeRole_FullMethodName:       auth,
		pb.Auth_RoleAdd_FullMethodName:              auth,
		pb.Auth_RoleGet_FullMethodName:              auth,
		pb.Auth_RoleList_FullMethodName:             auth,
		pb.Auth_RoleDelete_FullMethodName:           auth,
		pb.Auth_RoleGrantPermission_FullMethodName:  auth,
		pb.Auth_RoleRevokePermission_FullMethodName: auth,
	}
}

// refusals checks that what tierd refuses is refused by name and changes nothing.
func (g *game) refusals() {
	for method, reason := range refused() {
		request, err := newMessage(g.tierd.methods[method].Input())
		if err != nil {
			g.Fatal(err)
		}
		_, err = g.tierd.answer(g.Context(), call{method, request})
		if status.Code(err) != codes.Unimplemented || len(status.Convert(err).Message()) < 40 {
			g.Errorf("%s is answered with %v, want a sentence under Unimplemented, because %s", method, err, reason)
		}
		g.count(method, err)
	}
	g.both(call{pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{}})
}

// elsewhere are the methods that this game does not call, because another test of
// this package compares them.
func elsewhere() map[string]bool {
	return map[string]bool{pb.Watch_Watch_FullMethodName: true}
}

// Other differences, which the generator keeps clear of:
//
//   - A transaction that puts a key and deletes a range without an end that holds
//     it passes etcd's check for keys written twice, and etcd can crash on it. tierd
//     executes it (generator.ops).
//   - RangeStream with a sort target but no order: etcd sorts each message of the
//     stream and goes on after what is then the last key, so it can leave keys out.
//     tierd does not (generator.streamRequest).
//   - HashKV of a revision that was compacted at: a running etcd remembers ten such
//     hashes from before the compaction and forgets them when it restarts. tierd
//     answers as the restarted one (generator.hashRequest).
//   - Lowering an alarm for member 0: the protocol says that it covers all members,
//     which is what tierd does; etcd lowers that of a member whose id is 0
//     (generator.alarmRequest).
//   - Raising CORRUPT: on tierd every read and write is refused from then on, and
//     the alarm stays; etcd goes on answering reads, and can lower it
//     (game.corrupted).
//   - Leases and alarms are told of at any time; etcd's TTL of a lease that is about
//     to end depends on the clock (game.shortLease).
