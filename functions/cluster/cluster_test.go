package cluster

import (
	"context"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/router"
)

type keyspace struct{ err error }

func (keyspace) ClusterID() uint64             { return 1 }
func (keyspace) Self() router.Member           { return router.Member{ID: 12} }
func (keyspace) Term() uint64                  { return 3 }
func (keyspace) LastRevision() router.Revision { return 99 }

func (k keyspace) Members(context.Context) ([]router.Member, router.Revision, error) {
	return []router.Member{
		{ID: 11, Name: "a", ClientURLs: []string{"http://a:2379"}},
		{ID: 12, Name: "b", ClientURLs: []string{"http://b:2379", "http://b:2380"}},
	}, 99, k.err
}

func TestMemberList(t *testing.T) {
	t.Parallel()
	want := &pb.MemberListResponse{
		Header: &pb.ResponseHeader{ClusterId: 1, MemberId: 12, RaftTerm: 3},
		Members: []*pb.Member{
			{ID: 11, Name: "a", ClientURLs: []string{"http://a:2379"}},
			{ID: 12, Name: "b", ClientURLs: []string{"http://b:2379", "http://b:2380"}},
		},
	}
	for _, linearizable := range []bool{false, true} {
		got, err := New(keyspace{}).MemberList(t.Context(), &pb.MemberListRequest{Linearizable: linearizable})
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("MemberList(linearizable=%v) = %v, %v; want %v", linearizable, got, err, want)
		}
	}
	_, err := New(keyspace{err: router.ErrUnavailable}).MemberList(t.Context(), &pb.MemberListRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("with the hot tier gone: %v", err)
	}
}

func TestChangesAreRefusedWithAdvice(t *testing.T) {
	t.Parallel()
	s := New(keyspace{})
	for advice, call := range map[string]func() error{
		"start another": func() error { _, err := s.MemberAdd(t.Context(), &pb.MemberAddRequest{}); return err },
		"stop that frontend": func() error {
			_, err := s.MemberRemove(t.Context(), &pb.MemberRemoveRequest{})
			return err
		},
		"--advertise-client-urls": func() error {
			_, err := s.MemberUpdate(t.Context(), &pb.MemberUpdateRequest{})
			return err
		},
		"no learners": func() error { _, err := s.MemberPromote(t.Context(), &pb.MemberPromoteRequest{}); return err },
	} {
		if err := call(); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), advice) {
			t.Errorf("got %v, want Unimplemented with %q", err, advice)
		}
	}
}
