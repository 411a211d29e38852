package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/credentials"

	"github.com/tierd/tierd/functions/certs"
)

// certificateInterval is how often certificate files are looked at while no handshake asks for
// them: within it, the connections of a certificate that has been revoked are closed.
const certificateInterval = 5 * time.Second

// Protocols that a handshake chooses from. A client that can do both, such as a browser or curl, gets
// HTTP/1, by which health, metrics and the gateway are served. gRPC clients offer HTTP/2 alone.
const (
	protocolHTTP1 = "http/1.1"
	protocolHTTP2 = "h2"
)

// TLS says how https and unixs addresses are served.
type TLS struct {
	// Certificates has the server's certificate; the authorities that clients' certificates have to
	// come from, if there are any, which makes certificates a must; and what they have revoked.
	Certificates *certs.Store
	// AllowedCommonNames or AllowedHostnames, if not empty, are those that a client's certificate must be for
	// one of.
	AllowedCommonNames, AllowedHostnames []string
	// CipherSuites are those of TLS 1.2; empty for Go's choice. MinVersion and MaxVersion are tls.VersionTLS12 or
	// tls.VersionTLS13, MaxVersion 0 for the newest.
	CipherSuites           []uint16
	MinVersion, MaxVersion uint16
}

// secured tells whether a URL asks for TLS.
func secured(scheme string) bool { return scheme == "https" || scheme == "unixs" }

// tlsGate does the server's part of TLS, for all addresses alike.
type tlsGate struct {
	settings TLS
	logger   *slog.Logger
	refusals *rate.Sometimes
	series   *tlsSeries
}

// tlsSeries are the metrics of TLS.
type tlsSeries struct {
	handshakes *prometheus.CounterVec
	revoked    prometheus.Counter
}

func newTLSSeries(registry prometheus.Registerer) (*tlsSeries, error) {
	s := &tlsSeries{
		handshakes: counterVec("tierd_tls_handshakes_total", "The number of TLS handshakes with clients, by how they ended.", "result"),
		revoked:    counter("tierd_tls_revoked_connections_total", "The number of open connections that were closed because their certificate was revoked."),
	}
	for _, result := range []string{"done", "failed"} {
		s.handshakes.WithLabelValues(result)
	}
	for _, c := range []prometheus.Collector{s.handshakes, s.revoked} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return s, nil
}

// prepareTLS makes what the addresses with TLS need.
func (s *Server) prepareTLS(registry prometheus.Registerer) error {
	series, err := newTLSSeries(registry)
	if err != nil {
		return err
	}
	if s.settings.TLS != nil {
		s.tls = &tlsGate{settings: *s.settings.TLS, logger: s.logger, series: series, refusals: &rate.Sometimes{Interval: noteInterval}}
	}
	return nil
}

// wantsClientCertificates tells whether clients must have one. As in etcd, to name authorities is enough.
func (g *tlsGate) wantsClientCertificates() bool {
	return g.settings.Certificates.Files().CA != ""
}

// begin is what all handshakes of an address begin with: what they go on with is looked up once the client has said
// something, so that accepting connections reads no file.
func (g *tlsGate) begin(protocols []string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return g.config(protocols), nil
		},
		SessionTicketsDisabled: true,
	}
}

// config is that of one handshake, from what the files hold by then. No session is ever resumed, so that each
// connection is held against the files that there are when it begins.
func (g *tlsGate) config(protocols []string) *tls.Config {
	m := g.settings.Certificates.Current()
	c := &tls.Config{
		Certificates: []tls.Certificate{*m.Certificate}, NextProtos: protocols,
		MinVersion: g.settings.MinVersion, MaxVersion: g.settings.MaxVersion, CipherSuites: g.settings.CipherSuites,
		SessionTicketsDisabled: true,
	}
	if g.wantsClientCertificates() {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, m.Authorities
		c.VerifyConnection = func(state tls.ConnectionState) error { return g.verify(m, state) }
	}
	return c
}

// verify refuses a client whose certificate is revoked, or for nobody who is allowed.
func (g *tlsGate) verify(m *certs.Material, state tls.ConnectionState) error {
	if len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return errors.New("the client has no verified certificate")
	}
	if c := revokedOf(m, state); c != nil {
		return fmt.Errorf("the certificate with serial number %x is revoked", c.SerialNumber)
	}
	leaf := state.VerifiedChains[0][0]
	if names := g.settings.AllowedCommonNames; len(names) > 0 && !slices.Contains(names, leaf.Subject.CommonName) {
		return fmt.Errorf("the client's common name %q is not allowed", leaf.Subject.CommonName)
	}
	allowed := func(host string) bool { return leaf.VerifyHostname(host) == nil }
	if hosts := g.settings.AllowedHostnames; len(hosts) > 0 && !slices.ContainsFunc(hosts, allowed) {
		return fmt.Errorf("the client's certificate, of common name %q, is for none of the allowed host names", leaf.Subject.CommonName)
	}
	return nil
}

