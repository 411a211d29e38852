package differential

import (
	"context"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/test/oracle"
)

// watchBound is how long a stream may take to catch up; far above what is normal.
const watchBound = time.Minute

// progressInterval is how often progress is asked for: etcd says nothing while a
// watcher is behind.
const progressInterval = 20 * time.Millisecond

// notifyInterval is how often the progress of watches with progress_notify is
// told; the shortest that both allow.
const notifyInterval = 100 * time.Millisecond

// watched is what a stream has told of its watches.
type watched struct {
	name   string
	stream pb.Watch_WatchClient
	// answers are what the stream says, one by one.
	answers chan answer
	// lives are the beginnings and ends of each watch, events what it delivered.
	lives  map[int64][]string
	events map[int64][]string
	// overtaken are watches that compaction ended and the client has not cancelled:
	// for as long, etcd answers no question about progress.
	overtaken []int64
	// notify are the watches whose progress is to be told without a question, and
	// told is up to which revision a watch is known to be complete.
	notify map[int64]bool
	told   map[int64]int64
	// doomed are the watches that begin where compaction has been.
	doomed map[int64]bool
}

// TestSameWatchesAsEtcd: watches of every kind on tierd and on etcd, over the same
// writes and compactions, begin, deliver and end alike.
func TestSameWatchesAsEtcd(t *testing.T) {
	t.Parallel()
	for round := range *roundsFlag {
		seed := seedOf(round)
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Logf("repeat with: go test ./test/differential -run Watches -seed %d -shards %d", seed, *shardsFlag)
			sameWatches(t, seed)
		})
	}
}

func sameWatches(t *testing.T, seed uint64) {
	etcd := oracle.Start(t, oracle.Options{Configure: func(c *embed.Config) { c.WatchProgressNotifyInterval = notifyInterval }})
	tierd, _ := startTierd(t, seed, *sealedFlag, "--watch-progress-notify-interval", notifyInterval.String())
	clients := []*clientv3.Client{etcd.Client(), tierd.Frontends[0].Client()}
	watchers := []*clientv3.Client{clients[0], tierd.Frontends[1].Client()} // what one frontend writes, the other tells
	g := newGenerator(mathrand.New(mathrand.NewPCG(seed, 1)))
	const rounds = 12
	for range rounds {
		ctx, cancel := context.WithTimeout(t.Context(), watchBound)
		streams := []*watched{openStream(t, ctx, "etcd", watchers[0].ActiveConnection()), openStream(t, ctx, "tierd", watchers[1].ActiveConnection())}
		for range 8 {
			g.control(t, ctx, clients, streams)
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
		for _, s := range streams {
			s.awaitNotices(t, g.revision)
		}
		g.compactBoth(t, ctx, clients)
		cancel()
		if t.Failed() {
			return
		}
	}
}

func openStream(t *testing.T, ctx context.Context, name string, conn grpc.ClientConnInterface) *watched {
	t.Helper()
	stream, err := pb.NewWatchClient(conn).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s := &watched{name: name, stream: stream, answers: make(chan answer), lives: make(map[int64][]string), events: make(map[int64][]string),
		notify: make(map[int64]bool), told: make(map[int64]int64),
		doomed: make(map[int64]bool)}
	go s.hear()
	return s
}

// control makes one request on both streams: mostly a new watch, sometimes the end
// of one that may not exist, or nothing.
func (g *generator) control(t *testing.T, ctx context.Context, clients []*clientv3.Client, streams []*watched) {
	t.Helper()
	request := &pb.WatchRequest{}
	id := g.Int64N(6) - 1
	switch {
	case g.chance(0.8):
		create := g.watchRequest()
		for _, s := range streams {
			chosen := s.create(t, create)
			s.doomed[chosen] = create.StartRevision > 0 && create.StartRevision <= g.compacted
		}
		return
	case g.chance(0.7) && !streams[0].doomed[id]: // when the doomed end is not the same instant on both
		request.RequestUnion = &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}
	}
	known := request.RequestUnion != nil && streams[0].alive(id)
	if known { // what it has delivered when it ends must be the same on both
		for g.writeFuture(t, ctx, clients) {
		}
	}
	for _, s := range streams {
		if known {
			s.catchUp(t, g.revision)
		}
		s.send(t, request)
		for known && s.alive(id) {
			s.receive(t)
		}
	}
}

