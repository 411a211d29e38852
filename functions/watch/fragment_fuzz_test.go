package watch

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// FuzzFragments: whatever the events and the limit, the fragments together are the
// response, all but the last say that more comes, and those of several events are
// below the limit.
func FuzzFragments(f *testing.F) {
	f.Add([]byte{1, 2, 3}, 20)
	f.Add([]byte{255, 0, 255, 0, 1}, 300)
	f.Add([]byte{}, 0)
	f.Add([]byte{9}, -1)
	f.Fuzz(func(t *testing.T, sizes []byte, bytesMax int) {
		whole := &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 1 << 40}, WatchId: 3}
		for i, size := range sizes {
			whole.Events = append(whole.Events, &mvccpb.Event{Kv: &mvccpb.KeyValue{ModRevision: int64(i), Value: make([]byte, 3*int(size))}})
		}
		var parts []*pb.WatchResponse
		err := sendFragments(whole, bytesMax, func(part *pb.WatchResponse) error {
			parts = append(parts, part)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		together := &pb.WatchResponse{Header: whole.Header, WatchId: whole.WatchId}
		for i, part := range parts {
			if part.Fragment != (i < len(parts)-1) {
				t.Fatalf("fragment %d of %d says %v", i+1, len(parts), part.Fragment)
			}
			if len(part.Events) > 1 && proto.Size(part) >= bytesMax {
				t.Fatalf("a fragment of %d events has %d bytes, the limit is %d", len(part.Events), proto.Size(part), bytesMax)
			}
			together.Events = append(together.Events, part.Events...)
		}
		if !proto.Equal(together, whole) {
			t.Fatalf("%d events became %d", len(whole.Events), len(together.Events))
		}
	})
}
