package endpoint

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/tierd/tierd/functions/certs"
	"github.com/tierd/tierd/test/pki"
)

// secureFrontend is a frontend with TLS on all its addresses, and the authority that its clients need.
type secureFrontend struct {
	*frontend
	authority *pki.Authority
	settings  TLS
	// crl is the file with what is revoked: nothing yet.
	crl string
}

// startSecure serves with TLS, and wants certificates of clients.
func startSecure(t *testing.T, change func(*TLS)) *secureFrontend {
	t.Helper()
	f := &secureFrontend{authority: pki.New(t, t.TempDir(), "authority")}
	own := f.authority.Server("server")
	f.crl = f.authority.Revoke("crl")
	store, err := certs.Open(certs.Files{Cert: own.Cert, Key: own.Key, CA: f.authority.File(), CRL: f.crl},
		certs.Components{Use: "server", Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	f.settings = TLS{Certificates: store}
	if change != nil {
		change(&f.settings)
	}
	f.frontend = start(t, func(s *Settings, _ *Components) {
		local := url.URL{Scheme: "https", Host: "127.0.0.1:0"}
		s.ListenClientURLs, s.ListenMetricsURLs, s.TLS = []url.URL{local}, []url.URL{local}, &f.settings
		s.ClientCertAuth = true
	})
	return f
}

// ways are all ways into a frontend.
func (f *secureFrontend) ways() map[string]func(context.Context, *tls.Config) error {
	client, metrics := f.Addrs()[0].String(), f.MetricsAddrs()[0].String()
	return map[string]func(context.Context, *tls.Config) error{
		"gRPC": func(ctx context.Context, c *tls.Config) error {
			conn, err := grpc.NewClient(client, grpc.WithTransportCredentials(credentials.NewTLS(c)))
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			_, err = pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("k")})
			return err
		},
		"version": func(ctx context.Context, c *tls.Config) error {
			return request(ctx, c, "https://"+client+"/version", "")
		},
		"health": func(ctx context.Context, c *tls.Config) error {
			return request(ctx, c, "https://"+client+"/health", "")
		},
		"metrics": func(ctx context.Context, c *tls.Config) error {
			return request(ctx, c, "https://"+client+"/metrics", "")
		},
		"gateway": func(ctx context.Context, c *tls.Config) error {
			return request(ctx, c, "https://"+client+"/v3/kv/range", `{"key":"aw=="}`)
		},
		"metrics address": func(ctx context.Context, c *tls.Config) error {
			return request(ctx, c, "https://"+metrics+"/metrics", "")
		},
		"websocket": func(ctx context.Context, c *tls.Config) error {
			dialer := &websocket.Dialer{TLSClientConfig: c}
			conn, response, err := dialer.DialContext(ctx, "wss://"+client+"/v3/watch", nil)
			if err != nil {
				return err
			}
			_ = response.Body.Close() // empty
			return conn.Close()
		},
	}
}

// request asks by HTTP: GET, or POST if there is a body. The client offers HTTP/2, too, as curl does.
func request(ctx context.Context, config *tls.Config, to, body string) error {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(body))
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", response.Status)
	}
	return nil
}

// Who has no certificate of the authority, or one that is revoked, gets in nowhere.
func TestNoWayInWithoutACertificate(t *testing.T) {
	t.Parallel()
	f := startSecure(t, nil)
	revoked := f.authority.Client("revoked")
	clients := map[string]*tls.Config{
		"good":    f.authority.TLS(f.authority.Client("good")),
		"none":    f.authority.TLS(pki.Pair{}),
		"foreign": f.authority.TLS(pki.New(t, t.TempDir(), "another").Client("good")),
		"revoked": f.authority.TLS(revoked),
		"expired": f.authority.TLS(f.authority.Issue(pki.Subject{File: "expired", CommonName: "good", Expires: time.Now().Add(-time.Minute)})),
	}
	for way, enter := range f.ways() {
		if err := enter(t.Context(), clients["revoked"]); err != nil {
			t.Errorf("%s: before it was revoked: %v", way, err)
		}
	}
	f.authority.Revoke("crl", revoked)
	for way, enter := range f.ways() {
		for client, config := range clients {
			if err := enter(t.Context(), config); (err == nil) != (client == "good") {
				t.Errorf("%s with a certificate that is %s: %v", way, client, err)
			}
		}
	}
}

