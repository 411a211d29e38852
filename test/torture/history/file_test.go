package history_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/tierd/tierd/test/torture/history"
)

// A history that was saved comes back as it was, keys of any bytes included.
func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	key := []byte("a\x00\xff")
	want := &history.History{
		Seed: 1 << 63, Last: 2,
		Operations: []*history.Operation{
			{
				Client: 1, Frontend: 1, Call: 5, Return: 9, Outcome: history.Acknowledged,
				Request: &pb.PutRequest{Key: key, Lease: -5}, Response: &pb.PutResponse{Header: &pb.ResponseHeader{Revision: 2}},
			},
			{Call: 6, Return: history.Forever, Outcome: history.Unknown, Error: "timed out", Request: &pb.TxnRequest{
				Compare: []*pb.Compare{{Key: key, TargetUnion: &pb.Compare_ModRevision{ModRevision: 1 << 60}}},
				Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}}},
			}},
		},
		Sessions: []*history.Session{{
			Watcher: 3, Request: &pb.WatchCreateRequest{Key: key, StartRevision: 7}, Created: 2, CreatedRevision: 1, End: "ended",
			Deliveries: []history.Delivery{
				{At: 8, Revision: 2, Events: []*mvccpb.Event{{Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{Key: key, ModRevision: 2}}}},
				{At: 9, Revision: 2, Progress: true},
			},
		}},
		Faults: []history.Fault{{At: 1, Until: 2, What: "kill", RedisDied: true}},
	}
	path := filepath.Join(t.TempDir(), "history.json")
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := history.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Fatalf("saved and loaded (-saved +loaded):\n%s", diff)
	}
}
