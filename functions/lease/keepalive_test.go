package lease

import (
	"context"
	"errors"
	"io"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/router"
)

// open begins a keep-alive stream and sends requests for ids.
func open(ctx context.Context, t *testing.T, client pb.LeaseClient, ids ...int64) pb.Lease_LeaseKeepAliveClient {
	t.Helper()
	stream, err := client.LeaseKeepAlive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	return stream
}

// Requests are answered in order; a lease that is gone has a TTL of 0 and does
// not end the stream; a client that says it is done ends it without an error.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	client, _ := dial(t, newKeyspace(router.Lease{ID: 5, GrantedTTL: 60, RemainingTTL: 1}, router.Lease{ID: 7, GrantedTTL: 70}))
	stream := open(t.Context(), t, client, 5, 6, 7)
	for _, want := range []*pb.LeaseKeepAliveResponse{
		{Header: header(10), ID: 5, TTL: 60}, {Header: header(10), ID: 6}, {Header: header(10), ID: 7, TTL: 70},
	} {
		got, err := stream.Recv()
		same(t, "keep alive", got, want, err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end of the stream: %v, want EOF", err)
	}
}

func TestKeepAliveEndsWithAFailure(t *testing.T) {
	t.Parallel()
	k := newKeyspace(router.Lease{ID: 5})
	k.failure = router.ErrUnavailable
	client, _ := dial(t, k)
	if _, err := open(t.Context(), t, client, 5).Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want Unavailable", err)
	}
}

// A drain ends streams that are idle, and new ones, so that clients go elsewhere.
func TestKeepAliveDrains(t *testing.T) {
	t.Parallel()
	client, drain := dial(t, newKeyspace(router.Lease{ID: 5, GrantedTTL: 60}))
	idle := open(t.Context(), t, client, 5)
	if _, err := idle.Recv(); err != nil {
		t.Fatal(err)
	}
	drain()
	for name, stream := range map[string]pb.Lease_LeaseKeepAliveClient{"idle": idle, "new": open(t.Context(), t, client)} {
		if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v, want Unavailable", name, err)
		}
	}
}

// A renewal that is under way when the drain begins is answered first.
func TestKeepAliveAnswersBeforeItDrains(t *testing.T) {
	t.Parallel()
	k := newKeyspace(router.Lease{ID: 5, GrantedTTL: 60})
	started, resume := make(chan struct{}), make(chan struct{})
	k.renewing = func() { close(started); <-resume }
	client, drain := dial(t, k)
	stream := open(t.Context(), t, client, 5)
	<-started
	drain()
	close(resume)
	if got, err := stream.Recv(); err != nil || got.TTL != 60 {
		t.Fatalf("the renewal under way: %v (%v)", got, err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("after it: %v, want Unavailable", err)
	}
}

// A client that goes away leaves no handler behind: the server's end in dial
// waits for all of them.
func TestKeepAliveClientGone(t *testing.T) {
	t.Parallel()
	client, _ := dial(t, newKeyspace(router.Lease{ID: 5, GrantedTTL: 60}))
	ctx, cancel := context.WithCancel(t.Context())
	stream := open(ctx, t, client, 5)
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("%v, want Canceled", err)
	}
}
