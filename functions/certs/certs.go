// Package certs reads certificates, keys, certificate authorities and revocation lists
// from files, and again when the files have changed.
//
// It promises:
//
//   - What is given out was read as a whole and fits together: a certificate with its key,
//     a list of authorities that is not empty. A file that is half written, gone or wrong
//     changes nothing: the last good one stays in use, the log says so once, and a metric
//     says so until it is mended.
//   - Current gives what the files hold at that moment; nothing has to be restarted, or
//     told that a file has changed.
//   - No key and no content of a file is in an error, a log line or a metric.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"time"
)

// Files are the paths of a Store; an empty one is not read. Cert and Key go together.
type Files struct {
	// Cert holds a certificate and what leads from it to its authority, Key its key; PEM.
	Cert, Key string
	// CA holds certificates of authorities, PEM.
	CA string
	// CRL holds revocation lists: one in DER, or any number in PEM.
	CRL string
}

// Material is what the files held when they could last be used. It is not changed any more.
type Material struct {
	// Certificate is nil without Files.Cert.
	Certificate *tls.Certificate
	// Authorities is nil without Files.CA.
	Authorities *x509.CertPool

	revoked map[string]struct{}
}

// Revoked is the first of the certificates that a revocation list names, or nil. As in etcd
// it is the serial number that counts, whoever issued list and certificate.
func (m *Material) Revoked(chain []*x509.Certificate) *x509.Certificate {
	for _, c := range chain {
		if _, found := m.revoked[serialKey(c.SerialNumber)]; found {
			return c
		}
	}
	return nil
}

func serialKey(serial *big.Int) string { return serial.Text(16) }

// Components are what a Store is made from.
type Components struct {
	// Use says in logs and metrics what the certificates are for: "server", "hot-tier".
	Use    string
	Logger *slog.Logger
	// Now is the clock, which also dates the files.
	Now     func() time.Time
	Metrics *Metrics
}

// Store gives out the material of some files. It is safe for use by many at once.
type Store struct {
	parts Components
	files Files

	mu      sync.Mutex
	sources []*source
	current *Material
}

// Open reads the files. All of them have to be good: what is wrong at the start is to be seen
// at once.
func Open(files Files, parts Components) (*Store, error) {
	if (files.Cert == "") != (files.Key == "") {
		return nil, errors.New("a certificate and its key only work together")
	}
	s := &Store{parts: parts, files: files, current: &Material{}}
	if files.Cert != "" {
		s.sources = append(s.sources, &source{what: "certificate", paths: []string{files.Cert, files.Key}, parse: parsePair})
	}
	if files.CA != "" {
		s.sources = append(s.sources, &source{what: "authorities", paths: []string{files.CA}, parse: parseAuthorities})
	}
	if files.CRL != "" {
		s.sources = append(s.sources, &source{what: "revocations", paths: []string{files.CRL}, parse: parseRevocations})
	}
	for _, source := range s.sources {
		apply, err := source.read(parts.Now())
		if err != nil {
			return nil, err
		}
		s.take(source, apply)
	}
	return s, nil
}

// Files are the paths that the store reads.
func (s *Store) Files() Files { return s.files }

// Current looks at the files, reads those that have changed, and gives what can be used.
func (s *Store) Current() *Material {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, source := range s.sources {
		apply, err := source.read(s.parts.Now())
		switch {
		case err != nil:
			s.complain(source, err)
		case apply != nil:
			s.take(source, apply)
			s.parts.Logger.Info("certificate files were read again", "use", s.parts.Use, "what", source.what, "files", source.paths)
		default:
			s.mended(source)
		}
	}
	return s.current
}

// take makes what was read the current material.
func (s *Store) take(source *source, apply *reading) {
	next := *s.current
	apply.into(&next)
	s.current = &next
	if now := s.parts.Now(); !apply.expires.IsZero() && apply.expires.Before(now) {
		s.parts.Logger.Warn("what a certificate file holds has expired", "use", s.parts.Use, "what", source.what, "expired", apply.expires)
	}
	s.parts.Metrics.read(s.parts.Use, source.what, apply.expires)
	s.mended(source)
}

// complain says once that a file cannot be used, and counts it once.
func (s *Store) complain(source *source, err error) {
	if source.complaint == err.Error() {
		return
	}
	source.complaint = err.Error()
	s.parts.Metrics.failed(s.parts.Use, source.what)
	s.parts.Logger.Error("a certificate file cannot be used; what was read before stays in use",
		"use", s.parts.Use, "what", source.what, "cause", err)
}

// mended takes back a complaint: the files hold what is in use.
func (s *Store) mended(source *source) {
	if source.complaint != "" {
		source.complaint = ""
		s.parts.Metrics.mended(s.parts.Use, source.what)
	}
}

// Watch looks at the files at an interval until ctx ends, so that logs and metrics tell of them
// even while nobody asks for them. It calls changed, which may be nil, after each change, and once at the beginning for those
// before.
func (s *Store) Watch(ctx context.Context, interval time.Duration, changed func()) {
	last := s.Current()
	if changed != nil {
		changed()
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := s.Current()
		if now != last && changed != nil {
			changed()
		}
		last = now
	}
}

// reading is what was read of some files.
type reading struct {
	into func(*Material)
	// expires is when the first of it ends to be valid; zero if it does not say.
	expires time.Time
}

// wrong is the error of a file that was read and cannot be used.
func wrong(path string, cause error) error { return fmt.Errorf("%s: %w", path, cause) }
