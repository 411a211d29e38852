package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/router"
)

const (
	// leaseCallsMax is how many leases are asked about at a time.
	leaseCallsMax = 32
	// headTries bounds how often the source is asked for a hash while a member lags behind or a
	// compaction is in the way; headPause is between two of them.
	headTries = 50
	headPause = 100 * time.Millisecond
	// watchTries bounds how often a broken watch is made again without anything coming.
	watchTries = 20
	watchPause = 500 * time.Millisecond
)

// Source is a running etcd.
type Source struct {
	client *clientv3.Client
	after  func(time.Duration) <-chan time.Time
}

// NewSource makes one of a client, which stays the caller's. after is time.After outside tests.
func NewSource(client *clientv3.Client, after func(time.Duration) <-chan time.Time) *Source {
	return &Source{client: client, after: after}
}

// ErrGap is a source that no longer has what comes next: it was compacted meanwhile.
var ErrGap = errors.New("the source no longer has the revisions that come next")

// pause waits between two tries.
func (s *Source) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-s.after(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Cluster identifies the etcd.
func (s *Source) Cluster(ctx context.Context) (uint64, error) {
	resp, err := s.client.MemberList(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask the source for its id: %w", err)
	}
	return resp.Header.ClusterId, nil
}

// AuthRevision counts how often users, roles, and whether clients have to log in, have changed; unknown
// where the source does not tell, as an etcd before 3.5.
func (s *Source) AuthRevision(ctx context.Context) (revision uint64, known bool, err error) {
	resp, err := s.client.AuthStatus(ctx)
	if status.Code(err) == codes.Unimplemented {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("ask the source for its auth revision: %w", err)
	}
	return resp.AuthRevision, true, nil
}

// Save writes a snapshot with its digest to a new file.
func (s *Source) Save(ctx context.Context, path string, progress Progress) (err error) {
	progress.Step("reading a snapshot", 0)
	snapshot, err := s.client.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("ask the source for a snapshot: %w", err)
	}
	defer snapshot.Close() // only read
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create a file for the snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := io.Copy(file, &countingReader{Reader: snapshot, progress: progress}); err != nil {
		return fmt.Errorf("read a snapshot of the source: %w", err)
	}
	return nil
}

// countingReader tells of the bytes that go through.
type countingReader struct {
	io.Reader
	progress Progress
	bytes    int64
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.bytes += int64(n)
	r.progress.Done(r.bytes)
	return n, err
}

// Revision is the source's current one; everything acknowledged before the call is at most
// that.
func (s *Source) Revision(ctx context.Context) (router.Revision, error) {
	resp, err := s.client.Get(ctx, "\x00", clientv3.WithCountOnly())
	if err != nil {
		return 0, fmt.Errorf("ask the source for its revision: %w", err)
	}
	return router.Revision(resp.Header.Revision), nil
}

// Keys counts the keys at a revision.
func (s *Source) Keys(ctx context.Context, at router.Revision) (int64, error) {
	resp, err := s.client.Get(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithCountOnly(), clientv3.WithRev(int64(at)))
	if err != nil {
		return 0, fmt.Errorf("count the keys of the source: %w", err)
	}
	return resp.Count, nil
}

// Head is the source at its current revision.
type Head struct {
	Revision, Compacted router.Revision
	Hash                uint32
	// Unhashed says that the source cannot tell the hash: it is compacted at just this revision,
	// and answers with the hash from before.
	Unhashed bool
}

// Head asks for the current revision, compaction and hash, which belong together.
func (s *Source) Head(ctx context.Context) (head Head, err error) {
	for range headTries {
		if head, err = s.headOnce(ctx); err == nil {
			return head, nil
		}
		if ctx.Err() != nil || !passing(err) {
			break
		}
		if err := s.pause(ctx, headPause); err != nil {
			return head, err
		}
	}
	return head, fmt.Errorf("ask the source for its hash: %w", err)
}

// passing tells whether another try may do better: a member lags behind or is away, or a compaction came
// between.
func passing(err error) bool {
	return errors.Is(err, rpctypes.ErrFutureRev) || errors.Is(err, rpctypes.ErrCompacted) || status.Code(err) == codes.Unavailable ||
		errors.Is(err, rpctypes.ErrNoLeader) || errors.Is(err, rpctypes.ErrTimeout)
}

