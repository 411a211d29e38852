//go:build e2e

package kubernetes_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// adminToken authenticates as a member of system:masters.
const adminToken = "admin-token-of-the-test"

// credentials are the files that the control plane is started with.
type credentials struct {
	dir string
	// serving is the certificate of the API server, which is its own authority.
	serving, servingKey string
	// accountKey signs the tokens of service accounts.
	accountKey string
	tokens     string
	pool       *x509.CertPool
}

func newCredentials(t *testing.T, dir string) credentials {
	t.Helper()
	c := credentials{
		dir:        dir,
		serving:    filepath.Join(dir, "serving.crt"),
		servingKey: filepath.Join(dir, "serving.key"),
		accountKey: filepath.Join(dir, "accounts.key"),
		tokens:     filepath.Join(dir, "tokens.csv"),
		pool:       x509.NewCertPool(),
	}
	key := writeKey(t, c.servingKey)
	writeKey(t, c.accountKey)
	certificate := selfSigned(t, key)
	c.pool.AppendCertsFromPEM(certificate)
	writeFile(t, c.serving, certificate)
	writeFile(t, c.tokens, []byte(adminToken+`,admin,admin-uid,"system:masters"`+"\n"))
	return c
}

func writeKey(t *testing.T, path string) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	return key
}

func selfSigned(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "kube-apiserver"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost", "kubernetes.default.svc"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// writeKubeconfig writes how to reach the API server as administrator.
func (c credentials) writeKubeconfig(t *testing.T, server string) string {
	t.Helper()
	path := filepath.Join(c.dir, "kubeconfig")
	writeFile(t, path, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: local, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: admin, user: {token: %q}}]
contexts: [{name: local, context: {cluster: local, user: admin}}]
current-context: local
`, server, c.serving, adminToken))
	return path
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
