package tls_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/pki"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bound is how long one way in may take, and what is awaited; far more than is normal.
const bound = 20 * time.Second

// target is a server with TLS: a frontend or an etcd.
type target struct {
	// address is that for clients, metrics that of metrics alone; host:port.
	address, metrics string
}

// way is one way in.
type way struct {
	name  string
	enter func(context.Context, target, *tls.Config) error
}

// ways are all ways in. That a server is not reached at all is an error like any other.
func ways() []way {
	get := func(path string) func(context.Context, target, *tls.Config) error {
		return func(ctx context.Context, to target, config *tls.Config) error {
			return exchange(ctx, config, "https://"+to.address+path, "")
		}
	}
	return []way{
		{"gRPC", func(ctx context.Context, to target, config *tls.Config) error { return put(ctx, config, to.address) }},
		{"/health", get("/health")}, {"/readyz", get("/readyz")}, {"/version", get("/version")}, {"/metrics", get("/metrics")},
		{"gateway", func(ctx context.Context, to target, config *tls.Config) error {
			return exchange(ctx, config, "https://"+to.address+"/v3/kv/range", `{"key":"aw=="}`)
		}},
		{"websocket", func(ctx context.Context, to target, config *tls.Config) error {
			conn, response, err := (&websocket.Dialer{TLSClientConfig: config}).DialContext(ctx, "wss://"+to.address+"/v3/watch", nil)
			if err != nil {
				return err
			}
			_ = response.Body.Close() // empty
			return conn.Close()
		}},
		{"metrics address", func(ctx context.Context, to target, config *tls.Config) error {
			return exchange(ctx, config, "https://"+to.metrics+"/metrics", "")
		}},
	}
}

// exchange asks by HTTP: GET, or POST if there is a body.
func exchange(ctx context.Context, config *tls.Config, url, body string) error {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s, %w", response.Status, text, err)
	}
	return nil
}

// put writes a key over a connection of its own. What fails to connect fails at once, as clients of etcd would not have it.
func put(ctx context.Context, config *tls.Config, address string) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = pb.NewKVClient(conn).Put(ctx, &pb.PutRequest{Key: []byte("k"), Value: []byte("v")})
	return err
}

// expect tries each way, and wants what allowed says.
func expect(t *testing.T, to target, config *tls.Config, what string, allowed bool) {
	t.Helper()
	for _, w := range ways() {
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		err := w.enter(ctx, to, config)
		cancel()
		if (err == nil) != allowed {
			t.Errorf("%s, %s: got %v, allowed should be %v", w.name, what, err, allowed)
		}
	}
}

// frontend is a frontend with TLS on its address for clients and on one for metrics.
type frontend struct {
	*cluster.Frontend
	authority *pki.Authority
	target    target
	// crl is the file with what is revoked: nothing, to begin with.
	crl string
}

// start starts a frontend with a certificate of an authority of its own, which its clients must have one of, too.
func start(t *testing.T, options cluster.FrontendOptions, args ...string) *frontend {
	t.Helper()
	f := &frontend{authority: pki.New(t, t.TempDir(), "authority")}
	own := f.authority.Server("server")
	f.crl = f.authority.Revoke("crl")
	metrics := fmt.Sprintf("127.0.0.1:%d", cluster.FreePort(t))
	options.TLS = f.authority.TLS(f.authority.Client("prober", "client.example"))
	options.Args = append(append(options.Args, "--cert-file", own.Cert, "--key-file", own.Key, "--trusted-ca-file", f.authority.File(),
		"--client-crl-file", f.crl, "--client-cert-auth", "--listen-metrics-urls", "https://"+metrics), args...)
	f.Frontend = cluster.StartFrontend(t, options)
	f.target = target{address: f.Address(), metrics: metrics}
	return f
}

// client is a client with a certificate of its own name.
func (f *frontend) client(t *testing.T, name string) *clientv3.Client {
	t.Helper()
	return cluster.DialTLS(t, f.authority.TLS(f.authority.Client(name)), f.Endpoint())
}
