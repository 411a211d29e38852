package maintenance

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router"
)

// Alarm lists, raises or lowers alarms.
//
// As in etcd, a list is narrowed by the kind of alarm and not by the member,
// raising or lowering no kind in particular does nothing, and the answer holds
// the alarms that were listed, raised or lowered. Lowering for member 0 lowers
// the alarm of every member, which is what etcd's protocol says of that id.
// Which alarms may be lowered is for the router to say: CORRUPT is more than a
// flag there.
func (s *server) Alarm(ctx context.Context, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	if _, known := pb.AlarmType_name[int32(r.Alarm)]; !known {
		return nil, status.Errorf(codes.InvalidArgument, "etcdserver: unknown alarm type %d", r.Alarm)
	}
	// Looked at for every action: the header then shows a revision that this
	// frontend may not have seen yet.
	alarms, err := s.listAlarms(ctx, r.Alarm)
	if err != nil {
		return nil, wire.Error(fmt.Errorf("list alarms: %w", err))
	}
	switch r.Action {
	case pb.AlarmRequest_GET:
	case pb.AlarmRequest_ACTIVATE:
		alarms, err = s.raiseAlarm(ctx, router.Alarm{MemberID: r.MemberID, Type: r.Alarm})
	case pb.AlarmRequest_DEACTIVATE:
		alarms, err = s.lowerAlarm(ctx, router.Alarm{MemberID: r.MemberID, Type: r.Alarm})
	default:
		return nil, status.Errorf(codes.InvalidArgument, "etcdserver: unknown alarm action %d", r.Action)
	}
	if err != nil {
		return nil, wire.Error(fmt.Errorf("alarm %s %s: %w", r.Action, r.Alarm, err))
	}
	resp := &pb.AlarmResponse{Header: wire.Header(s.api, 0)}
	for _, a := range alarms {
		resp.Alarms = append(resp.Alarms, alarmMember(a))
	}
	return resp, nil
}

func (s *server) listAlarms(ctx context.Context, kind pb.AlarmType) ([]router.Alarm, error) {
	all, err := s.api.Alarms(ctx)
	if err != nil || kind == pb.AlarmType_NONE {
		return all, err
	}
	var listed []router.Alarm
	for _, a := range all {
		if a.Type == kind {
			listed = append(listed, a)
		}
	}
	return listed, nil
}

func (s *server) raiseAlarm(ctx context.Context, a router.Alarm) ([]router.Alarm, error) {
	if a.Type == pb.AlarmType_NONE {
		return nil, nil
	}
	if err := s.api.RaiseAlarm(ctx, a); err != nil {
		return nil, err
	}
	return []router.Alarm{a}, nil
}

func (s *server) lowerAlarm(ctx context.Context, a router.Alarm) ([]router.Alarm, error) {
	if a.Type == pb.AlarmType_NONE {
		return nil, nil
	}
	return s.api.DisarmAlarm(ctx, a)
}

func alarmMember(a router.Alarm) *pb.AlarmMember {
	return &pb.AlarmMember{MemberID: a.MemberID, Alarm: a.Type}
}
