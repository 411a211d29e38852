package differential

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/oracle"
)

// watchBound is how long a stream may take to catch up; far above what is normal.
const watchBound = time.Minute

// progressInterval is how often progress is asked for: etcd says nothing while a
// watcher is behind.
const progressInterval = 20 * time.Millisecond

// watched is what a stream has told of its watches.
type watched struct {
	stream pb.Watch_WatchClient
	// lives are the beginnings and ends of each watch, events what it delivered.
	lives  map[int64][]string
	events map[int64][]string
	// overtaken are watches that compaction ended and the client has not cancelled:
	// for as long, etcd answers no question about progress.
	overtaken []int64
}

// TestSameWatchesAsEtcd: watches of every kind on tierd and on etcd, over the same
// writes and compactions, begin, deliver and end alike.
func TestSameWatchesAsEtcd(t *testing.T) {
	t.Parallel()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with: go test ./test/differential -run Watches -seed %d", seed)
	clients := []*clientv3.Client{oracle.Start(t, oracle.Options{}).Client(), cluster.Start(t, cluster.Options{}).Client()}
	g := newGenerator(mathrand.New(mathrand.NewPCG(seed, 1)))
	const rounds = 12
	for range rounds {
		ctx, cancel := context.WithTimeout(t.Context(), watchBound)
		streams := []*watched{openStream(t, ctx, clients[0]), openStream(t, ctx, clients[1])}
		for range 6 {
			create := g.watchRequest()
			for _, s := range streams {
				s.create(t, create)
			}
			for range g.IntN(8) {
				g.write(t, ctx, clients)
			}
		}
		for g.writeFuture(t, ctx, clients) {
		}
		for _, s := range streams {
			s.catchUp(t, g.revision)
		}
		if diff := cmp.Diff(streams[0].lives, streams[1].lives); diff != "" {
			t.Errorf("watches begin and end (-etcd +tierd):\n%s", diff)
		}
		if diff := cmp.Diff(streams[0].events, streams[1].events); diff != "" {
			t.Errorf("events (-etcd +tierd):\n%s", diff)
		}
		g.compactBoth(t, ctx, clients)
		cancel()
		if t.Failed() {
			return
		}
	}
}

func openStream(t *testing.T, ctx context.Context, client *clientv3.Client) *watched {
	t.Helper()
	stream, err := pb.NewWatchClient(client.ActiveConnection()).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &watched{stream: stream, lives: make(map[int64][]string), events: make(map[int64][]string)}
}

// watchRequest is a watch of any kind; g.future grows to the revision at which the
// latest of them begins.
func (g *generator) watchRequest() *pb.WatchCreateRequest {
	key := g.key()
	r := &pb.WatchCreateRequest{Key: key, RangeEnd: g.end(key), PrevKv: g.chance(0.5), Fragment: g.chance(0.2)}
	switch g.IntN(6) {
	case 0, 1:
		r.StartRevision = max(1, g.compacted+g.Int64N(max(1, g.revision-g.compacted+1)))
	case 2:
		r.StartRevision = g.revision + g.Int64N(8)
	case 3:
		r.StartRevision = g.compacted - g.Int64N(3)
	}
	if g.chance(0.2) {
		r.Filters = []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_FilterType(g.IntN(2))}
	}
	if g.chance(0.2) {
		r.WatchId = g.Int64N(4) + 1
	}
	g.future = max(g.future, r.StartRevision)
	return r
}

// create asks for a watch and waits until it is answered, keeping what comes
// before the answer.
func (s *watched) create(t *testing.T, r *pb.WatchCreateRequest) {
	t.Helper()
	s.send(t, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}})
	for !s.receive(t).Created {
	}
}

func (s *watched) receive(t *testing.T) *pb.WatchResponse {
	t.Helper()
	r, err := s.stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	s.note(t, r)
	return r
}

// note keeps what a response tells.
func (s *watched) note(t *testing.T, r *pb.WatchResponse) {
	t.Helper()
	if r.Created || r.Canceled {
		if r.CompactRevision != 0 {
			s.overtaken = append(s.overtaken, r.WatchId)
		}
		s.lives[r.WatchId] = append(s.lives[r.WatchId], fmt.Sprintf("created %v canceled %v compacted %d: %s", r.Created, r.Canceled, r.CompactRevision, r.CancelReason))
	}
	for _, e := range r.Events {
		if e.Kv.ModRevision > r.Header.Revision {
			t.Errorf("an event of revision %d came under a header of %d", e.Kv.ModRevision, r.Header.Revision)
		}
		s.events[r.WatchId] = append(s.events[r.WatchId], describe(e))
	}
}

