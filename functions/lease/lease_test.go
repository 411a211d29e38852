package lease

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/tierd/tierd/router"
)

func header(revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: 0xc1, MemberId: 0xa1, Revision: revision, RaftTerm: 7}
}

func same(t *testing.T, what string, got, want any, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
}

func TestGrant(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		id, ttl       int64
		wantID, grant int64
	}{
		"named":           {5, 60, 5, 60},
		"chosen":          {0, 60, 4711, 60},
		"negative id":     {-3, 60, -3, 60},
		"below the floor": {5, 1, 5, 2},
		"no time":         {5, 0, 5, 2},
		"negative time":   {5, -9, 5, 2},
		"the longest":     {5, 9_000_000_000, 5, 9_000_000_000},
	} {
		client, _ := dial(t, newKeyspace())
		got, err := client.LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: c.id, TTL: c.ttl})
		same(t, name, got, &pb.LeaseGrantResponse{Header: header(10), ID: c.wantID, TTL: c.grant}, err)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	client, _ := dial(t, newKeyspace(router.Lease{ID: 5}))
	_, taken := client.LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: 5, TTL: 60})
	_, long := client.LeaseGrant(t.Context(), &pb.LeaseGrantRequest{ID: 6, TTL: 9_000_000_001})
	_, unknown := client.LeaseRevoke(t.Context(), &pb.LeaseRevokeRequest{ID: 6})
	for _, c := range []struct {
		err  error
		code codes.Code
		text string
	}{
		{taken, codes.FailedPrecondition, "etcdserver: lease already exists"},
		{long, codes.OutOfRange, "etcdserver: too large lease TTL"},
		{unknown, codes.NotFound, "etcdserver: requested lease not found"},
	} {
		if s := status.Convert(c.err); s.Code() != c.code || s.Message() != c.text {
			t.Errorf("%v, want %v %q", c.err, c.code, c.text)
		}
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	client, _ := dial(t, newKeyspace(router.Lease{ID: 5}))
	got, err := client.LeaseRevoke(t.Context(), &pb.LeaseRevokeRequest{ID: 5})
	same(t, "revoke", got, &pb.LeaseRevokeResponse{Header: header(11)}, err)
}

func TestTimeToLive(t *testing.T) {
	t.Parallel()
	keys := [][]byte{[]byte("a"), []byte("b")}
	client, _ := dial(t, newKeyspace(router.Lease{ID: 5, GrantedTTL: 60, RemainingTTL: 42, Keys: keys}))
	for name, c := range map[string]struct {
		request *pb.LeaseTimeToLiveRequest
		want    *pb.LeaseTimeToLiveResponse
	}{
		"without keys": {&pb.LeaseTimeToLiveRequest{ID: 5}, &pb.LeaseTimeToLiveResponse{Header: header(10), ID: 5, TTL: 42, GrantedTTL: 60}},
		"with keys":    {&pb.LeaseTimeToLiveRequest{ID: 5, Keys: true}, &pb.LeaseTimeToLiveResponse{Header: header(10), ID: 5, TTL: 42, GrantedTTL: 60, Keys: keys}},
		"unknown":      {&pb.LeaseTimeToLiveRequest{ID: 6, Keys: true}, &pb.LeaseTimeToLiveResponse{Header: header(10), ID: 6, TTL: -1}},
	} {
		got, err := client.LeaseTimeToLive(t.Context(), c.request)
		same(t, name, got, c.want, err)
	}
}

// Etcd lists the lease that ends first, first.
func TestLeases(t *testing.T) {
	t.Parallel()
	client, _ := dial(t, newKeyspace(
		router.Lease{ID: 1, RemainingTTL: 30}, router.Lease{ID: 2, RemainingTTL: 10}, router.Lease{ID: 3, RemainingTTL: 20}))
	got, err := client.LeaseLeases(t.Context(), &pb.LeaseLeasesRequest{})
	want := &pb.LeaseLeasesResponse{Header: header(10), Leases: []*pb.LeaseStatus{{ID: 2}, {ID: 3}, {ID: 1}}}
	same(t, "list", got, want, err)
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	k := newKeyspace(router.Lease{ID: 5})
	k.failure = errors.Join(router.ErrUnavailable, errors.New("connection refused"))
	client, _ := dial(t, k)
	_, leases := client.LeaseLeases(t.Context(), &pb.LeaseLeasesRequest{})
	_, known := client.LeaseTimeToLive(t.Context(), &pb.LeaseTimeToLiveRequest{ID: 5})
	_, unknown := client.LeaseTimeToLive(t.Context(), &pb.LeaseTimeToLiveRequest{ID: 6})
	for _, err := range []error{leases, known, unknown} {
		if status.Code(err) != codes.Unavailable {
			t.Errorf("%v, want Unavailable", err)
		}
	}
}
