package watch

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router/feed"
)

// sender sends what the feed has queued for one stream. It belongs to one
// goroutine.
type sender struct {
	server *server
	stream pb.Watch_WatchServer
	hub    *feed.Stream
	// due holds the watches with progress_notify: whether the next tick tells their
	// progress. Events put it off by one tick.
	due map[*feed.Watcher]bool
}

func newSender(s *server, stream pb.Watch_WatchServer, hub *feed.Stream) *sender {
	return &sender{server: s, stream: stream, hub: hub, due: make(map[*feed.Watcher]bool)}
}

// run sends until the stream ends (nil) or fails.
func (s *sender) run() error {
	tick, stop := s.server.settings.newTicker()
	defer stop()
	for {
		// Nothing is sent after the handler has returned and closed the stream.
		if s.hub.Err() != nil {
			return nil
		}
		item, ok := s.hub.Next()
		if ok {
			if err := s.send(item); err != nil {
				return fmt.Errorf("send a watch response: %w", err)
			}
			select {
			case <-tick:
				s.announce()
			default:
			}
			continue
		}
		select {
		case <-s.hub.Ready():
		case <-tick:
			s.announce()
		case <-s.hub.Done():
		}
	}
}

// announce tells the progress of the watches that had no events since the last
// tick.
func (s *sender) announce() {
	for watcher, due := range s.due {
		if due {
			s.hub.Announce(watcher)
		}
		s.due[watcher] = true
	}
}

// send sends one item.
func (s *sender) send(item feed.Item) error {
	if item.Kind == feed.Answer {
		s.server.metrics.refused.Inc()
		return s.stream.Send(item.Note.(*pb.WatchResponse))
	}
	response := &pb.WatchResponse{Header: wire.Header(s.server.identity, item.Revision), WatchId: invalidID}
	var w *watch
	if item.Watcher != nil {
		w = item.Watcher.Tag().(*watch)
		response.WatchId = w.id
	}
	switch item.Kind {
	case feed.Created:
		s.server.metrics.created.Inc()
		response.Created = true
		if w.progressNotify {
			s.due[item.Watcher] = true
		}
	case feed.Canceled:
		s.server.metrics.canceled.Inc()
		response.Canceled = true
		delete(s.due, item.Watcher)
	case feed.Overtaken:
		s.server.metrics.compacted.Inc()
		// etcd tells no revision here.
		response.Header.Revision = 0
		response.Canceled = true
		response.CompactRevision = int64(item.Compacted)
		delete(s.due, item.Watcher)
	case feed.Revoked:
		s.server.metrics.revoked.Inc()
		response.Canceled = true
		response.CancelReason = deniedReason(rpctypes.ErrGRPCPermissionDenied)
		delete(s.due, item.Watcher)
	case feed.Progress:
		s.server.metrics.progress.Inc()
	case feed.Events:
		return s.sendEvents(item, w, response)
	}
	return s.stream.Send(response)
}

// sendEvents sends events, in fragments if the client asked for that and they
// are large.
func (s *sender) sendEvents(item feed.Item, w *watch, response *pb.WatchResponse) error {
	s.server.metrics.events.Inc()
	response.Events = item.Events
	if _, notify := s.due[item.Watcher]; notify {
		s.due[item.Watcher] = false
	}
	if !w.fragment {
		return s.stream.Send(response)
	}
	return sendFragments(response, s.server.settings.fragmentBytes(), s.stream.Send)
}
