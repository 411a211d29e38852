package main

import (
	"bytes"
	"context"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// outgoingMax is how many events wait for one stream; beyond it, puts wait too.
const outgoingMax = 4096

// watchServer hands every put to the streams that watch its key.
type watchServer struct {
	pb.UnimplementedWatchServer

	mu      sync.RWMutex // guards watches
	watches []*watch
}

// watch is one watched range of one stream.
type watch struct {
	id         int64
	start, end []byte
	outgoing   chan<- *pb.WatchResponse
	done       <-chan struct{}
}

func (w *watch) covers(key []byte) bool {
	if len(w.end) == 0 {
		return bytes.Equal(key, w.start)
	}
	return bytes.Compare(key, w.start) >= 0 && bytes.Compare(key, w.end) < 0
}

// publish makes the event of a put and queues it for each watch.
func (s *watchServer) publish(r *pb.PutRequest, revision int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.watches) == 0 {
		return
	}
	events := []*mvccpb.Event{{Type: mvccpb.Event_PUT, Kv: &mvccpb.KeyValue{
		Key: r.Key, Value: r.Value, CreateRevision: 1000, ModRevision: revision, Version: 2,
	}}}
	header := &pb.ResponseHeader{ClusterId: 1 << 62, MemberId: 1 << 61, RaftTerm: 2, Revision: revision}
	for _, w := range s.watches {
		if !w.covers(r.Key) {
			continue
		}
		select {
		case w.outgoing <- &pb.WatchResponse{Header: header, WatchId: w.id, Events: events}:
		case <-w.done:
		}
	}
}

// Watch opens a watch for each create request and sends until the stream ends.
func (s *watchServer) Watch(stream pb.Watch_WatchServer) error {
	outgoing := make(chan *pb.WatchResponse, outgoingMax)
	ctx, cancel := context.WithCancel(stream.Context())
	var sender sync.WaitGroup
	defer sender.Wait()
	defer s.forget(ctx.Done())
	defer cancel() // first, so that no put waits for this stream
	sender.Go(func() { send(ctx, stream, outgoing) })
	for id := int64(0); ; {
		request, err := stream.Recv()
		if err != nil {
			// Whatever ended the stream, its client knows.
			return nil
		}
		create := request.GetCreateRequest()
		if create == nil {
			continue
		}
		s.add(&watch{id: id, start: create.Key, end: create.RangeEnd, outgoing: outgoing, done: ctx.Done()})
		outgoing <- &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 1000}, WatchId: id, Created: true}
		id++
	}
}

func send(ctx context.Context, stream pb.Watch_WatchServer, outgoing <-chan *pb.WatchResponse) {
	for {
		select {
		case response := <-outgoing:
			if stream.Send(response) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *watchServer) add(w *watch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches = append(s.watches, w)
}

// forget drops the watches of the stream that done belongs to.
func (s *watchServer) forget(done <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []*watch
	for _, w := range s.watches {
		if w.done != done {
			kept = append(kept, w)
		}
	}
	s.watches = kept
}
