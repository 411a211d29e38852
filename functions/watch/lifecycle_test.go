package watch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/router/feed"
)

// end is how the client sees the stream end, after whatever was still sent.
func (s *stream) end() error {
	for {
		if _, err := s.Recv(); err != nil {
			return err
		}
	}
}

// expectEnd compares the end of a stream with a status of rpctypes.
func (s *stream) expectEnd(want error) {
	s.Helper()
	got := s.end()
	if status.Code(got) != status.Code(want) || rpctypes.ErrorDesc(got) != rpctypes.ErrorDesc(want) {
		s.Fatalf("ended with %v, want %v", got, want)
	}
}

func requireLeader() context.Context {
	return metadata.AppendToOutgoingContext(context.Background(), rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader)
}

func TestDrainingEndsStreams(t *testing.T) {
	r := newRig(t, Settings{}, feed.Settings{})
	idle, busy := r.open(context.Background()), r.open(context.Background())
	busy.create(everything())
	busy.expect("created id=0 rev=1")
	close(r.draining)
	idle.expectEnd(rpctypes.ErrGRPCStopped)
	busy.expectEnd(rpctypes.ErrGRPCStopped)
	r.open(context.Background()).expectEnd(rpctypes.ErrGRPCStopped)
}

// A client that does not read cannot keep a frontend from draining.
func TestDrainingDoesNotWaitForAClientThatDoesNotRead(t *testing.T) {
	r := newRig(t, Settings{}, feed.Settings{})
	s := r.open(context.Background())
	s.create(everything())
	s.expect("created id=0 rev=1")
	for range 64 {
		r.source.Put("k", strings.Repeat("v", 64<<10))
	}
	close(r.draining)
	if err := <-r.ended; !errors.Is(err, rpctypes.ErrGRPCStopped) {
		t.Fatalf("ended with %v", err)
	}
}

func TestErrorsOfTheKeyspaceEndStreams(t *testing.T) {
	for _, c := range []struct{ cause, want error }{
		{router.ErrStopped, rpctypes.ErrGRPCStopped},
		{router.ErrCorrupt, rpctypes.ErrGRPCCorrupt},
	} {
		t.Run(c.cause.Error(), func(t *testing.T) {
			r := newRig(t, Settings{}, feed.Settings{})
			s := r.open(context.Background())
			s.create(everything())
			s.expect("created id=0 rev=1")
			r.source.Fail(fmt.Errorf("read: %w", c.cause))
			s.expectEnd(c.want)
			late := r.open(context.Background())
			late.create(everything())
			late.expectEnd(c.want)
		})
	}
}

func TestAStreamThatRequiresALeaderEndsWhenThereIsNone(t *testing.T) {
	r := newRig(t, Settings{}, feed.Settings{ElectionTimeout: time.Millisecond})
	s, patient := r.open(requireLeader()), r.open(context.Background())
	s.create(everything())
	patient.create(everything())
	s.expect("created id=0 rev=1")
	patient.expect("created id=0 rev=1")
	r.source.Fail(router.ErrUnavailable)
	s.expectEnd(rpctypes.ErrGRPCNoLeader)
	r.source.Fail(nil)
	r.source.Put("k", "2")
	patient.expect("id=0 rev=2 k=2/2")
}

func TestAClientThatClosedItsSideStillReceives(t *testing.T) {
	r := newRig(t, Settings{}, feed.Settings{})
	s := r.open(context.Background())
	s.create(everything())
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	s.expect("created id=0 rev=1")
	r.source.Put("k", "2")
	s.expect("id=0 rev=2 k=2/2")
	s.cancel()
	if err := <-r.ended; !errors.Is(err, rpctypes.ErrGRPCWatchCanceled) {
		t.Fatalf("ended with %v", err)
	}
}

func TestACanceledStreamIsForgotten(t *testing.T) {
	r := newRig(t, Settings{}, feed.Settings{})
	s := r.open(context.Background())
	s.create(everything())
	s.expect("created id=0 rev=1")
	s.cancel()
	if err := <-r.ended; status.Code(err) != codes.Canceled {
		t.Fatalf("ended with %v", err)
	}
	before := r.source.Calls()
	r.source.Put("k", "2")
	again := r.open(context.Background())
	again.create(everything())
	again.expect("created id=0 rev=2")
	if after := r.source.Calls(); after.Events != before.Events {
		t.Fatalf("somebody still follows: %+v, then %+v", before, after)
	}
}

// A client that does not read loses nothing and holds up nobody.
func TestASlowClient(t *testing.T) {
	const events = 200
	r := newRig(t, Settings{}, feed.Settings{QueueItemsMax: 4})
	slow, fast := r.open(context.Background()), r.open(context.Background())
	for _, s := range []*stream{slow, fast} {
		s.create(everything())
		s.expect("created id=0 rev=1")
	}
	read := func(s *stream, from, through int64) {
		t.Helper()
		for next := from; next <= through; {
			for _, ev := range s.next().Events {
				if ev.Kv.ModRevision != next {
					t.Fatalf("got revision %d, want %d", ev.Kv.ModRevision, next)
				}
				next++
			}
		}
	}
	for i := range int64(events) {
		r.source.Put("k", strings.Repeat("v", 10<<10))
		read(fast, i+2, i+2)
	}
	read(slow, 2, events+1)
}

// The Go client is happy with the service.
func TestWithTheGoClient(t *testing.T) {
	r := newRig(t, Settings{}, feed.Settings{})
	r.source.Put("k", "2")
	r.source.Put("k", "3")
	r.source.Compact(3)
	ctx, cancel := context.WithTimeout(context.Background(), hangLimit)
	defer cancel()
	quiet := clientv3.NewCtxClient(ctx, clientv3.WithZapLogger(zap.NewNop()))
	watcher := clientv3.NewWatchFromWatchClient(r.client, quiet)
	defer watcher.Close()

	compacted := <-watcher.Watch(ctx, "k", clientv3.WithRev(2))
	if !errors.Is(compacted.Err(), rpctypes.ErrCompacted) || compacted.CompactRevision != 3 {
		t.Fatalf("got %+v", compacted)
	}
	events := watcher.Watch(ctx, "k", clientv3.WithRev(3), clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
	if response := <-events; !response.Created || response.Header.Revision != 3 {
		t.Fatalf("got %+v", response)
	}
	if response := <-events; len(response.Events) != 1 || response.Events[0].Kv.ModRevision != 3 {
		t.Fatalf("got %+v", response)
	}
	r.source.Delete("k")
	if response := <-events; len(response.Events) != 1 || string(response.Events[0].PrevKv.GetValue()) != "3" {
		t.Fatalf("got %+v", response)
	}
	if err := watcher.RequestProgress(ctx); err != nil {
		t.Fatal(err)
	}
	if response := <-events; !response.IsProgressNotify() || response.Header.Revision != 4 {
		t.Fatalf("got %+v", response)
	}
	refused := <-watcher.Watch(ctx, "b", clientv3.WithRange("a"))
	if !refused.Canceled || refused.Err() == nil || !strings.Contains(refused.Err().Error(), reasonEmptyRange) {
		t.Fatalf("got %+v, %v", refused, refused.Err())
	}
}
