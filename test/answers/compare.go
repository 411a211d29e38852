package answers

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	gocmp "github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
)

// Compare gives the difference between etcd's answer to a call (want) and tierd's,
// or nothing: every field of the response, or code and text of the error. It clears
// in both what may differ.
func Compare(want proto.Message, wantErr error, got proto.Message, gotErr error) string {
	if diff := gocmp.Diff(ErrorText(wantErr), ErrorText(gotErr)); diff != "" || wantErr != nil {
		return diff
	}
	matchLeaseTTL(want, got)
	normalise(want.ProtoReflect())
	normalise(got.ProtoReflect())
	if proto.Equal(want, got) {
		return ""
	}
	return gocmp.Diff(want, got, protocmp.Transform())
}

// ErrorText is what a client reads of an error: its code and its text.
func ErrorText(err error) string {
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
