package tls_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/pki"
)

// TestAllowedCommonNames: who has another name gets in nowhere, nor does one whose certificate is revoked while the frontend
// runs. Etcd has the setting for its peers only.
func TestAllowedCommonNames(t *testing.T) {
	t.Parallel()
	f := start(t, cluster.FrontendOptions{}, "--client-cert-allowed-cn", "prober,alice,bob")
	alice, bob := f.authority.Client("alice"), f.authority.Client("bob")
	expect(t, f.target, f.authority.TLS(alice), "one who is allowed", true)
	expect(t, f.target, f.authority.TLS(bob), "another who is allowed", true)
	expect(t, f.target, f.authority.TLS(f.authority.Client("carol")), "one who is not allowed", false)
	expect(t, f.target, f.authority.TLS(pki.Pair{}), "nobody", false)
	f.authority.Revoke("crl", bob)
	expect(t, f.target, f.authority.TLS(bob), "one who is revoked", false)
	expect(t, f.target, f.authority.TLS(alice), "one who is allowed still", true)
}

// TestSilentClients: connections whose handshake does not go on are in nobody's way.
func TestSilentClients(t *testing.T) {
	t.Parallel()
	f := start(t, cluster.FrontendOptions{})
	for _, address := range []string{f.target.address, f.target.metrics} {
		for range 100 {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			// The beginning of a record, whose rest never comes.
			if _, err := conn.Write([]byte{22, 3, 1, 2, 0, 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect(t, f.target, f.authority.TLS(f.authority.Client("alice")), "beside clients that say nothing", true)
	f.Stop()
}

// TestAutoTLS: a certificate is made once, and found again.
func TestAutoTLS(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(cluster.Folder(t), "data")
	// The certificate is not there yet: the first start is awaited without it.
	f := cluster.StartFrontend(t, cluster.FrontendOptions{
		DataDir: dir, TLS: &tls.Config{InsecureSkipVerify: true}, Args: []string{"--auto-tls", "--self-signed-cert-validity", "2"},
	})
	path := filepath.Join(dir, "fixtures", "client", "cert.pem")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(content)
	client := cluster.DialTLS(t, &tls.Config{RootCAs: pool}, f.Endpoint())
	if _, err := client.Put(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	f.Stop()
	f.Restart()
	if again, err := os.ReadFile(path); err != nil || string(again) != string(content) {
		t.Errorf("the certificate was made anew, or is gone: %v", err)
	}
	if got, err := client.Get(t.Context(), "k"); err != nil || len(got.Kvs) != 1 {
		t.Errorf("a client that trusts it, after a restart: %v, %v", got, err)
	}
}