func (s *Source) headOnce(ctx context.Context) (head Head, err error) {
	if head.Revision, err = s.Revision(ctx); err != nil {
		return head, err
	}
	var hash *clientv3.HashKVResponse
	for _, endpoint := range s.client.Endpoints() {
		if hash, err = s.client.HashKV(ctx, endpoint, int64(head.Revision)); err == nil {
			break
		}
	}
	if err != nil {
		return head, err
	}
	head.Hash, head.Compacted = hash.Hash, router.Revision(hash.CompactRevision)
	if head.Compacted >= head.Revision-1 {
		return head, nil
	}
	// Compacted at just this revision, it may answer from its memory of the state before.
	_, err = s.client.Get(ctx, "\x00", clientv3.WithCountOnly(), clientv3.WithRev(int64(head.Revision)-1))
	if errors.Is(err, rpctypes.ErrCompacted) {
		_, err = s.client.Get(ctx, "\x00", clientv3.WithCountOnly(), clientv3.WithRev(int64(head.Revision)))
		head.Compacted, head.Unhashed = head.Revision, true
	}
	return head, err
}

// Leases are the leases there are, each with its full time to live.
func (s *Source) Leases(ctx context.Context) ([]router.Lease, error) {
	listed, err := s.client.Leases(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the leases of the source: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu     sync.Mutex // guards leases
		leases []router.Lease
		calls  sync.WaitGroup
		slots  = make(chan struct{}, leaseCallsMax)
	)
	for _, l := range listed.Leases {
		slots <- struct{}{}
		calls.Go(func() {
			defer func() { <-slots }()
			resp, err := s.client.TimeToLive(ctx, l.ID)
			if err != nil {
				cancel(fmt.Errorf("ask for lease %016x of the source: %w", int64(l.ID), err))
				return
			}
			if resp.GrantedTTL > 0 { // else it has ended
				mu.Lock()
				leases = append(leases, router.Lease{ID: int64(l.ID), GrantedTTL: resp.GrantedTTL, RemainingTTL: resp.GrantedTTL})
				mu.Unlock()
			}
		})
	}
	calls.Wait()
	return leases, context.Cause(ctx)
}

// watch tells what is written from a revision on, in order, until its context ends. It closes events
// then, with failure set unless it ended because of the context. A watch that breaks is made
// again where it broke. Memory is bounded: what nobody takes stays in the source.
type watch struct {
	source  *Source
	events  chan []*mvccpb.Event
	failure error
	next    router.Revision
}

// watch begins to watch everything.
func (s *Source) watch(ctx context.Context, from router.Revision) *watch {
	w := &watch{source: s, events: make(chan []*mvccpb.Event), next: from}
	go func() {
		defer close(w.events)
		if err := w.run(ctx); ctx.Err() == nil {
			w.failure = err
		}
	}()
	return w
}

func (w *watch) run(ctx context.Context) error {
	for tries := 0; ; tries++ {
		before := w.next
		err := w.stream(ctx)
		if errors.Is(err, ErrGap) || ctx.Err() != nil {
			return err
		}
		if w.next > before {
			tries = 0
		}
		if tries == watchTries {
			return fmt.Errorf("watch the source: %w", err)
		}
		if err := w.source.pause(ctx, watchPause); err != nil {
			return err
		}
	}
}

// stream is one life of the watch. Whole revisions are asked for, so that one begins where a
// revision does.
func (w *watch) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pb.NewWatchClient(w.source.client.ActiveConnection()).Watch(clientv3.WithRequireLeader(ctx), grpc.MaxCallRecvMsgSize(math.MaxInt32))
	if err != nil {
		return err
	}
	create := &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: int64(w.next)}
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return err
		}
		if resp.CompactRevision > 0 {
			return fmt.Errorf("%w: revision %d is next, and it is compacted at %d", ErrGap, w.next, resp.CompactRevision)
		}
		if resp.Canceled {
			return fmt.Errorf("the source ended the watch: %s", resp.CancelReason)
		}
		if len(resp.Events) == 0 {
			continue
		}
		select {
		case w.events <- resp.Events:
			w.next = router.Revision(resp.Events[len(resp.Events)-1].Kv.ModRevision) + 1
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
