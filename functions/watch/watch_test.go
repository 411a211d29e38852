package watch

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/router/feed"
	"github.com/tierd/tierd/router/feed/feedtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hangLimit ends a test that waits for what never comes.
const hangLimit = time.Minute

// identity is a frontend over a keyspace in memory.
type identity struct{ source *feedtest.Source }

func (identity) ClusterID() uint64               { return 7 }
func (identity) Self() router.Member             { return router.Member{ID: 8} }
func (identity) Term() uint64                    { return 9 }
func (i identity) LastRevision() router.Revision { return i.source.LastRevision() }

// rig is the service behind a gRPC connection in memory.
type rig struct {
	*testing.T
	source   *feedtest.Source
	feed     *feed.Feed
	draining chan struct{}
	client   pb.WatchClient
	// ended receives how the service ended each stream.
	ended chan error
}

func newRig(t *testing.T, settings Settings, feedSettings feed.Settings) *rig {
	t.Helper()
	t.Parallel()
	r := &rig{T: t, source: feedtest.NewSource(), draining: make(chan struct{}), ended: make(chan error, 16)}
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	registry := prometheus.NewRegistry()
	r.feed = feed.New(r.source, feedSettings, logger, registry)
	server := grpc.NewServer(grpc.StreamInterceptor(
		func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			err := handler(srv, stream)
			r.ended <- err
			return err
		}))
	pb.RegisterWatchServer(server, New(identity{r.source}, r.feed, settings, r.draining, logger, registry))
	listener := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///memory",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		r.feed.Close()
	})
	r.client = pb.NewWatchClient(conn)
	return r
}

// stream is one watch stream as a client sees it.
type stream struct {
	*rig
	pb.Watch_WatchClient
	cancel context.CancelFunc
}

func (r *rig) open(ctx context.Context) *stream {
	r.Helper()
	ctx, cancel := context.WithTimeout(ctx, hangLimit)
	r.Cleanup(cancel)
	s, err := r.client.Watch(ctx)
	if err != nil {
		r.Fatal(err)
	}
	return &stream{rig: r, Watch_WatchClient: s, cancel: cancel}
}

func (s *stream) request(request *pb.WatchRequest) {
	s.Helper()
	if err := s.Send(request); err != nil {
		s.Fatal(err)
	}
}

func (s *stream) create(c *pb.WatchCreateRequest) {
	s.Helper()
	s.request(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: c}})
}