// revokedOf is a certificate that makes a client's revoked: one that it sent, or one that each way to an authority
// leads over.
func revokedOf(m *certs.Material, state tls.ConnectionState) *x509.Certificate {
	if c := m.Revoked(state.PeerCertificates); c != nil {
		return c
	}
	var found *x509.Certificate
	for _, chain := range state.VerifiedChains {
		if found = m.Revoked(chain); found == nil {
			return nil
		}
	}
	return found
}

// handshake does it, within the deadline that the connection has, and takes note of how it ended.
func (g *tlsGate) handshake(conn *splitConn) error {
	err := conn.tls.Handshake()
	if err == nil {
		state := conn.tls.ConnectionState()
		conn.state.Store(&state)
		// What was revoked before this moment is found here, what is revoked after it by watch.
		if c := revokedOf(g.settings.Certificates.Current(), state); c != nil {
			err = fmt.Errorf("the certificate with serial number %x is revoked", c.SerialNumber)
		}
	}
	if err == nil {
		g.series.handshakes.WithLabelValues("done").Inc()
		return nil
	}
	g.series.handshakes.WithLabelValues("failed").Inc()
	g.refusals.Do(func() {
		g.logger.Warn("a client's TLS handshake failed", "client", conn.RemoteAddr().String(), "cause", err)
	})
	return err
}

// watch closes the connections of certificates that are revoked while they are open, until ctx ends.
func (g *tlsGate) watch(ctx context.Context, splitters []*splitter) {
	g.settings.Certificates.Watch(ctx, certificateInterval, func() { g.closeRevoked(splitters) })
}

func (g *tlsGate) closeRevoked(splitters []*splitter) {
	m := g.settings.Certificates.Current()
	for _, sp := range splitters {
		closed := sp.cutIf(func(state tls.ConnectionState) bool { return revokedOf(m, state) != nil })
		if closed > 0 {
			g.series.revoked.Add(float64(closed))
			g.logger.Warn("connections were closed because their certificates are revoked", "address", sp.root.Addr().String(), "connections", closed)
		}
	}
}

// tlsState is what a connection's handshake has found; nil without TLS.
func tlsState(conn net.Conn) *tls.ConnectionState {
	if split, ok := conn.(*splitConn); ok {
		return split.state.Load()
	}
	return nil
}

// splitCredentials tell the gRPC server what a connection's handshake has found: it was done before it was known
// that the connection speaks gRPC.
type splitCredentials struct{}

// ServerHandshake implements credentials.TransportCredentials.
func (splitCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	state := tlsState(conn)
	if state == nil {
		return conn, nil, nil
	}
	return conn, credentials.TLSInfo{
		State: *state, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}, nil
}

// ClientHandshake implements credentials.TransportCredentials: there is none.
func (splitCredentials) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these are a server's credentials")
}

// Info implements credentials.TransportCredentials.
func (splitCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (c splitCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName implements credentials.TransportCredentials.
func (splitCredentials) OverrideServerName(string) error { return nil }

// namesIgnored is what etcd tells a client whose certificate would be a user's, were it not for the gateway.
const namesIgnored = "CommonName of client sending a request against gateway will be ignored and not used as expected"

// withoutNames refuses, as etcd does, clients of the gateway whose certificate names a user while authentication is on: they
// would take it for the user of their calls, and it is not. What cannot be found out is left to the call itself.
func withoutNames(next http.Handler, authEnabled func(context.Context) (bool, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && commonName(credentials.TLSInfo{State: *r.TLS}) != "" {
			if enabled, err := authEnabled(r.Context()); err == nil && enabled {
				http.Error(w, namesIgnored, http.StatusBadRequest)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

type tlsStateKey struct{}

// noteTLS keeps what the handshake has found for the requests of an HTTP connection, which does not look like one of TLS to
// net/http.
func noteTLS(ctx context.Context, conn net.Conn) context.Context {
	if state := tlsState(conn); state != nil {
		return context.WithValue(ctx, tlsStateKey{}, state)
	}
	return ctx
}

// withTLS gives requests what noteTLS has kept.
func withTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if state, ok := r.Context().Value(tlsStateKey{}).(*tls.ConnectionState); ok {
			r.TLS = state
		}
		next.ServeHTTP(w, r)
	})
}