// watchRequest is a watch of any kind, sometimes of an empty range; g.future grows
// to the revision at which the latest of them begins.
func (g *generator) watchRequest() *pb.WatchCreateRequest {
	key := g.key()
	r := &pb.WatchCreateRequest{Key: key, RangeEnd: g.end(key), PrevKv: g.chance(0.5), Fragment: g.chance(0.2), ProgressNotify: g.chance(0.3)}
	switch g.IntN(8) {
	case 0, 1:
		r.StartRevision = max(1, g.compacted+g.Int64N(max(1, g.revision-g.compacted+1)))
	case 2:
		r.StartRevision = g.revision + g.Int64N(8)
	case 3:
		r.StartRevision = g.compacted - g.Int64N(3)
	case 4:
		r.StartRevision = min(g.giant(), 0)
	}
	for range g.IntN(3) {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_FilterType(g.IntN(7)/3))
	}
	switch {
	case g.chance(0.2):
		r.WatchId = g.Int64N(4) + 1
	case g.chance(0.05):
		if r.WatchId = g.giant(); r.WatchId == clientv3.InvalidWatchID {
			r.WatchId = -2 // what is told of watch -1 is not told apart from what is told of none
		}
	case g.chance(0.05):
		r.Key = nil
	}
	g.future = max(g.future, r.StartRevision)
	return r
}

// create asks for a watch and waits until it is answered, keeping what comes
// before the answer, and gives the id in it.
func (s *watched) create(t *testing.T, r *pb.WatchCreateRequest) (id int64) {
	t.Helper()
	s.send(t, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}})
	for {
		if answer := s.receive(t); answer.Created {
			if r.ProgressNotify && !answer.Canceled {
				s.notify[answer.WatchId] = true
			}
			return answer.WatchId
		}
	}
}

// answer is a response of a stream, or its end.
type answer struct {
	response *pb.WatchResponse
	err      error
}

// hear hands on what the stream says until it ends.
func (s *watched) hear() {
	for {
		r, err := s.stream.Recv()
		select {
		case s.answers <- answer{r, err}:
		case <-s.stream.Context().Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *watched) receive(t *testing.T) *pb.WatchResponse {
	t.Helper()
	return s.accept(t, <-s.answers)
}

// accept notes a response.
func (s *watched) accept(t *testing.T, a answer) *pb.WatchResponse {
	t.Helper()
	if a.err != nil {
		t.Fatalf("%s: %v; watches told up to %v, lives %v", s.name, a.err, s.told, s.lives)
	}
	s.note(t, a.response)
	return a.response
}

// alive says that a watch has begun more often than it has ended.
func (s *watched) alive(id int64) bool {
	lives := s.lives[id]
	return len(lives) > 0 && strings.HasPrefix(lives[len(lives)-1], "created true canceled false")
}

// note keeps what a response tells, and checks that nothing comes late.
func (s *watched) note(t *testing.T, r *pb.WatchResponse) {
	t.Helper()
	switch {
	case r.Created || r.Canceled:
		if r.CompactRevision != 0 {
			s.overtaken = append(s.overtaken, r.WatchId)
		}
		at := r.Header.Revision
		if r.Canceled {
			at = 0 // an end shows what that server has seen, which others may have overtaken
		}
		s.lives[r.WatchId] = append(s.lives[r.WatchId], fmt.Sprintf("created %v canceled %v compacted %d at %d: %s",
			r.Created, r.Canceled, r.CompactRevision, at, r.CancelReason))
		delete(s.told, r.WatchId)
		if r.Canceled {
			delete(s.notify, r.WatchId)
		}
	case len(r.Events) == 0:
		for id := range s.lives {
			if r.WatchId == id || r.WatchId == clientv3.InvalidWatchID {
				s.told[id] = max(s.told[id], r.Header.Revision)
			}
		}
	}
	for _, e := range r.Events {
		if e.Kv.ModRevision > r.Header.Revision {
			t.Errorf("%s: an event of revision %d came under a header of %d", s.name, e.Kv.ModRevision, r.Header.Revision)
		}
		if told := s.told[r.WatchId]; e.Kv.ModRevision <= told {
			t.Errorf("%s: an event of revision %d came after watch %d was told to be complete up to %d", s.name, e.Kv.ModRevision, r.WatchId, told)
		}
		s.events[r.WatchId] = append(s.events[r.WatchId], describe(e))
	}
}

func describe(e *mvccpb.Event) string {
	return fmt.Sprintf("%v %v <- %v", e.Type, e.Kv, e.PrevKv)
}

// awaitNotices receives until every watch that wants it has been told, without a
// question, that it is complete up to a revision.
func (s *watched) awaitNotices(t *testing.T, revision int64) {
	t.Helper()
	for id := range s.notify {
		for s.told[id] < revision {
			s.receive(t)
		}
	}
}

// catchUp receives until the stream says that it has told everything up to a
// revision, and has confirmed the end of every watch that compaction ended. A stream
// without watches says nothing.
func (s *watched) catchUp(t *testing.T, revision int64) {
	t.Helper()
	unconfirmed := 0
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		for _, id := range s.overtaken {
			unconfirmed++
			s.send(t, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
		}
		s.overtaken = nil
		if unconfirmed == 0 && !slices.ContainsFunc(slices.Collect(maps.Keys(s.lives)), s.alive) {
			return
		}
		select {
		case <-tick.C:
			if unconfirmed == 0 {
				s.send(t, &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}})
			}
		case a := <-s.answers:
			r := s.accept(t, a)
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
