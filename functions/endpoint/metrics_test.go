package endpoint

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/tierd/tierd/router"
	"github.com/tierd/tierd/router/feed"
)

// value is the value of a series at a scrape of the client address, or "".
func (f *frontend) value(t *testing.T, series string) string {
	t.Helper()
	code, body := get(t, f.url+"/metrics")
	if code != 200 {
		t.Fatalf("/metrics = %d %s", code, body)
	}
	for line := range strings.Lines(body) {
		if value, found := strings.CutPrefix(line, series+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// gather is the value of a gauge without labels, straight from the registry.
func (f *frontend) gather(t *testing.T, name string) float64 {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no series %s", name)
	return 0
}

func TestSeries(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	if _, err := pb.NewKVClient(f.conn).Range(t.Context(), &pb.RangeRequest{Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	for series, want := range map[string]string{
		"etcd_server_has_leader":                        "1",
		"etcd_server_is_leader":                         "1",
		"etcd_server_is_learner":                        "0",
		`etcd_server_id{server_id="2e12"}`:              "1",
		`etcd_server_version{server_version="3.7.3"}`:   "1",
		`etcd_cluster_version{cluster_version="3.7"}`:   "1",
		"etcd_server_leader_changes_seen_total":         "2",
		"etcd_mvcc_db_total_size_in_bytes":              "4096",
		"etcd_mvcc_db_total_size_in_use_in_bytes":       "1024",
		"etcd_server_quota_backend_bytes":               "8192",
		"etcd_debugging_mvcc_keys_total":                "1",
		"etcd_debugging_mvcc_current_revision":          "2",
		"etcd_debugging_mvcc_compact_revision":          "-1",
		`tierd_build_info{version="1.2.3"}`:             "1",
		"etcd_network_client_grpc_received_bytes_total": "3",
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"}`: "1",
		`grpc_server_handling_seconds_count{grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"}`:       "1",
		`grpc_server_started_total{grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"}`:       "0",
		`grpc_server_started_total{grpc_method="Lock",grpc_service="v3lockpb.Lock",grpc_type="unary"}`:                   "0",
	} {
		if got := f.value(t, series); got != want {
			t.Errorf("%s = %q, want %q", series, got, want)
		}
	}
	for _, series := range []string{"go_goroutines", "process_open_fds", "etcd_network_client_grpc_sent_bytes_total"} {
		if got := f.value(t, series); got == "" || got == "0" {
			t.Errorf("%s = %q", series, got)
		}
	}
}

// Who watches the metrics learns of an alarm without asking for health.
func TestAlarmsAreSeries(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	want := func(noSpace, corrupt string) {
		t.Helper()
		for series, want := range map[string]string{`tierd_alarm{type="NOSPACE"}`: noSpace, `tierd_alarm{type="CORRUPT"}`: corrupt} {
			if got := f.value(t, series); got != want {
				t.Errorf("%s = %q, want %q", series, got, want)
			}
		}
	}
	want("0", "0")
	f.keyspace.raise(pb.AlarmType_CORRUPT)
	want("0", "1")
	f.keyspace.raise(pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT)
	want("1", "1")
}

// A call counts with its messages and with the code that its client got.
func TestCallsAreCounted(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	f.services.putError = router.ErrNoSpace
	if _, err := pb.NewKVClient(f.conn).Put(t.Context(), &pb.PutRequest{Key: []byte("fail")}); err == nil {
		t.Fatal("the put did not fail")
	}
	stream, err := pb.NewLeaseClient(f.conn).LeaseKeepAlive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Fatalf("the stream ended with %v", err)
	}
	put := `grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"}`
	keep := `grpc_method="LeaseKeepAlive",grpc_service="etcdserverpb.Lease",grpc_type="bidi_stream"}`
	for series, want := range map[string]string{
		"grpc_server_started_total{" + put:                                          "1",
		"grpc_server_msg_received_total{" + put:                                     "1",
		"grpc_server_msg_sent_total{" + put:                                         "0",
		`grpc_server_handled_total{grpc_code="ResourceExhausted",` + put:            "1",
		`grpc_server_handled_total{grpc_code="OK",` + put:                           "0",
		"grpc_server_started_total{" + keep:                                         "1",
		"grpc_server_msg_received_total{" + keep:                                    "2",
		"grpc_server_msg_sent_total{" + keep:                                        "2",
		`grpc_server_handled_total{grpc_code="OK",` + keep:                          "1",
		`grpc_server_handled_total{grpc_code="Unauthenticated",` + keep:             "0",
		`grpc_server_handling_seconds_bucket{` + keep[:len(keep)-1] + `,le="+Inf"}`: "1",
	} {
		if got := f.value(t, series); got != want {
			t.Errorf("%s = %q, want %q", series, got, want)
		}
	}
}

// What the hot tier does not tell is left out, not guessed.
func TestSeriesWithoutTheHotTier(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	f.keyspace.fail(router.ErrUnavailable)
	for _, series := range []string{"etcd_mvcc_db_total_size_in_bytes", "etcd_debugging_mvcc_current_revision", "etcd_server_is_leader"} {
		if got := f.value(t, series); got != "" {
			t.Errorf("%s = %q while nothing is known", series, got)
		}
	}
	if got := f.value(t, "etcd_server_has_leader"); got != "1" {
		t.Errorf("etcd_server_has_leader = %q before the pulse has noticed", got)
	}
}

// The document lists every series with this package's names.
func TestEverySeriesIsDocumented(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	feed.New(f.keyspace, feed.Settings{}, slog.New(slog.DiscardHandler), f.registry).Close()
	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		name := family.GetName()
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue // documented as groups
		}
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("%s is not in docs/metrics.md", name)
		}
	}
}
