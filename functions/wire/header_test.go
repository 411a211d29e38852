package wire

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/router"
)

type identity struct{}

func (identity) ClusterID() uint64             { return 7 }
func (identity) Self() router.Member           { return router.Member{ID: 8} }
func (identity) Term() uint64                  { return 9 }
func (identity) LastRevision() router.Revision { return 41 }

func TestHeader(t *testing.T) {
	t.Parallel()
	var _ Identity = router.API(nil)
	want := &pb.ResponseHeader{ClusterId: 7, MemberId: 8, RaftTerm: 9, Revision: 12}
	if got := Header(identity{}, 12); !proto.Equal(got, want) {
		t.Errorf("Header = %v, want %v", got, want)
	}
	filled := &pb.ResponseHeader{Revision: 3}
	Fill(identity{}, filled)
	if filled.Revision != 3 || filled.MemberId != 8 {
		t.Errorf("Fill = %v", filled)
	}
	if got := Header(identity{}, 0); got.Revision != 41 {
		t.Errorf("without a revision: %v, want the last one seen", got)
	}
}
