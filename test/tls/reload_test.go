package tls_test

import (
	"context"
	"crypto/tls"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/pki"
)

// stream is a watch on one connection, which does not connect again: if it still brings events, nothing was dropped.
type stream struct {
	conn  *grpc.ClientConn
	watch pb.Watch_WatchClient
}

func openStream(t *testing.T, address string, config *tls.Config, key string) *stream {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := &stream{conn: conn}
	if s.watch, err = pb.NewWatchClient(conn).Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	create := &pb.WatchCreateRequest{Key: []byte(key)}
	if err := s.watch.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.watch.Recv(); err != nil {
		t.Fatal(err)
	}
	return s
}

// brings writes the key over the connection of another stream, and wants this one to tell of it.
func (s *stream) brings(t *testing.T, key string, by *stream) {
	t.Helper()
	if _, err := pb.NewKVClient(by.conn).Put(t.Context(), &pb.PutRequest{Key: []byte(key)}); err != nil {
		t.Errorf("a put on a connection that is open: %v", err)
		return
	}
	response, err := s.watch.Recv()
	if err != nil || len(response.Events) == 0 {
		t.Errorf("a watch on a connection that is open: got %v, %v", response, err)
	}
}

// load writes over connections that are made for each write, until stop, and counts those that fail.
type load struct {
	writes, failures atomic.Int64
	last             atomic.Value
	stop             func()
}

func startLoad(t *testing.T, address string, config *tls.Config) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{}
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			for ctx.Err() == nil {
				// A write that has begun is let finish.
				bounded, done := context.WithTimeout(context.WithoutCancel(ctx), bound)
				if err := put(bounded, config, address); err != nil {
					l.failures.Add(1)
					l.last.Store(err.Error())
				}
				done()
				l.writes.Add(1)
			}
		})
	}
	l.stop = func() { cancel(); running.Wait() }
	t.Cleanup(l.stop)
	return l
}

// await waits until the load has written some more.
func (l *load) await(t *testing.T) {
	t.Helper()
	from := l.writes.Load()
	cluster.Await(t, bound, "some more writes", func() error {
		if l.writes.Load() < from+10 {
			return context.DeadlineExceeded
		}
		return nil
	})
}

// TestRotation exchanges all files of a frontend under load: its certificate, the authorities, and what they have revoked. No
// connection ends but those of a certificate that is revoked, and no client is refused that should not be.
func TestRotation(t *testing.T) {
	t.Parallel()
	f := start(t, cluster.FrontendOptions{Race: true})
	files := f.files()
	next := pki.New(t, t.TempDir(), "next")
	both := f.authority.Pool()
	both.AppendCertsFromPEM(next.PEM())
	of := func(a *pki.Authority, pair pki.Pair) *tls.Config {
		config := a.TLS(pair)
		config.RootCAs = both
		return config
	}
	old, renewed, leaving := f.authority.Client("old"), next.Client("renewed"), next.Client("leaving")
	before := openStream(t, f.Address(), of(f.authority, old), "a")
	l := startLoad(t, f.Address(), of(f.authority, old))
	l.await(t)

	// The authorities of both, then the server's certificate of the next one, then that authority alone.
	pki.Write(t, files.ca, append(f.authority.PEM(), next.PEM()...))
	expectPut(t, f, of(next, renewed), "the next authority, once it is there", true)
	own := next.Server("server")
	copyFile(t, own.Key, files.key)
	l.await(t) // meanwhile the key does not fit
	copyFile(t, own.Cert, files.cert)
	l.await(t)
	if got := served(t, f, of(next, renewed)); got != own.Leaf.SerialNumber.String() {
		t.Errorf("the certificate that is served is %s, want %s", got, own.Leaf.SerialNumber)
	}
	leavingStream := openStream(t, f.Address(), of(next, leaving), "a")
	l.stop()
	if failures := l.failures.Load(); failures != 0 {
		t.Errorf("%d of %d writes failed, the last with: %v", failures, l.writes.Load(), l.last.Load())
	}
	pki.Write(t, files.ca, next.PEM())
	expectPut(t, f, of(f.authority, old), "the old authority, once it is gone", false)
	after := openStream(t, f.Address(), of(next, renewed), "b")
	before.brings(t, "a", after)
	if _, err := leavingStream.watch.Recv(); err != nil {
		t.Errorf("a watch of a client that is not revoked yet: %v", err)
	}

	copyFile(t, next.Revoke("list", leaving), files.crl)
	expectPut(t, f, of(next, leaving), "a certificate that is revoked", false)
	if response, err := leavingStream.watch.Recv(); err == nil {
		t.Errorf("the watch of a certificate that is revoked got %v", response)
	}
	before.brings(t, "a", after)
	after.brings(t, "b", before)
	if log := f.Log(); !strings.Contains(log, "connections were closed because their certificates are revoked") ||
		!strings.Contains(log, "a certificate file cannot be used") {
		t.Error("the log does not tell of the key that did not fit, or of the connection that was closed")
	}
}

// paths are the files of a frontend.
type paths struct{ cert, key, ca, crl string }

// files are where start has put them.
func (f *frontend) files() paths {
	p := paths{ca: f.authority.File()}
	p.cert = strings.TrimSuffix(p.ca, "authority.pem") + "server.pem"
	p.key = strings.TrimSuffix(p.cert, ".pem") + "-key.pem"
	p.crl = f.crl
	return p
}

func expectPut(t *testing.T, f *frontend, config *tls.Config, what string, allowed bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if err := put(ctx, config, f.Address()); (err == nil) != allowed {
		t.Errorf("%s: got %v, allowed should be %v", what, err, allowed)
	}
}

// served is the serial number of the certificate that a frontend serves.
func served(t *testing.T, f *frontend, config *tls.Config) string {
	t.Helper()
	conn, err := tls.Dial("tcp", f.Address(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	pki.Write(t, to, content)
}