// Only those whose names are allowed get in.
func TestAllowedNames(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*TLS){
		"common name": func(s *TLS) { s.AllowedCommonNames = []string{"bob", "alice"} },
		"host name":   func(s *TLS) { s.AllowedHostnames = []string{"bob.example", "alice.example"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startSecure(t, change)
			alice, carol := f.authority.TLS(f.authority.Client("alice", "alice.example")), f.authority.TLS(f.authority.Client("carol", "carol.example"))
			for way, enter := range f.ways() {
				if err := enter(t.Context(), alice); err != nil {
					t.Errorf("%s, allowed: %v", way, err)
				}
				if err := enter(t.Context(), carol); err == nil {
					t.Errorf("%s: one who is not allowed got in", way)
				}
			}
		})
	}
}

// A certificate with a name is no user's at the gateway, and its client is told so once authentication is on.
func TestNamesAtTheGateway(t *testing.T) {
	t.Parallel()
	f := startSecure(t, nil)
	nameless := f.authority.TLS(f.authority.Issue(pki.Subject{File: "nameless"}))
	for _, enabled := range []bool{false, true} {
		f.services.authEnabled.Store(enabled)
		for client, config := range map[string]*tls.Config{"alice": f.authority.TLS(f.authority.Client("alice")), "": nameless} {
			for _, way := range []string{"gateway", "websocket"} {
				err := f.ways()[way](t.Context(), config)
				if refused := enabled && client != ""; (err != nil) != refused {
					t.Errorf("%s of %q, authentication %v: got %v", way, client, enabled, err)
				}
			}
			if err := f.ways()["health"](t.Context(), config); err != nil {
				t.Errorf("health of %q, authentication %v: %v", client, enabled, err)
			}
		}
	}
}

// No handshake is shortened by what an earlier one has found: each is held against the files of its moment.
func TestNoSessionIsResumed(t *testing.T) {
	t.Parallel()
	f := startSecure(t, nil)
	pair := f.authority.Client("alice")
	config := f.authority.TLS(pair)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	connect := func() error {
		conn, err := tls.Dial("tcp", f.Addrs()[0].String(), config)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, "GET /version HTTP/1.0\r\n\r\n"); err != nil {
			return err
		}
		if conn.ConnectionState().DidResume {
			t.Error("a session was resumed")
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil && !strings.Contains(line, "200") {
			err = errors.New(line)
		}
		return err
	}
	for range 3 {
		if err := connect(); err != nil {
			t.Fatal(err)
		}
	}
	f.authority.Revoke("crl", pair)
	if err := connect(); err == nil {
		t.Error("a client whose certificate was revoked got in again")
	}
}

