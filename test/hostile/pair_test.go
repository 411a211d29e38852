// Package hostile sends tierd what no client should: bytes that are no requests,
// requests that nobody means, and requests at the limits. A real etcd gets the same,
// and where it answers, tierd must answer alike. After each batch tierd still serves,
// no goroutine of it has panicked, and both hold the same keys: nothing was changed
// unless it was answered OK.
package hostile

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tierd/tierd/test/answers"
	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/oracle"
	"github.com/tierd/tierd/test/session"

	"go.etcd.io/etcd/server/v3/embed"
)

func TestMain(m *testing.M) { session.VerifyTestMain(m) }

// bound is how long a test may wait for anything; far above what is normal.
const bound = 2 * time.Minute

// server is one of the two that are compared.
type server struct {
	name, endpoint string
	client         *clientv3.Client
	conn           *grpc.ClientConn
}

// pair is an etcd and a tierd that get the same.
type pair struct {
	testing.TB
	etcd, tierd *server
	frontend    *cluster.Frontend
	methods     map[string]protoreflect.MethodDescriptor
	// codes counts how etcd has answered.
	codes map[string]int
}

// startPair starts both with the same limit of operations; 0 is the default.
func startPair(tb testing.TB, maxTxnOps uint) *pair {
	tb.Helper()
	var args []string
	if maxTxnOps != 0 {
		args = []string{"--max-txn-ops", fmt.Sprint(maxTxnOps)}
	}
	c := cluster.Start(tb, cluster.Options{Args: args})
	etcd := oracle.Start(tb, oracle.Options{Configure: func(config *embed.Config) {
		// etcd gives a request five seconds and two elections: enough on a busy machine. It also takes up to an election
		// to start, so only those have more who make ten thousand operations.
		config.ElectionMs = 3_000
		if maxTxnOps != 0 {
			config.ElectionMs, config.MaxTxnOps = 20_000, maxTxnOps
		}
	}})
	return &pair{
		TB: tb, frontend: c.Frontends[0], methods: answers.Methods(), codes: make(map[string]int),
		etcd:  newServer(tb, "etcd", etcd.Endpoint()),
		tierd: newServer(tb, "tierd", c.Endpoint()),
	}
}

func newServer(tb testing.TB, name, endpoint string) *server {
	tb.Helper()
	_, address, _ := strings.Cut(endpoint, "://")
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(1<<30)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			tb.Errorf("close the connection to %s: %v", name, err)
		}
	})
	return &server{name: name, endpoint: endpoint, client: cluster.Dial(tb, endpoint), conn: conn}
}

// both makes a call of a method with one answer, and fails the test unless both
// answer alike; it gives etcd's answer.
func (p *pair) both(method string, request proto.Message) (proto.Message, error) {
	p.Helper()
	want, wantErr := p.call(p.etcd, method, request)
	got, gotErr := p.call(p.tierd, method, request)
	if diff := answers.Compare(want, wantErr, got, gotErr); diff != "" {
		p.Fatalf("%s{%s} (-etcd +tierd):\n%s", method, brief(request), diff)
	}
	return want, wantErr
}

func (p *pair) call(s *server, method string, request proto.Message) (proto.Message, error) {
	p.Helper()
	response, err := answers.NewMessage(p.methods[method].Output())
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.Context(), bound)
	defer cancel()
	return response, s.conn.Invoke(ctx, method, request, response)
}

// briefMax is how many bytes of a request a report shows.
const briefMax = 2000

func brief(request proto.Message) string {
	text := fmt.Sprint(request)
	if len(text) > briefMax {
		return text[:briefMax] + "..."
	}
	return text
}

// unharmed checks that tierd still serves, holds what etcd holds, and that nothing
// in it has panicked.
func (p *pair) unharmed() {
	p.Helper()
	p.both(pb.Maintenance_HashKV_FullMethodName, &pb.HashKVRequest{})
	p.both(pb.Lease_LeaseLeases_FullMethodName, &pb.LeaseLeasesRequest{})
	resp, err := http.Get(p.tierd.endpoint + "/health")
	if err != nil {
		p.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		p.Fatalf("/health says %s, %v", resp.Status, err)
	}
	for _, word := range []string{"panic", "goroutine ", "internal error", "DATA RACE"} {
		if log := p.frontend.Log(); strings.Contains(log, word) {
			p.Fatalf("the log holds %q:\n%s", word, log)
		}
	}
}
