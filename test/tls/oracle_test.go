package tls_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/crypto/bcrypt"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/oracle"
	"github.com/tierd/tierd/test/pki"
)

// settings are those of TLS that etcd and tierd have in common.
type settings struct {
	hostnames              []string
	minVersion, maxVersion string
	cipherSuites           []string
	withoutClients         bool
}

// pair is an etcd and a frontend with the same settings and the same files.
type pair struct {
	authority   *pki.Authority
	revoked     pki.Pair
	etcd, tierd target
}

// startBoth starts both.
func startBoth(t *testing.T, s settings) *pair {
	t.Helper()
	p := &pair{authority: pki.New(t, t.TempDir(), "authority")}
	own := p.authority.Server("server")
	p.revoked = p.authority.Client("revoked", "client.example")
	crl := p.authority.Revoke("crl", p.revoked)
	p.startEtcd(t, s, own, crl)

	metrics := fmt.Sprintf("127.0.0.1:%d", cluster.FreePort(t))
	args := []string{"--bcrypt-cost", fmt.Sprint(bcrypt.MinCost), "--cert-file", own.Cert, "--key-file", own.Key, "--listen-metrics-urls", "https://" + metrics}
	if !s.withoutClients {
		args = append(args, "--client-cert-auth", "--trusted-ca-file", p.authority.File(), "--client-crl-file", crl)
	}
	for _, host := range s.hostnames {
		args = append(args, "--client-cert-allowed-hostname", host)
	}
	for _, suite := range s.cipherSuites {
		args = append(args, "--cipher-suites", suite)
	}
	if s.minVersion != "" {
		args = append(args, "--tls-min-version", s.minVersion)
	}
	if s.maxVersion != "" {
		args = append(args, "--tls-max-version", s.maxVersion)
	}
	f := cluster.StartFrontend(t, cluster.FrontendOptions{TLS: p.authority.TLS(p.authority.Client("prober", "client.example")), Args: args})
	p.tierd = target{address: f.Address(), metrics: metrics}
	return p
}

func (p *pair) startEtcd(t *testing.T, s settings, own pki.Pair, crl string) {
	t.Helper()
	metrics := fmt.Sprintf("127.0.0.1:%d", cluster.FreePort(t))
	oracle.Start(t, oracle.Options{Configure: func(c *embed.Config) {
		c.ListenClientUrls[0].Scheme, c.AdvertiseClientUrls[0].Scheme = "https", "https"
		p.etcd = target{address: c.ListenClientUrls[0].Host, metrics: metrics}
		c.ListenMetricsUrls = []url.URL{{Scheme: "https", Host: metrics}}
		info := &c.ClientTLSInfo
		info.CertFile, info.KeyFile = own.Cert, own.Key
		if !s.withoutClients {
			info.TrustedCAFile, info.ClientCertAuth, info.CRLFile, info.AllowedHostnames = p.authority.File(), true, crl, s.hostnames
		}
		c.CipherSuites, c.BcryptCost = s.cipherSuites, uint(bcrypt.MinCost)
		if s.minVersion != "" {
			c.TlsMinVersion = s.minVersion
		}
		c.TlsMaxVersion = s.maxVersion
	}})
}

// TestSameAsEtcd: with the same settings, the same clients get in, by each way, as with etcd.
func TestSameAsEtcd(t *testing.T) {
	t.Parallel()
	// etcd does not serve at all without this one.
	const suite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
	for name, s := range map[string]settings{
		"clients with certificates": {},
		"allowed host names":        {hostnames: []string{"client.example"}},
		"server alone":              {withoutClients: true},
		"1.3 only":                  {minVersion: "TLS1.3"},
		"1.2 only":                  {maxVersion: "TLS1.2", cipherSuites: []string{suite}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startBoth(t, s)
			p.compare(t, s)
		})
	}
}

// clients are those that are compared.
func (p *pair) clients(t *testing.T) map[string]*tls.Config {
	t.Helper()
	good := func(change func(*tls.Config)) *tls.Config {
		config := p.authority.TLS(p.authority.Client("good", "client.example"))
		change(config)
		return config
	}
	return map[string]*tls.Config{
		"good":      good(func(*tls.Config) {}),
		"good, 1.2": good(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }),
		"good, 1.1": good(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }),
		"good, a suite": good(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		}),
		"good, no suite": good(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
		}),
		"of another name": p.authority.TLS(p.authority.Client("other", "other.example")),
		"without a name":  p.authority.TLS(p.authority.Client("nameless")),
		"no certificate":  p.authority.TLS(pki.Pair{}),
		"revoked":         p.authority.TLS(p.revoked),
		"expired":         p.authority.TLS(p.authority.Issue(pki.Subject{File: "expired", CommonName: "x", Expires: time.Now().Add(-time.Minute)})),
		"foreign":         foreign(t, p.authority),
		"trusts another":  pki.New(t, t.TempDir(), "other").TLS(pki.Pair{}),
	}
}

// foreign is a client that trusts an authority, and has a certificate of another one.
func foreign(t *testing.T, trusted *pki.Authority) *tls.Config {
	t.Helper()
	other := pki.New(t, t.TempDir(), "other")
	config := other.TLS(other.Client("good", "client.example"))
	config.RootCAs = trusted.Pool()
	return config
}

// byAccident tells whether etcd refuses a client that it has no reason to refuse: on addresses of metrics it holds the names
// of a client's certificate against the client's address, and its gateway, a client of etcd itself, does not accept the
// server where host names are limited.
func byAccident(s settings, w way, client string) bool {
	return w.name == "metrics address" && client != "no certificate" && client != "without a name" || w.name == "gateway" && len(s.hostnames) > 0
}

func (p *pair) compare(t *testing.T, s settings) {
	t.Helper()
	entered, refused := 0, 0
	for name, config := range p.clients(t) {
		for _, w := range ways() {
			if byAccident(s, w, name) {
				continue
			}
			results := make(map[string]error)
			for server, to := range map[string]target{"etcd": p.etcd, "tierd": p.tierd} {
				ctx, cancel := context.WithTimeout(t.Context(), bound)
				results[server] = w.enter(ctx, to, config.Clone())
				cancel()
			}
			if (results["etcd"] == nil) != (results["tierd"] == nil) {
				t.Errorf("%+v: %s, %s: etcd %v, tierd %v", s, w.name, name, results["etcd"], results["tierd"])
			}
			if results["tierd"] == nil {
				entered++
			} else {
				refused++
			}
		}
	}
	if entered == 0 || refused == 0 {
		t.Errorf("%d got in and %d were refused: this compares nothing", entered, refused)
	}
}
