package endpoint

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/audit"
)

// told is what a reader of the audit log sees of a line.
type told struct {
	Event    string `json:"event"`
	Address  string `json:"address"`
	Method   string `json:"method"`
	Key      string `json:"key"`
	Lease    string `json:"lease"`
	Code     string `json:"code"`
	Error    string `json:"error"`
	Stream   int    `json:"stream"`
	Messages int    `json:"messages"`
	WatchID  *int64 `json:"watch_id"`
}

// audited starts a frontend with an audit log; the function ends both and reads the log,
// without its first and last line.
func audited(t *testing.T, reads bool) (*frontend, func() []told) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit")
	log, err := audit.Open(audit.Settings{Path: path, Reads: reads}, audit.Components{
		Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, func(_ *Settings, c *Components) { c.Audit = log })
	return f, func() []told {
		f.stop(t)
		if err := log.Close(context.Background()); err != nil {
			t.Error(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var all []told
		for line := range strings.Lines(string(text)) {
			var one told
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if (one.Address == "") != (one.Method == "") {
				t.Errorf("a line without a caller: %s", line)
			}
			one.Address = ""
			all = append(all, one)
		}
		if len(all) < 2 || all[0].Event != audit.EventBegin || all[len(all)-1].Event != audit.EventEnd {
			t.Fatalf("the log is\n%s", text)
		}
		return all[1 : len(all)-1]
	}
}

// Calls are told with the code that their client got, also those that never reached a
// service, and reads only where they are wanted or refused.
func TestAuditOfCalls(t *testing.T) {
	t.Parallel()
	for _, reads := range []bool{true, false} {
		f, read := audited(t, reads)
		f.services.putError = status.Error(codes.PermissionDenied, "etcdserver: permission denied")
		kv := pb.NewKVClient(f.conn)
		wants := []told{
			{Event: "call", Method: pb.KV_Put_FullMethodName, Key: "fail", Code: "PermissionDenied", Error: "etcdserver: permission denied"},
			{Event: "call", Method: pb.KV_Put_FullMethodName, Key: "good", Code: "OK"},
			{Event: "call", Method: pb.KV_Put_FullMethodName, Key: "huge", Code: "InvalidArgument", Error: "etcdserver: request is too large"},
			{Event: "call", Method: pb.KV_Range_FullMethodName, Key: "good", Code: "OK"},
			{Event: "call", Method: pb.KV_Range_FullMethodName, Code: "InvalidArgument", Error: "etcdserver: key is not provided"},
		}
		for _, put := range []*pb.PutRequest{{Key: []byte("fail")}, {Key: []byte("good")}, {Key: []byte("huge"), Value: make([]byte, MaxRequestBytesDefault)}} {
			_, err := kv.Put(t.Context(), put)
			if (err == nil) != (string(put.Key) == "good") {
				t.Fatal(err)
			}
		}
		for _, key := range []string{"good", ""} {
			if _, err := kv.Range(t.Context(), &pb.RangeRequest{Key: []byte(key)}); (err == nil) != (key != "") {
				t.Fatal(err)
			}
		}
		if !reads {
			wants = append(wants[:3:3], wants[4])
		}
		all := read()
		if len(all) != len(wants) {
			t.Fatalf("reads %v: %+v", reads, all)
		}
		for i, want := range wants {
			if all[i] != want {
				t.Errorf("reads %v: %+v, want %+v", reads, all[i], want)
			}
		}
	}
}

// A watch is told of when it is answered, and a stream when it ends; a stream of keep-alives
// also when it begins.
func TestAuditOfStreams(t *testing.T) {
	t.Parallel()
	f, read := audited(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	watch, err := pb.NewWatchClient(f.conn).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	create := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("watched")}}}
	if err := watch.Send(create); err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	keep, err := pb.NewLeaseClient(f.conn).LeaseKeepAlive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := keep.Send(&pb.LeaseKeepAliveRequest{ID: 0x4711}); err != nil {
			t.Fatal(err)
		}
		if _, err := keep.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if err := keep.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := keep.Recv(); err == nil {
		t.Fatal("the stream did not end")
	}
	cancel()
	zero := int64(0)
	wants := []told{
		{Event: "watch-create", Method: pb.Watch_Watch_FullMethodName, Key: "watched", Code: "OK", Stream: 1, WatchID: &zero},
		{Event: "stream-begin", Method: pb.Lease_LeaseKeepAlive_FullMethodName, Lease: "4711", Stream: 2},
		{Event: "stream-end", Method: pb.Lease_LeaseKeepAlive_FullMethodName, Lease: "4711", Stream: 2, Messages: 3, Code: "OK"},
	}
	all := read()
	if len(all) != len(wants)+1 {
		t.Fatalf("%+v", all)
	}
	for i, want := range wants {
		if (all[i].WatchID == nil) != (want.WatchID == nil) || want.WatchID != nil && *all[i].WatchID != *want.WatchID {
			t.Errorf("watch id of %+v", all[i])
		}
		if all[i].WatchID, want.WatchID = nil, nil; all[i] != want {
			t.Errorf("%+v, want %+v", all[i], want)
		}
	}
	if last := all[len(wants)]; last.Event != "stream-end" || last.Method != pb.Watch_Watch_FullMethodName || last.Messages != 1 {
		t.Errorf("the watch stream is told as %+v", last)
	}
}

// Each creation is told with its own answer, or without one: when too many wait, and when
// the stream ends before.
func TestAuditOfManyWatches(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit")
	log, err := audit.Open(audit.Settings{Path: path, Reads: true}, audit.Components{
		Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	requests := make(chan *pb.WatchRequest, 2*unansweredMax)
	a := &auditor{log: log, now: time.Now}
	s := &auditedStream{ServerStream: &scriptedStream{ctx: t.Context(), requests: requests}, auditor: a, method: pb.Watch_Watch_FullMethodName}
	for range cap(requests) {
		requests <- &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte("k")}}}
		if err := s.RecvMsg(&pb.WatchRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	const answered = unansweredMax + 20
	for id := range answered {
		r := &pb.WatchResponse{WatchId: int64(id), Created: true}
		if id%2 == 1 {
			r.Canceled, r.CancelReason = true, "etcdserver: permission denied"
		}
		if err := s.SendMsg(r); err != nil {
			t.Fatal(err)
		}
	}
	s.forsaken()
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for want, count := range map[string]int{
		`"watch-create"`: 2 * unansweredMax, `"code":"OK"`: unansweredMax / 2, `"code":"PermissionDenied"`: unansweredMax / 2, `"key":"k"`: 2 * unansweredMax,
	} {
		if got := strings.Count(string(text), want); got != count {
			t.Errorf("%s is there %d times, want %d", want, got, count)
		}
	}
}
