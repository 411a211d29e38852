package pki

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"time"
)

// authority is a certificate that signs, with its key.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	random      io.Reader
}

// newAuthority makes an authority. Its name is its own, so that no program takes two of them for one.
func newAuthority(now time.Time, validity time.Duration, random io.Reader) (*authority, error) {
	serial, err := newSerial(random)
	if err != nil {
		return nil, err
	}
	key, err := newKey(random)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"tierd"}, CommonName: fmt.Sprintf("tierd authority %08x", uint32(serial.Uint64()))},
		NotBefore:    now.Add(-backdated), NotAfter: now.Add(validity),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(random, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign an authority's certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read an authority's certificate: %w", err)
	}
	return &authority{certificate: certificate, key: key, random: random}, nil
}

// Anchor implements Signer.
func (a *authority) Anchor(context.Context) (*x509.Certificate, error) { return a.certificate, nil }

// Sign implements Signer. No certificate outlasts the authority.
func (a *authority) Sign(_ context.Context, template *x509.Certificate, key crypto.Signer) ([]byte, error) {
	if template.NotAfter.After(a.certificate.NotAfter) {
		shorter := *template
		shorter.NotAfter = a.certificate.NotAfter
		template = &shorter
	}
	der, err := x509.CreateCertificate(a.random, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: typeCertificate, Bytes: der}), nil
}

// encodeAuthorities writes authorities as they are kept: certificates in one text, keys in the other, in one order.
func encodeAuthorities(authorities []*authority) (Secret, error) {
	var s Secret
	for _, a := range authorities {
		key, err := encodeKey(a.key)
		if err != nil {
			return Secret{}, err
		}
		s.Certificate = append(s.Certificate, encodeCertificate(a.certificate)...)
		s.Key = append(s.Key, key...)
	}
	return s, nil
}

// parseAuthorities reads them. All of it has to be good: nothing is thrown away that cannot be read.
func parseAuthorities(s Secret, random io.Reader) ([]*authority, error) {
	certificates, err := parseCertificates(s.Certificate)
	if err != nil {
		return nil, err
	}
	if len(certificates) > authoritiesMax {
		return nil, fmt.Errorf("it has %d authorities, more than %d", len(certificates), authoritiesMax)
	}
	var authorities []*authority
	rest := s.Key
	for _, c := range certificates {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("it has fewer keys than certificates")
		}
		pair, err := tls.X509KeyPair(encodeCertificate(c), pem.EncodeToMemory(block))
		if err != nil {
			return nil, err
		}
		key, isSigner := pair.PrivateKey.(crypto.Signer)
		if !isSigner || !c.IsCA {
			return nil, fmt.Errorf("%s is no authority's certificate", c.Subject.CommonName)
		}
		authorities = append(authorities, &authority{certificate: c, key: key, random: random})
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("it has more keys than certificates")
	}
	return authorities, nil
}