// A watch of a certificate that is revoked ends; others go on.
func TestRevokingClosesConnections(t *testing.T) {
	t.Parallel()
	f := startSecure(t, nil)
	revoked := f.authority.Client("revoked")
	streams := make(map[string]pb.Watch_WatchClient)
	for name, pair := range map[string]pki.Pair{"revoked": revoked, "good": f.authority.Client("good")} {
		conn, err := grpc.NewClient(f.Addrs()[0].String(), grpc.WithTransportCredentials(credentials.NewTLS(f.authority.TLS(pair))))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if streams[name], err = pb.NewWatchClient(conn).Watch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := streams[name].Send(&pb.WatchRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := streams[name].Recv(); err != nil {
			t.Fatal(err)
		}
	}
	f.authority.Revoke("crl", revoked)
	f.tls.closeRevoked(f.client)
	if r, err := streams["revoked"].Recv(); err == nil {
		t.Errorf("the watch of a certificate that is revoked got %v", r)
	}
	if _, err := pb.NewKVClient(f.dialSecure(t, "good2")).Put(t.Context(), &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	if _, err := streams["good"].Recv(); err != nil {
		t.Errorf("the watch of a good certificate ended: %v", err)
	}
	if got := f.counter(t, "tierd_tls_revoked_connections_total"); got != 1 {
		t.Errorf("%v connections were counted as closed, want 1", got)
	}
}

// counter is the value of a counter without labels.
func (f *frontend) counter(t *testing.T, name string) float64 {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no series %s", name)
	return 0
}

func (f *secureFrontend) dialSecure(t *testing.T, name string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(f.Addrs()[0].String(), grpc.WithTransportCredentials(credentials.NewTLS(f.authority.TLS(f.authority.Client(name)))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// What is agreed on depends on what a client offers.
func TestProtocols(t *testing.T) {
	t.Parallel()
	f := startSecure(t, nil)
	for _, c := range []struct {
		offered []string
		want    string
	}{
		{nil, ""}, {[]string{"h2"}, "h2"}, {[]string{"http/1.1"}, "http/1.1"}, {[]string{"h2", "http/1.1"}, "http/1.1"},
	} {
		config := f.authority.TLS(f.authority.Client("alice"))
		config.NextProtos = c.offered
		conn, err := tls.Dial("tcp", f.Addrs()[0].String(), config)
		if err != nil {
			t.Errorf("offering %v: %v", c.offered, err)
			continue
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != c.want {
			t.Errorf("offering %v: got %q, want %q", c.offered, got, c.want)
		}
		_ = conn.Close() // nothing was said
	}
}

func TestVersionsAndCipherSuites(t *testing.T) {
	t.Parallel()
	const suite = tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
	for name, c := range map[string]struct {
		change  func(*TLS)
		client  func(*tls.Config)
		refused bool
	}{
		"1.1 is refused":         {nil, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 }, true},
		"1.2":                    {nil, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, false},
		"1.2 is below the least": {func(s *TLS) { s.MinVersion = tls.VersionTLS13 }, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, true},
		"1.3 is above the most":  {func(s *TLS) { s.MaxVersion = tls.VersionTLS12 }, func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, true},
		"the suite":              {func(s *TLS) { s.CipherSuites = []uint16{suite} }, func(c *tls.Config) { c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{suite} }, false},
		"another suite": {func(s *TLS) { s.CipherSuites = []uint16{suite} }, func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		}, true},
		"1.3 has suites of its own": {func(s *TLS) { s.CipherSuites = []uint16{suite} }, func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startSecure(t, c.change)
			config := f.authority.TLS(f.authority.Client("alice"))
			c.client(config)
			err := f.ways()["gRPC"](t.Context(), config)
			if _, failed := err, err != nil; failed != c.refused {
				t.Errorf("got %v, refused wanted: %v", err, c.refused)
			}
		})
	}
}

// Who takes long for a handshake, or says something else, is in nobody's way and is cut off.
func TestSlowHandshakes(t *testing.T) {
	t.Parallel()
	f := startSecure(t, nil)
	var silent []net.Conn
	for range 32 {
		conn, err := net.Dial("tcp", f.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		silent = append(silent, conn)
	}
	if err := f.ways()["gRPC"](t.Context(), f.authority.TLS(f.authority.Client("alice"))); err != nil {
		t.Errorf("beside clients that say nothing: %v", err)
	}
	if _, err := io.WriteString(silent[0], "GET /version HTTP/1.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(silent[0]); err == nil && strings.Contains(string(answer), "etcdserver") {
		t.Errorf("a client without TLS was answered %q", answer)
	}
}

// The deadline of a handshake is the server's clock and sniffTimeout: here, it has passed already.
func TestHandshakesAreBounded(t *testing.T) {
	t.Parallel()
	authority := pki.New(t, t.TempDir(), "authority")
	own := authority.Server("server")
	store, err := certs.Open(certs.Files{Cert: own.Cert, Key: own.Key}, certs.Components{Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, func(s *Settings, c *Components) {
		s.ListenClientURLs = []url.URL{{Scheme: "https", Host: "127.0.0.1:0"}}
		s.TLS = &TLS{Certificates: store}
		c.Now = func() time.Time { return time.Now().Add(-sniffTimeout) }
	})
	conn, err := net.Dial("tcp", f.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.ReadAll(conn); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// A new certificate serves the next connection; one that does not fit its key serves none.
func TestNewCertificates(t *testing.T) {
	t.Parallel()
	f := startSecure(t, nil)
	serial := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", f.Addrs()[0].String(), f.authority.TLS(f.authority.Client("alice")))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	second := f.authority.Server("server").Leaf.SerialNumber.String()
	if got := serial(); got != second || got == first {
		t.Errorf("the certificate is %s, want %s", got, second)
	}
	pki.Write(t, f.settings.Certificates.Files().Key, []byte("-----BEGIN"))
	if got := serial(); got != second {
		t.Errorf("while the key is half written the certificate is %s, want %s", got, second)
	}
}

func TestUnixSocketWithTLS(t *testing.T) {
	t.Parallel()
	socket := t.TempDir() + "/s"
	authority := pki.New(t, t.TempDir(), "authority")
	own := authority.Server("server")
	store, err := certs.Open(certs.Files{Cert: own.Cert, Key: own.Key}, certs.Components{Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	start(t, func(s *Settings, _ *Components) {
		s.ListenClientURLs, s.TLS = append(s.ListenClientURLs, url.URL{Scheme: "unixs", Path: socket}), &TLS{Certificates: store}
	})
	config := authority.TLS(pki.Pair{})
	config.ServerName = "localhost"
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := pb.NewKVClient(conn).Range(t.Context(), &pb.RangeRequest{Key: []byte("k")}); err != nil {
		t.Error(err)
	}
}
