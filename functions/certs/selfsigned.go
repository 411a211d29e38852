package certs

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
	"slices"
	"time"
)

// serialBits is the size of a serial number.
const serialBits = 128

// SelfSigned makes a certificate for hosts, names or addresses, that nobody has signed but itself, and its
// key, in a directory; unless there is one that is still valid. It says where they are and whether they are
// new.
func SelfSigned(dir string, hosts []string, validity time.Duration, now time.Time) (files Files, made bool, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return Files{}, false, fmt.Errorf("make a certificate: %w", err)
	}
	files = Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	if usable(files, now) {
		return files, false, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return files, false, fmt.Errorf("make a certificate: %w", err)
	}
	certificate, key, err := selfSigned(hosts, validity, now)
	if err != nil {
		return files, false, fmt.Errorf("make a certificate: %w", err)
	}
	// The key first: a certificate without its key is replaced at the next start.
	if err := writePEM(files.Key, "EC PRIVATE KEY", key, 0o600); err != nil {
		return files, false, fmt.Errorf("make a certificate: %w", err)
	}
	if err := writePEM(files.Cert, typeCertificate, certificate, 0o644); err != nil {
		return files, false, fmt.Errorf("make a certificate: %w", err)
	}
	return files, true, nil
}

// usable tells whether there is a certificate with its key that is valid now.
func usable(files Files, now time.Time) bool {
	found := &source{paths: []string{files.Cert, files.Key}, parse: parsePair}
	result, err := found.read(now)
	return err == nil && now.Before(result.expires)
}

func selfSigned(hosts []string, validity time.Duration, now time.Time) (certificate, key []byte, err error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"tierd"}},
		NotBefore: now, NotAfter: now.Add(validity),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	slices.Sort(hosts)
	for _, host := range slices.Compact(hosts) {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if host != "" {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if certificate, err = x509.CreateCertificate(rand.Reader, template, template, private.Public(), private); err != nil {
		return nil, nil, err
	}
	key, err = x509.MarshalECPrivateKey(private)
	return certificate, key, err
}

// writePEM replaces a file as a whole.
func writePEM(path, kind string, content []byte, mode os.FileMode) error {
	next := path + ".new"
	if err := os.WriteFile(next, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), mode); err != nil {
		return err
	}
	return os.Rename(next, path)
}
