package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"
)

// sinceMark starts the line before a certificate that this package has put into a bundle. Certificates without it were put
// there by somebody else, and stay.
const sinceMark = "# tierd pki: trusted since "

// anchor is an authority in the bundle of those that are trusted.
type anchor struct {
	certificate *x509.Certificate
	// since is when it was first trusted; ours tells that it is known.
	since time.Time
	ours  bool
}

// bundle is what everybody trusts, in the order in which it came to be.
type bundle []anchor

// parseBundle reads a bundle, with the lines before its certificates.
func parseBundle(text []byte) (bundle, error) {
	certificates, err := parseCertificates(text)
	if err != nil {
		return nil, err
	}
	var b bundle
	for _, c := range certificates {
		a := anchor{certificate: c, since: c.NotBefore}
		before, after, _ := bytes.Cut(text, []byte("-----END "+typeCertificate+"-----"))
		text = after
		for line := range strings.Lines(string(before)) {
			when, ours := strings.CutPrefix(line, sinceMark)
			when, _, _ = strings.Cut(when, ",")
			if since, err := time.Parse(time.RFC3339, when); ours && err == nil {
				a.since, a.ours = since, true
			}
		}
		b = append(b, a)
	}
	return b, nil
}

// encode writes the bundle.
func (b bundle) encode() []byte {
	var text bytes.Buffer
	for _, a := range b {
		if a.ours {
			fmt.Fprintf(&text, "%s%s, %s\n", sinceMark, a.since.UTC().Format(time.RFC3339), a.certificate.Subject.CommonName)
		}
		// Writing to a buffer does not fail.
		_ = pem.Encode(&text, &pem.Block{Type: typeCertificate, Bytes: a.certificate.Raw})
	}
	return text.Bytes()
}

// find is the place of an authority, or -1.
func (b bundle) find(c *x509.Certificate) int {
	return slices.IndexFunc(b, func(a anchor) bool { return a.certificate.Equal(c) })
}

// first tells whether no other authority that is still valid was trusted before this one.
func (b bundle) first(c *x509.Certificate, now time.Time) bool {
	return !slices.ContainsFunc(b[:b.find(c)], func(a anchor) bool { return a.ours && now.Before(a.certificate.NotAfter) })
}