func (s *stream) cancelWatch(id int64) {
	s.Helper()
	s.request(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
}

func (s *stream) progress() {
	s.Helper()
	s.request(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
}

// next is the next response, whose header must name this frontend.
func (s *stream) next() *pb.WatchResponse {
	s.Helper()
	response, err := s.Recv()
	if err != nil {
		s.Fatal(err)
	}
	if h := response.Header; h.ClusterId != 7 || h.MemberId != 8 || h.RaftTerm != 9 {
		s.Fatalf("header %v", h)
	}
	return response
}

// expect compares the next responses with want, written as by describe.
func (s *stream) expect(want ...string) {
	s.Helper()
	for _, w := range want {
		if got := describe(s.next()); got != w {
			s.Fatalf("got %q, want %q", got, w)
		}
	}
}

// nothingElse tells that everything the service had for the stream was received:
// an answer to a new request comes next.
func (s *stream) nothingElse() {
	s.Helper()
	s.create(&pb.WatchCreateRequest{Key: []byte("b"), RangeEnd: []byte("a")})
	s.expect(fmt.Sprintf("created canceled id=-1 rev=%d %s", s.source.LastRevision(), reasonEmptyRange))
}

// describe writes a response as one line.
func describe(r *pb.WatchResponse) string {
	var words []string
	for _, flag := range []struct {
		set  bool
		word string
	}{{r.Created, "created"}, {r.Canceled, "canceled"}, {r.Fragment, "fragment"}} {
		if flag.set {
			words = append(words, flag.word)
		}
	}
	words = append(words, fmt.Sprintf("id=%d rev=%d", r.WatchId, r.Header.Revision))
	if r.CompactRevision != 0 {
		words = append(words, fmt.Sprintf("compacted=%d", r.CompactRevision))
	}
	if r.CancelReason != "" {
		words = append(words, r.CancelReason)
	}
	for _, ev := range r.Events {
		words = append(words, describeEvent(ev))
	}
	return strings.Join(words, " ")
}

func describeEvent(ev *mvccpb.Event) string {
	text := fmt.Sprintf("%s=%s/%d", ev.Kv.Key, ev.Kv.Value, ev.Kv.ModRevision)
	if ev.Type == mvccpb.Event_DELETE {
		text = fmt.Sprintf("-%s/%d", ev.Kv.Key, ev.Kv.ModRevision)
	}
	if ev.PrevKv != nil {
		text += fmt.Sprintf("(%s)", ev.PrevKv.Value)
	}
	return text
}

// everything is a request for all keys.
func everything() *pb.WatchCreateRequest {
	return &pb.WatchCreateRequest{RangeEnd: []byte{0}}
}

func TestIDs(t *testing.T) {
	r := newRig(t, Settings{}, feed.Settings{})
	s := r.open(context.Background())
	key := func(id int64) *pb.WatchCreateRequest { return &pb.WatchCreateRequest{Key: []byte("k"), WatchId: id} }
	s.create(key(1))
	s.create(key(0))
	s.create(key(0))
	s.create(key(1))
	s.create(key(-5))
	s.expect("created id=1 rev=1", "created id=0 rev=1", "created id=2 rev=1",
		"created canceled id=-1 rev=1 "+reasonDuplicateID, "created id=-5 rev=1")
	s.cancelWatch(1)
	s.cancelWatch(99)
	s.cancelWatch(1)
	s.create(key(1))
	s.create(key(0))
	s.expect("canceled id=1 rev=1", "created id=1 rev=1", "created id=3 rev=1")
	s.nothingElse()
}

func TestRefusedRequests(t *testing.T) {
	r := newRig(t, Settings{}, feed.Settings{})
	r.source.Put("k", "1")
	s := r.open(context.Background())
	s.create(&pb.WatchCreateRequest{Key: []byte("b"), RangeEnd: []byte("a")})
	s.create(&pb.WatchCreateRequest{Key: []byte("b"), RangeEnd: []byte("b")})
	s.create(&pb.WatchCreateRequest{Key: []byte("b"), RangeEnd: []byte("a"), StartRevision: -1})
	compacted := rpctypes.ErrCompacted.Error()
	s.expect("created canceled id=-1 rev=2 "+reasonEmptyRange, "created canceled id=-1 rev=2 "+reasonEmptyRange,
		"created canceled id=-1 rev=2 "+compacted)
	// Requests that are none are passed over, and the stream lives on.
	s.request(&pb.WatchRequest{})
	s.create(everything())
	s.expect("created id=0 rev=2")
}

func TestRanges(t *testing.T) {
	r := newRig(t, Settings{}, feed.Settings{})
	s := r.open(context.Background())
	for i, c := range []*pb.WatchCreateRequest{
		{},
		{RangeEnd: []byte{0}},
		{Key: []byte("b"), RangeEnd: []byte{0}},
		{Key: []byte("a"), RangeEnd: []byte("b")},
		{Key: []byte("b")},
	} {
		s.create(c)
		s.expect(fmt.Sprintf("created id=%d rev=1", i))
	}
	for i, key := range []string{"\x00", "a", "b", "c"} {
		r.source.Put(key, "v")
		got := map[int64]bool{}
		for range []int{2, 2, 3, 2}[i] {
			got[s.next().WatchId] = true
		}
		want := []map[int64]bool{{0: true, 1: true}, {1: true, 3: true}, {1: true, 2: true, 4: true}, {1: true, 2: true}}[i]
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%q went to %v, want %v", key, got, want)
		}
	}
	s.nothingElse()
}

func TestEvents(t *testing.T) {
	r := newRig(t, Settings{}, feed.Settings{})
	r.source.Put("k", "2")
	s := r.open(context.Background())
	prev := everything()
	prev.PrevKv = true
	s.create(prev)
	s.expect("created id=0 rev=2")
	r.source.Put("k", "3")
	s.expect("id=0 rev=3 k=3/3(2)")
	r.source.Txn(feedtest.Op{Key: "k", Delete: true}, feedtest.Op{Key: "l", Value: "4"})
	s.expect("id=0 rev=4 -k/4(3) l=4/4")
	// The past comes in one response, at the current revision, and without what
	// was not asked for.
	past := everything()
	past.StartRevision = 2
	past.Filters = []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE}
	s.create(past)
	s.expect("created id=1 rev=4", "id=1 rev=4 k=2/2 k=3/3 l=4/4")
	onlyDeletes := everything()
	onlyDeletes.StartRevision = 2
	onlyDeletes.Filters = []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT}
	s.create(onlyDeletes)
	s.expect("created id=2 rev=4", "id=2 rev=4 -k/4")
}

func TestCompactedStart(t *testing.T) {
	r := newRig(t, Settings{}, feed.Settings{})
	for i := 2; i <= 5; i++ {
		r.source.Put("k", fmt.Sprint(i))
	}
	r.source.Compact(4)
	s := r.open(context.Background())
	request := &pb.WatchCreateRequest{Key: []byte("k"), StartRevision: 3, WatchId: 6}
	s.create(request)
	s.expect("created id=6 rev=5", "canceled id=6 rev=0 compacted=4")
	// The id is free again when the client has canceled the watch, too.
	s.create(request)
	s.expect("created canceled id=-1 rev=5 " + reasonDuplicateID)
	s.cancelWatch(6)
	s.expect("canceled id=6 rev=5")
	request.StartRevision = 4
	s.create(request)
	s.expect("created id=6 rev=5", "id=6 rev=5 k=4/4 k=5/5")
}

// A stream has at most so many watches; one that is canceled makes room.
func TestTooManyWatches(t *testing.T) {
	r := newRig(t, Settings{WatchesMax: 2}, feed.Settings{})
	s := r.open(context.Background())
	for range 3 {
		s.create(&pb.WatchCreateRequest{Key: []byte("k")})
	}
	revision := r.source.LastRevision()
	s.expect(fmt.Sprintf("created id=0 rev=%d", revision), fmt.Sprintf("created id=1 rev=%d", revision),
		fmt.Sprintf("created canceled id=-1 rev=%d etcdserver: too many requests", revision))
	s.cancelWatch(0)
	s.create(&pb.WatchCreateRequest{Key: []byte("k")})
	s.expect(fmt.Sprintf("canceled id=0 rev=%d", revision), fmt.Sprintf("created id=2 rev=%d", revision))
}
