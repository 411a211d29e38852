package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"time"
)

// Types of the blocks of PEM.
const (
	typeCertificate = "CERTIFICATE"
	typeRevocations = "X509 CRL"
)

// parsePair reads a certificate and its key, which have to belong together: while one of them is
// new and the other is not yet, they do not.
func parsePair(paths []string, contents [][]byte) (*reading, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return nil, wrong(paths[0]+" with "+paths[1], err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, wrong(paths[0], err)
		}
	}
	return &reading{into: func(m *Material) { m.Certificate = &pair }, expires: pair.Leaf.NotAfter}, nil
}

// parseAuthorities reads certificates. Each has to be good: of a file that is cut off in the middle,
// the first ones would be.
func parseAuthorities(paths []string, contents [][]byte) (*reading, error) {
	pool := x509.NewCertPool()
	var expires time.Time
	count := 0
	err := eachBlock(contents[0], func(block *pem.Block) error {
		if block.Type != typeCertificate {
			return nil // such as a comment, or a key that has no business here
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		if count++; expires.IsZero() || c.NotAfter.Before(expires) {
			expires = c.NotAfter
		}
		pool.AddCert(c)
		return nil
	})
	switch {
	case err != nil:
		return nil, wrong(paths[0], err)
	case count == 0:
		return nil, wrong(paths[0], errors.New("holds no certificate in PEM"))
	case count != begun(contents[0], typeCertificate):
		return nil, wrong(paths[0], errors.New("holds a part of a certificate"))
	}
	return &reading{into: func(m *Material) { m.Authorities = pool }, expires: expires}, nil
}

// parseRevocations reads one list in DER, as etcd does, or lists in PEM. An empty file is no list:
// one that revokes nothing has a signature, too.
func parseRevocations(paths []string, contents [][]byte) (*reading, error) {
	revoked := make(map[string]struct{})
	var expires time.Time
	add := func(der []byte) error {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return err
		}
		for _, entry := range list.RevokedCertificateEntries {
			revoked[serialKey(entry.SerialNumber)] = struct{}{}
		}
		if next := list.NextUpdate; !next.IsZero() && (expires.IsZero() || next.Before(expires)) {
			expires = next
		}
		return nil
	}
	if !bytes.Contains(contents[0], []byte("-----BEGIN")) {
		if err := add(contents[0]); err != nil {
			return nil, wrong(paths[0], err)
		}
	} else if err := pemLists(contents[0], add); err != nil {
		return nil, wrong(paths[0], err)
	}
	return &reading{into: func(m *Material) { m.revoked = revoked }, expires: expires}, nil
}

// pemLists hands over each list in PEM.
func pemLists(content []byte, add func(der []byte) error) error {
	count := 0
	err := eachBlock(content, func(block *pem.Block) error {
		if block.Type != typeRevocations {
			return nil
		}
		count++
		return add(block.Bytes)
	})
	switch {
	case err != nil:
		return err
	case count == 0:
		return errors.New("holds no revocation list")
	case count != begun(content, typeRevocations):
		return errors.New("holds a part of a revocation list")
	}
	return nil
}

// eachBlock hands over every block of PEM that is whole.
func eachBlock(content []byte, visit func(*pem.Block) error) error {
	for {
		block, after := pem.Decode(content)
		if block == nil {
			return nil
		}
		if err := visit(block); err != nil {
			return err
		}
		content = after
	}
}

// begun counts the blocks of a type that begin, whole or not.
func begun(content []byte, kind string) int {
	return bytes.Count(content, []byte("-----BEGIN "+kind+"-----"))
}
