package maintenance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/tierd/tierd/router"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	k := &keyspace{current: 42, status: router.Status{
		Revision: 42, Compacted: 7, Term: 3, SizeBytes: 300, SizeInUseBytes: 200, QuotaBytes: 1000, LeaderID: 0xa1,
	}}
	got, err := serve(t, k).Status(t.Context(), &pb.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := &pb.StatusResponse{
		Header:  &pb.ResponseHeader{ClusterId: 0xc1, MemberId: 0xa1, Revision: 42, RaftTerm: 7},
		Version: "3.7.3", StorageVersion: "3.7.0", DbSize: 300, DbSizeInUse: 200, DbSizeQuota: 1000,
		Leader: 0xa1, RaftIndex: 42, RaftAppliedIndex: 42, RaftTerm: 3, DowngradeInfo: &pb.DowngradeInfo{},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestStatusNamesTroubles(t *testing.T) {
	t.Parallel()
	k := &keyspace{status: router.Status{Alarms: []router.Alarm{{MemberID: 0xa1, Type: pb.AlarmType_NOSPACE}}}}
	got, err := serve(t, k).Status(t.Context(), &pb.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Errors) != 2 || got.Errors[0] != "etcdserver: no leader" || !strings.Contains(got.Errors[1], "NOSPACE") {
		t.Errorf("errors: %q", got.Errors)
	}
}

func TestAlarm(t *testing.T) {
	t.Parallel()
	space := router.Alarm{MemberID: 1, Type: pb.AlarmType_NOSPACE}
	other := router.Alarm{MemberID: 2, Type: pb.AlarmType_NOSPACE}
	corrupt := router.Alarm{MemberID: 2, Type: pb.AlarmType_CORRUPT}
	none := pb.AlarmType_NONE
	for name, c := range map[string]struct {
		request      *pb.AlarmRequest
		listed, left []router.Alarm
	}{
		"list all":       {&pb.AlarmRequest{MemberID: 9}, []router.Alarm{space, other, corrupt}, nil},
		"list a kind":    {&pb.AlarmRequest{Alarm: corrupt.Type}, []router.Alarm{corrupt}, nil},
		"raise nothing":  {&pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 1, Alarm: none}, nil, nil},
		"raise again":    {&pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 1, Alarm: space.Type}, []router.Alarm{space}, nil},
		"lower nothing":  {&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: none}, nil, nil},
		"lower one":      {&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: 2, Alarm: space.Type}, []router.Alarm{other}, []router.Alarm{space, corrupt}},
		"lower all":      {&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: space.Type}, []router.Alarm{space, other}, []router.Alarm{corrupt}},
		"lower unraised": {&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: 7, Alarm: space.Type}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := []router.Alarm{space, other, corrupt}
			k := &keyspace{current: 5, alarms: append([]router.Alarm(nil), all...)}
			got, err := serve(t, k).Alarm(context.Background(), c.request)
			if err != nil {
				t.Fatal(err)
			}
			want := &pb.AlarmResponse{Header: &pb.ResponseHeader{ClusterId: 0xc1, MemberId: 0xa1, Revision: 5, RaftTerm: 7}}
			for _, a := range c.listed {
				want.Alarms = append(want.Alarms, &pb.AlarmMember{MemberID: a.MemberID, Alarm: a.Type})
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			if c.left == nil {
				c.left = all
			}
			if diff := cmp.Diff(c.left, k.alarms); diff != "" {
				t.Errorf("left raised:\n%s", diff)
			}
		})
	}
}

func TestAlarmRefusals(t *testing.T) {
	t.Parallel()
	refusal := status.Error(codes.FailedPrecondition, "restore first")
	k := &keyspace{disarmErr: fmt.Errorf("disarm: %w", refusal)}
	for name, c := range map[string]struct {
		request *pb.AlarmRequest
		code    codes.Code
	}{
		"a kind nobody knows":    {&pb.AlarmRequest{Alarm: 99}, codes.InvalidArgument},
		"an action nobody knows": {&pb.AlarmRequest{Action: 99}, codes.InvalidArgument},
		"the router refuses":     {&pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, Alarm: pb.AlarmType_CORRUPT}, codes.FailedPrecondition},
	} {
		if _, err := serve(t, k).Alarm(t.Context(), c.request); status.Code(err) != c.code {
			t.Errorf("%s: %v, want %v", name, err, c.code)
		}
	}
}

// What a frontend has not is refused with its name and what to do instead.
func TestRefusedByName(t *testing.T) {
	t.Parallel()
	service := serve(t, small())
	_, err := service.MoveLeader(t.Context(), &pb.MoveLeaderRequest{TargetID: 1})
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "MoveLeader") {
		t.Errorf("move leader: %v", err)
	}
	for action := range pb.DowngradeRequest_DowngradeAction_name {
		request := &pb.DowngradeRequest{Action: pb.DowngradeRequest_DowngradeAction(action), Version: "3.6"}
		_, err := service.Downgrade(t.Context(), request)
		if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "Downgrade") {
			t.Errorf("downgrade %v: %v", request.Action, err)
		}
	}
}

func TestDefragmentNeedsTheKeyspace(t *testing.T) {
	t.Parallel()
	k := small()
	if got, err := serve(t, k).Defragment(t.Context(), &pb.DefragmentRequest{}); err != nil || got.Header != nil {
		t.Errorf("%v (%v)", got, err)
	}
	k.failure = errors.New("no route to host")
	if _, err := serve(t, k).Defragment(t.Context(), &pb.DefragmentRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("unreachable: %v", err)
	}
}
