package endpoint

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// BenchmarkUnary is the cost of one call through the whole server, with the
// client on the same cores and services that do nothing.
func BenchmarkUnary(b *testing.B) {
	keyspace := &fakeKeyspace{}
	server, err := newServer(testSettings(), Components{
		API: keyspace, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now,
	}, newFakeServices(keyspace).assemble)
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background()) }()
	conn, err := grpc.NewClient(server.Addrs()[0].String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	request := &pb.RangeRequest{Key: []byte("k")}
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := pb.NewKVClient(conn).Range(context.Background(), request); err != nil {
				b.Error(err)
				return
			}
		}
	})
	_ = conn.Close() // the benchmark is over
	if err := server.Shutdown(context.Background()); err != nil {
		b.Error(err)
	}
	if err := <-served; err != nil {
		b.Error(err)
	}
}
