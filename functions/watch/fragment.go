package watch

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// sendFragments sends a response whose size reaches bytesMax in parts below it,
// as etcd does: each part holds one event at least, and all but the last have
// fragment set. A single event is never split.
func sendFragments(whole *pb.WatchResponse, bytesMax int, send func(*pb.WatchResponse) error) error {
	if proto.Size(whole) < bytesMax || len(whole.Events) < 2 {
		return send(whole)
	}
	// Size with the fragment flag set, which the last part does not need.
	frame := proto.Size(part(whole, nil, true))
	for rest := whole.Events; len(rest) > 0; {
		n, size := 0, frame
		for n < len(rest) {
			size += eventSize(rest[n])
			if n > 0 && size >= bytesMax {
				break
			}
			n++
		}
		if err := send(part(whole, rest[:n], n < len(rest))); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// part is a response with some of the events of whole.
func part(whole *pb.WatchResponse, events []*mvccpb.Event, fragment bool) *pb.WatchResponse {
	return &pb.WatchResponse{Header: whole.Header, WatchId: whole.WatchId, Events: events, Fragment: fragment}
}

// eventsField is the number of WatchResponse.events.
const eventsField = 11

// eventSize is what an event adds to the size of a response.
func eventSize(ev *mvccpb.Event) int {
	return protowire.SizeTag(eventsField) + protowire.SizeBytes(proto.Size(ev))
}
