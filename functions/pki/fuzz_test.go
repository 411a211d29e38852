package pki

import (
	"crypto/rand"
	"os"
	"slices"
	"strings"
	"testing"
)

// FuzzAuthorities reads what could be in a store's files: what is taken is written again as it was, and what is refused is refused
// with a sentence that holds nothing of it.
func FuzzAuthorities(f *testing.F) {
	trusted, err := os.ReadFile("testdata/ca.crt")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{
		nil, trusted, trusted[:len(trusted)/2], slices.Concat(trusted, trusted), append([]byte(sinceMark+"yesterday\n"), trusted...),
		[]byte("-----BEGIN PRIVATE KEY-----\nc2VjcmV0c2VjcmV0c2VjcmV0\n-----END PRIVATE KEY-----\n"), []byte("secretsecretsecretsecret"),
	} {
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
