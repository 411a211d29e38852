// Package pki makes certificates for tests: authorities of the test's own, certificates that
// they sign, and lists of those that they revoke, as files in a folder of the test. Nothing of it
// is for use outside tests.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// validity is how long a certificate is valid, from an hour ago on.
const validity = 24 * time.Hour

// Authority signs certificates.
type Authority struct {
	tb          testing.TB
	dir, name   string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Pair is a certificate with its key, in files.
type Pair struct {
	Cert, Key string
	Leaf      *x509.Certificate
}

// Subject says what a certificate is for.
type Subject struct {
	// File names the files; CommonName is the subject's.
	File, CommonName string
	// Hosts are names and addresses that the certificate is for.
	Hosts []string
	// Expires is when it ends to be valid; zero for a day from now.
	Expires time.Time
}

// New makes an authority whose files are in dir.
func New(tb testing.TB, dir, name string) *Authority {
	tb.Helper()
	a := &Authority{tb: tb, dir: dir, name: name, key: newKey(tb)}
	template := &x509.Certificate{
		SerialNumber: serial(tb), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(validity),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
	}
	a.certificate = sign(tb, template, template, &a.key.PublicKey, a.key)
	Write(tb, a.File(), encode("CERTIFICATE", a.certificate.Raw))
	return a
}

// File holds the authority's own certificate.
func (a *Authority) File() string { return filepath.Join(a.dir, a.name+".pem") }

// PEM is what File holds.
func (a *Authority) PEM() []byte { return encode("CERTIFICATE", a.certificate.Raw) }

// Pool holds the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// Issue makes a certificate, for servers and clients alike. Another one with the same File replaces it.
func (a *Authority) Issue(subject Subject) Pair {
	a.tb.Helper()
	key := newKey(a.tb)
	template := &x509.Certificate{
		SerialNumber: serial(a.tb), Subject: pkix.Name{CommonName: subject.CommonName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(validity), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if !subject.Expires.IsZero() {
		template.NotAfter = subject.Expires
	}
	for _, host := range subject.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.tb.Fatal(err)
	}
	base := filepath.Join(a.dir, subject.File)
	pair := Pair{Cert: base + ".pem", Key: base + "-key.pem", Leaf: sign(a.tb, template, a.certificate, &key.PublicKey, a.key)}
	Write(a.tb, pair.Key, encode("EC PRIVATE KEY", der))
	Write(a.tb, pair.Cert, encode("CERTIFICATE", pair.Leaf.Raw))
	return pair
}

// Server makes a certificate for this machine's loopback addresses.
func (a *Authority) Server(file string) Pair {
	return a.Issue(Subject{File: file, CommonName: "tierd", Hosts: []string{"localhost", "127.0.0.1", "::1"}})
}

// Client makes a certificate for a client.
func (a *Authority) Client(commonName string, hosts ...string) Pair {
	return a.Issue(Subject{File: "client-" + commonName, CommonName: commonName, Hosts: hosts})
}

// Revoke writes a list of revoked certificates, in DER, to a file of the folder, and says where.
func (a *Authority) Revoke(file string, revoked ...Pair) string {
	a.tb.Helper()
	template := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(validity)}
	for _, pair := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: pair.Leaf.SerialNumber, RevocationTime: time.Now().Add(-time.Minute)})
	}
	list, err := x509.CreateRevocationList(rand.Reader, template, a.certificate, a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	path := filepath.Join(a.dir, file)
	Write(a.tb, path, list)
	return path
}

// TLS is what a client needs to trust an authority and to show a certificate; the latter may be zero.
func (a *Authority) TLS(own Pair) *tls.Config {
	a.tb.Helper()
	config := &tls.Config{RootCAs: a.Pool(), MinVersion: tls.VersionTLS12}
	if own.Cert != "" {
		pair, err := tls.LoadX509KeyPair(own.Cert, own.Key)
		if err != nil {
			a.tb.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}

// Write replaces a file as a whole.
func Write(tb testing.TB, path string, content []byte) {
	tb.Helper()
	next := path + ".new"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		tb.Fatal(err)
	}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func serial(tb testing.TB) *big.Int {
	tb.Helper()
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		tb.Fatal(err)
	}
	return number
}

func sign(tb testing.TB, template, parent *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		tb.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return certificate
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
