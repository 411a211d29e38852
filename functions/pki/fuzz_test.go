package pki

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"time"
)

// FuzzAuthorities reads what could be in a store's files: what is taken is written again as it was, and what is refused is refused
// with a sentence that holds nothing of it.
func FuzzAuthorities(f *testing.F) {
	now := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	var both []*authority
	for range 2 {
		a, err := newAuthority(now, time.Hour, rand.Reader)
		if err != nil {
			f.Fatal(err)
		}
		both = append(both, a)
	}
	secret, err := encodeAuthorities(both)
	if err != nil {
		f.Fatal(err)
	}
	whole := bytes.Join([][]byte{secret.Certificate, secret.Key}, nil)
	trusted := bundle{{certificate: both[0].certificate, since: now, ours: true}, {certificate: both[1].certificate}}.encode()
	for _, seed := range [][]byte{nil, whole, whole[:len(whole)-40], trusted, trusted[:len(trusted)/2], append([]byte(sinceMark+"yesterday\n"), trusted...)} {
		f.Add(seed)
	}
	const lineMin = 16
	f.Fuzz(func(t *testing.T, text []byte) {
		if b, err := parseBundle(text); err == nil {
			again, err := parseBundle(b.encode())
			if err != nil || len(again) != len(b) {
				t.Fatalf("a bundle of %d is one of %d: %v", len(b), len(again), err)
			}
			for i := range b {
				if again[i].ours != b[i].ours || b[i].ours && !again[i].since.Equal(b[i].since) || !again[i].certificate.Equal(b[i].certificate) {
					t.Fatalf("%+v was written as %+v", b[i], again[i])
				}
			}
		}
		found, err := parseAuthorities(splitAuthority(text), rand.Reader)
		if err == nil {
			if _, err := encodeAuthorities(found); err != nil {
				t.Fatal(err)
			}
			return
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); len(line) >= lineMin && !strings.HasPrefix(line, "-----") && strings.Contains(err.Error(), line) {
				t.Fatalf("%q is refused with %q", line, err)
			}
		}
	})
}
