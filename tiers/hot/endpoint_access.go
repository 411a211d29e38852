package hot

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Access is how endpoints are reached, beside what their URLs say. The zero value adds nothing.
type Access struct {
	// TLS is what each new connection of a rediss:// endpoint begins with; nil for the authorities of the system, and no
	// certificate. It is not asked for anything else.
	TLS func() *tls.Config
	// ServerName is what certificates of servers have to be for; "" for the host that is dialled.
	ServerName string
	// Password is asked before each new connection to a Redis whose URL holds none; nil for none. What a
	// Sentinel endpoint has is asked once; it is the Sentinels' too if the URL names a user for them.
	Password func() (string, error)
}

// With gives the endpoint as it is reached with access.
func (e Endpoint) With(access Access) (Endpoint, error) {
	e.access = access
	servers := e.sentinel.Password == ""
	sentinels := e.sentinel.SentinelUsername != "" && e.sentinel.SentinelPassword == ""
	if access.Password == nil || e.kind != kindSentinel || !servers && !sentinels {
		return e, nil
	}
	// The driver takes it as a text here.
	password, err := access.Password()
	if err != nil {
		return e, fmt.Errorf("read the password of %s: %w", e.display, err)
	}
	if servers {
		e.sentinel.Password = password
	}
	if sentinels {
		e.sentinel.SentinelPassword = password
	}
	return e, nil
}

// Secure tells whether the endpoint speaks TLS, and checks whom it speaks with.
func (e Endpoint) Secure() bool {
	config := e.tls()
	return config != nil && !config.InsecureSkipVerify
}

// OnThisMachine tells whether what is sent to the endpoint's first address stays on this machine.
func (e Endpoint) OnThisMachine() bool {
	if e.urlHost == "" || e.urlHost == "localhost" {
		return true
	}
	ip := net.ParseIP(e.urlHost)
	return ip != nil && ip.IsLoopback()
}

// HoldsPassword tells whether the endpoint's URL holds a password.
func (e Endpoint) HoldsPassword() bool {
	return e.single.Password+e.cluster.Password+e.sentinel.Password+e.sentinel.SentinelPassword != ""
}

// hostOf is the host of a URL; "" of a socket's.
func hostOf(u *url.URL) string {
	if u.Scheme == "unix" {
		return ""
	}
	return u.Hostname()
}

// tls is what the URL says of TLS; nil for none.
func (e Endpoint) tls() *tls.Config {
	switch e.kind {
	case kindCluster:
		return e.cluster.TLSConfig
	case kindSentinel:
		return e.sentinel.TLSConfig
	default:
		return e.single.TLSConfig
	}
}

// dialer dials the servers of an endpoint that speaks TLS; nil leaves that to the driver.
func (e Endpoint) dialer(timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	if e.tls() == nil {
		return nil
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		raw, err := (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: keepaliveIdle, Interval: keepaliveInterval, Count: keepaliveCount,
		}}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(raw, e.tlsFor(address))
		if err := conn.HandshakeContext(ctx); err != nil {
			_ = raw.Close() // the handshake's failure is the one to tell
			return nil, fmt.Errorf("TLS with %s: %w", address, err)
		}
		return conn, nil
	}
}

// tlsFor is what a connection to an address begins with.
func (e Endpoint) tlsFor(address string) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.access.TLS != nil {
		config = e.access.TLS().Clone()
	}
	config.InsecureSkipVerify = e.tls().InsecureSkipVerify
	config.ServerName = e.serverName(address)
	return config
}

// serverName is what the certificate of the server at an address has to be for. The nodes of a Redis Cluster that
// announce themselves by numbers are known by the name in the URL.
func (e Endpoint) serverName(address string) string {
	if e.access.ServerName != "" {
		return e.access.ServerName
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	if e.kind == kindCluster && net.ParseIP(host) != nil && net.ParseIP(e.urlHost) == nil {
		return e.urlHost
	}
	return host
}

// credentials are asked for before each new connection, so that a password can be changed; nil leaves them as the URL has
// them.
func (e Endpoint) credentials(user, password string) func(context.Context) (string, string, error) {
	if e.access.Password == nil || password != "" {
		return nil
	}
	return func(context.Context) (string, string, error) {
		secret, err := e.access.Password()
		if err != nil {
			return "", "", fmt.Errorf("read the password of %s: %w", e.display, err)
		}
		return user, secret, nil
	}
}
