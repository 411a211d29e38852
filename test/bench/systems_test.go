//go:build bench

package bench

import (
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tierd/tierd/test/cluster"
)

// Names of the systems, as the tables show them.
const (
	tierd = "tierd"
	etcd  = "etcd"
	floor = "no-op"
)

// quotaBytes is the quota of tierd and etcd, beyond what any workload writes.
const quotaBytes = 8 << 30

// readyBound is how long a server may take to answer after its start.
const readyBound = time.Minute

// system is one server under load: some processes behind one address.
type system struct {
	name      string
	address   string
	processes []process
	// peer is a system that may refuse a workload without failing the run.
	peer bool
	tb   testing.TB
}

// process is one of a system's processes. The first of a system speaks with the
// clients.
type process struct {
	role string
	pid  int
}

// client is one connection to a system, with the bare generated stubs: the load
// generator shares the cores with the server and has to be cheap.
type client struct {
	kv    pb.KVClient
	watch pb.WatchClient
	lease pb.LeaseClient
}

// dial opens connections that are closed with the test.
func (s *system) dial(count int) []client {
	s.tb.Helper()
	clients := make([]client, count)
	for i := range clients {
		conn, err := grpc.NewClient("passthrough:///"+s.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
		if err != nil {
			s.tb.Fatalf("dial %s: %v", s.name, err)
		}
		s.tb.Cleanup(func() { _ = conn.Close() })
		clients[i] = client{kv: pb.NewKVClient(conn), watch: pb.NewWatchClient(conn), lease: pb.NewLeaseClient(conn)}
	}
	return clients
}

// awaitAnswer waits until the system answers a read.
func (s *system) awaitAnswer() *system {
	s.tb.Helper()
	connection := s.dial(1)[0]
	cluster.Await(s.tb, readyBound, s.name+" answers", func() error {
		_, err := connection.kv.Range(s.tb.Context(), &pb.RangeRequest{Key: []byte("/bench/ready-1x1/")})
		return err
	})
	return s
}

// starter starts a system: a fresh server with data of its own, which is gone when
// the test is.
type starter struct {
	name  string
	start func(testing.TB) *system
}

// systems builds what is to be compared.
func systems(t *testing.T, withPeers bool) []starter {
	t.Helper()
	dir := cluster.Folder(t)
	all := []starter{{tierd, startTierd}, {etcd, startEtcd(goBuild(t, dir, "./etcd"))}, {floor, startFloor(goBuild(t, dir, "./floor"))}}
	if withPeers {
		for _, p := range peers() {
			all = append(all, p.starter(t))
		}
	}
	return all
}

// startTierd starts a frontend with the redis-server that it runs by default, which
// syncs every write.
func startTierd(tb testing.TB) *system {
	f := cluster.StartFrontend(tb, cluster.FrontendOptions{Args: []string{"--quota-backend-bytes", strconv.Itoa(quotaBytes)}})
	s := &system{name: tierd, address: f.Endpoint()[len("http://"):], tb: tb}
	s.processes = []process{{"frontend", f.PID()}, {"Redis", f.LocalRedisPID()}}
	return s.awaitAnswer()
}

// startEtcd starts one member of etcd, which syncs its log before it answers.
func startEtcd(path string) func(testing.TB) *system {
	return func(tb testing.TB) *system {
		tb.Helper()
		data, client, peer := filepath.Join(cluster.Folder(tb), "data"), freeAddress(tb), freeAddress(tb)
		return startProgram(tb, etcd, client, path, data, "http://"+client, "http://"+peer)
	}
}

// startFloor starts the server that does nothing.
func startFloor(path string) func(testing.TB) *system {
	return func(tb testing.TB) *system {
		tb.Helper()
		address := freeAddress(tb)
		return startProgram(tb, floor, address, path, address)
	}
}

func freeAddress(tb testing.TB) string { return fmt.Sprintf("127.0.0.1:%d", cluster.FreePort(tb)) }

// startProgram runs a system of one process.
func startProgram(tb testing.TB, name, address, path string, args ...string) *system {
	tb.Helper()
	p := cluster.NewProcess(tb, cluster.Command{Name: name, Path: path, Args: args, LogDir: cluster.Folder(tb)})
	p.Start()
	s := &system{name: name, address: address, processes: []process{{"server", p.PID()}}, tb: tb}
	return s.awaitAnswer()
}

// goBuild builds a program of this repository into a folder.
func goBuild(tb testing.TB, dir, pkg string) string {
	tb.Helper()
	path := filepath.Join(dir, filepath.Base(pkg))
	if out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
		tb.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return path
}
