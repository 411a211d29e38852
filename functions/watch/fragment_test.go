package watch

import (
	"context"
	"fmt"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/router/feed"
	"github.com/tierd/tierd/router/feed/feedtest"
)

func TestLargeResponsesAreSentInFragmentsWhenAskedFor(t *testing.T) {
	r := newRig(t, Settings{MaxRequestBytes: 1}, feed.Settings{})
	s, whole := r.open(context.Background()), r.open(context.Background())
	request := everything()
	whole.create(request)
	whole.expect("created id=0 rev=1")
	request.Fragment = true
	s.create(request)
	s.expect("created id=0 rev=1")
	value := strings.Repeat("v", 300<<10)
	r.source.Txn(feedtest.Op{Key: "a", Value: value}, feedtest.Op{Key: "b", Value: value}, feedtest.Op{Key: "c", Value: value})
	for i, key := range []string{"a", "b", "c"} {
		response := s.next()
		if len(response.Events) != 1 || string(response.Events[0].Kv.Key) != key || response.Fragment != (i < 2) || response.Header.Revision != 2 {
			t.Fatalf("part %d: %d events, fragment %v", i, len(response.Events), response.Fragment)
		}
	}
	r.source.Put("a", "small")
	s.expect("id=0 rev=3 a=small/3")
	if response := whole.next(); len(response.Events) != 3 || response.Fragment {
		t.Fatalf("%d events, fragment %v", len(response.Events), response.Fragment)
	}
}

// Together the parts are the whole; each is below the limit unless it holds one
// event, and would reach it with the next event.
func TestFragments(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		whole := &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 300, MemberId: 1 << 60}, WatchId: 5}
		for i := range rapid.IntRange(1, 30).Draw(rt, "events") {
			value := make([]byte, rapid.IntRange(0, 300).Draw(rt, "size"))
			whole.Events = append(whole.Events, &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: fmt.Append(nil, i), Value: value}})
		}
		bytesMax := rapid.IntRange(1, 2000).Draw(rt, "bytesMax")
		var parts []*pb.WatchResponse
		if err := sendFragments(whole, bytesMax, func(p *pb.WatchResponse) error {
			parts = append(parts, p)
			return nil
		}); err != nil {
			rt.Fatal(err)
		}
		var events []*mvccpb.Event
		for i, p := range parts {
			last := i == len(parts)-1
			if p.Fragment == last || p.WatchId != 5 || p.Header != whole.Header || len(p.Events) == 0 {
				rt.Fatalf("part %d of %d: %v", i, len(parts), p)
			}
			if len(p.Events) > 1 && proto.Size(p) >= bytesMax {
				rt.Fatalf("part %d has %d bytes, the limit is %d", i, proto.Size(p), bytesMax)
			}
			if !last && proto.Size(part(whole, append(p.Events[:len(p.Events):len(p.Events)], parts[i+1].Events[0]), true)) < bytesMax {
				rt.Fatalf("part %d could hold more", i)
			}
			events = append(events, p.Events...)
		}
		if len(events) != len(whole.Events) {
			rt.Fatalf("%d events of %d", len(events), len(whole.Events))
		}
		for i := range events {
			if events[i] != whole.Events[i] {
				rt.Fatalf("event %d is not in its place", i)
			}
		}
	})
}

func TestAFailedFragmentEndsTheSending(t *testing.T) {
	t.Parallel()
	ev := &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte("k")}}
	sent, failure := 0, fmt.Errorf("broken")
	err := sendFragments(&pb.WatchResponse{Events: []*mvccpb.Event{ev, ev}}, 1, func(*pb.WatchResponse) error {
		sent++
		return failure
	})
	if err != failure || sent != 1 {
		t.Fatalf("sent %d, error %v", sent, err)
	}
}