func describe(e *mvccpb.Event) string {
	return fmt.Sprintf("%v %v <- %v", e.Type, e.Kv, e.PrevKv)
}

// catchUp receives until the stream says that it has told everything up to a
// revision, and has confirmed the end of every watch that compaction ended.
func (s *watched) catchUp(t *testing.T, revision int64) {
	t.Helper()
	answers, failed := make(chan *pb.WatchResponse), make(chan error, 1)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			r, err := s.stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case answers <- r:
			case <-stop:
				return
			}
			if isProgress(r, revision) {
				return
			}
		}
	}()
	unconfirmed := 0
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		for _, id := range s.overtaken {
			unconfirmed++
			s.send(t, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
		}
		s.overtaken = nil
		select {
		case err := <-failed:
			t.Fatal(err)
		case <-tick.C:
			if unconfirmed == 0 {
				s.send(t, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
			}
		case r := <-answers:
			s.note(t, r)
			if r.Canceled && !r.Created && r.CompactRevision == 0 {
				unconfirmed--
			}
			if isProgress(r, revision) {
				return
			}
		}
	}
}

// isProgress says that a response tells of progress up to a revision at least.
func isProgress(r *pb.WatchResponse, revision int64) bool {
	return len(r.Events) == 0 && !r.Created && !r.Canceled && r.WatchId == clientv3.InvalidWatchID && r.Header.Revision >= revision
}

func (s *watched) send(t *testing.T, r *pb.WatchRequest) {
	t.Helper()
	if err := s.stream.Send(r); err != nil {
		t.Fatal(err)
	}
}

// write changes both stores in the same way.
func (g *generator) write(t *testing.T, ctx context.Context, clients []*clientv3.Client) {
	t.Helper()
	ops := g.ops(0)
	for _, op := range ops {
		if p := op.GetRequestPut(); p != nil { // only what cannot be refused
			p.Key, p.Lease, p.IgnoreLease, p.IgnoreValue = g.key(), 0, false, false
		}
	}
	ops = slices.DeleteFunc(ops, func(op *pb.RequestOp) bool { return op.GetRequestPut() == nil && op.GetRequestDeleteRange() == nil })
	if len(ops) == 0 {
		ops = []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: g.key(), Value: g.some()}}}}
	}
	g.writeBoth(t, ctx, clients, &pb.TxnRequest{Success: ops})
}

// writeFuture writes once more while the latest watch has not begun.
func (g *generator) writeFuture(t *testing.T, ctx context.Context, clients []*clientv3.Client) bool {
	t.Helper()
	if g.revision >= g.future {
		return false
	}
	g.writeBoth(t, ctx, clients, single(&pb.PutRequest{Key: g.key(), Value: g.some()}))
	return true
}

func single(r *pb.PutRequest) *pb.TxnRequest {
	return &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: r}}}}
}

func (g *generator) writeBoth(t *testing.T, ctx context.Context, clients []*clientv3.Client, r *pb.TxnRequest) {
	t.Helper()
	var revisions []int64
	for _, client := range clients {
		resp, err := pb.NewKVClient(client.ActiveConnection()).Txn(ctx, r)
		if status.Code(err) == codes.InvalidArgument { // a key twice
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		revisions = append(revisions, resp.Header.Revision)
	}
	if revisions[0] != revisions[1] {
		t.Fatalf("etcd is at revision %d, tierd at %d", revisions[0], revisions[1])
	}
	g.revision = revisions[0]
}

// compactBoth compacts both stores at the same revision.
func (g *generator) compactBoth(t *testing.T, ctx context.Context, clients []*clientv3.Client) {
	t.Helper()
	revision := max(g.compacted+1, g.revision-g.Int64N(20))
	if revision < 1 || revision > g.revision {
		return
	}
	for _, client := range clients {
		if _, err := client.Compact(ctx, revision, clientv3.WithCompactPhysical()); err != nil {
			t.Fatal(err)
		}
	}
	g.compacted = revision
}
