package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"regexp"
	"slices"
	"strings"
)

const (
	// serialBits is the size of a serial number.
	serialBits = 127
	// hostBytesMax is the longest name that DNS has.
	hostBytesMax = 253

	typeCertificate = "CERTIFICATE"
	typeKey         = "PRIVATE KEY"
)

// hostPattern is what a host may be called; a certificate may be for all hosts of a domain.
var hostPattern = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

func checkHost(name string) error {
	if net.ParseIP(name) == nil && (len(name) > hostBytesMax || !hostPattern.MatchString(name)) {
		return fmt.Errorf("a server's name must be a host name or an address, not %q", name)
	}
	return nil
}

// newKey makes a key on P-256, which every TLS library knows.
func newKey(random io.Reader) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

func newSerial(random io.Reader) (*big.Int, error) {
	serial, err := rand.Int(random, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil // 0 is no serial number
}

func encodeCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: typeCertificate, Bytes: c.Raw})
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: typeKey, Bytes: der}), nil
}

// parsePair reads a certificate, what leads to its authority, and tells whether the key is its.
func parsePair(s Secret) ([]*x509.Certificate, error) {
	pair, err := tls.X509KeyPair(s.Certificate, s.Key)
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for _, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// parseCertificates reads all certificates of a text in PEM.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != typeCertificate {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	if len(found) == 0 || len(found) != bytes.Count(text, []byte("-----BEGIN "+typeCertificate+"-----")) {
		return nil, errors.New("it is not whole certificates in PEM")
	}
	return found, nil
}

// leadsTo tells whether a chain was signed by an authority, directly or by others in the chain. Times do not matter.
func leadsTo(chain []*x509.Certificate, anchor *x509.Certificate) bool {
	at := chain[0]
	for range chain {
		if at.CheckSignatureFrom(anchor) == nil {
			return true
		}
		next := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return c != at && at.CheckSignatureFrom(c) == nil })
		if next < 0 {
			return false
		}
		at = chain[next]
	}
	return false
}

// hostsOf are the names and addresses that a certificate is for, sorted.
func hostsOf(c *x509.Certificate) []string {
	hosts := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return sortedHosts(hosts)
}

// sortedHosts are names and addresses in the one form and order in which they can be compared.
func sortedHosts(names []string) []string {
	hosts := make([]string, 0, len(names))
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			hosts = append(hosts, ip.String())
		} else {
			hosts = append(hosts, strings.ToLower(name))
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}
