// Command floor answers etcd's calls at once from nothing: it stores nothing, syncs
// nothing and orders nothing. What it costs is gRPC, the messages and the machine, so
// it is the floor below which no server of this API in Go can be, and it shows how
// much of the machine the client takes.
//
// Its answers have the size of real ones. It reads that size from the key's folder,
// NAME-COUNTxBYTES: a list of /bench/list-10000x1024/ is 10,000 keys with values of
// 1,024 bytes. A put reaches the watchers of its key.
package main

import (
	"fmt"
	"math"
	"net"
	"os"
	"os/signal"
	"syscall"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// receiveBytesMax is what etcd lets a request have by default.
const receiveBytesMax = 1536<<10 + 512<<10

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves on the address of the first argument until SIGTERM.
func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: %s ADDRESS", os.Args[0])
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(receiveBytesMax), grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxConcurrentStreams(math.MaxUint32))
	watches := &watchServer{}
	pb.RegisterKVServer(server, newKVServer(watches))
	pb.RegisterWatchServer(server, watches)
	pb.RegisterLeaseServer(server, &leaseServer{})
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		server.Stop()
	}()
	return server.Serve(listener)
}
