package limits

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/tierd/tierd/test/cluster"
)

// metric is the value of one series of a frontend.
func metric(t *testing.T, endpoint, series string) float64 {
	t.Helper()
	resp, err := http.Get(endpoint + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, series+" "); found {
			number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return number
		}
	}
	t.Fatalf("no series %s", series)
	return 0
}

// TestStalledReaders: clients ask for everything, by ranges, streams and watches, and read
// none of it. What they make the frontend hold is bounded, others go on, and when they are gone
// so is what they held.
func TestStalledReaders(t *testing.T) {
	t.Parallel()
	const (
		keys, valueBytes = 60, 100_000
		limit            = 40_000_000 // of bytes in flight: three or four ranges
		calls            = 20
	)
	frontend := cluster.StartFrontend(t, cluster.FrontendOptions{
		Args: []string{"--object-tier", "none", "--max-inflight-bytes", fmt.Sprint(limit)},
	})
	client := frontend.Client()
	fillWith := func(prefix, value string) {
		flood(t, client, keys, func(ctx context.Context, c *clientv3.Client, i int) error {
			_, err := c.Put(ctx, fmt.Sprintf("%s%03d", prefix, i), value)
			return err
		})
	}
	fillWith("large/", strings.Repeat("v", valueBytes))
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	stalled, err := grpc.NewClient("passthrough:///"+frontend.Endpoint()[len("http://"):], grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStaticStreamWindowSize(65535), grpc.WithStaticConnWindowSize(65535))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stalled.Close() }()
	everything := &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}
	watch := &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: 1}}}
	for range calls {
		for method, request := range map[string]proto.Message{
			pb.KV_Range_FullMethodName: everything, pb.KV_RangeStream_FullMethodName: everything, pb.Watch_Watch_FullMethodName: watch,
		} {
			stream, err := stalled.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.SendMsg(request); err != nil {
				t.Fatal(err)
			}
			if request == everything {
				if err := stream.CloseSend(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	cluster.Await(t, bound, "ranges that do not fit are refused", func() error {
		if metric(t, frontend.Endpoint(), `tierd_refused_total{limit="bytes"}`) == 0 {
			return fmt.Errorf("%.0f bytes are in flight", metric(t, frontend.Endpoint(), "tierd_in_flight_bytes"))
		}
		return nil
	})
	fillWith("small/", strings.Repeat("v", valueBytes/10))
	if held := metric(t, frontend.Endpoint(), "tierd_in_flight_bytes"); held > limit+3*keys*valueBytes {
		t.Errorf("%.0f bytes are in flight", held)
	}
	if got, err := client.Get(ctx, "small/000"); err != nil || len(got.Kvs) != 1 {
		t.Errorf("another client reads %v, %v", got, err)
	}
	if err := stalled.Close(); err != nil {
		t.Fatal(err)
	}
	cluster.Await(t, bound, "the bytes of clients that are gone are free", func() error {
		got, err := client.Get(ctx, "large/", clientv3.WithPrefix())
		if err == nil && len(got.Kvs) != keys {
			t.Fatalf("%d keys", len(got.Kvs))
		}
		if err != nil && err.Error() != rpctypes.ErrorDesc(rpctypes.ErrGRPCRequestTooManyRequests) {
			t.Fatal(err)
		}
		if held := metric(t, frontend.Endpoint(), "tierd_in_flight_bytes"); err == nil && held > keys*valueBytes {
			err = fmt.Errorf("%.0f bytes are in flight", held)
		}
		return err
	})
	http.DefaultClient.CloseIdleConnections()
}
