package certs

import (
	"strings"
	"testing"
)

// FuzzFiles: what lies in a file of certificates, keys or revoked ones is read or refused; a
// refusal has no line of the file in it, which may be a key.
func FuzzFiles(f *testing.F) {
	for _, text := range []string{
		"", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n",
		"-----BEGIN CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0c2VjcmV0c2VjcmV0\n-----END PRIVATE KEY-----\n", "0\x82\x01\x00", "secretsecretsecretsecret",
	} {
		f.Add([]byte(text), []byte(text))
	}
	f.Fuzz(func(t *testing.T, one, other []byte) {
		const bytesMin = 16 // a shorter line may be in any sentence
		for _, parse := range []func([]string, [][]byte) (*reading, error){parsePair, parseAuthorities, parseRevocations} {
			r, err := parse([]string{"FILE", "OTHER"}, [][]byte{one, other})
			if err == nil {
				r.into(&Material{})
				continue
			}
			for line := range strings.Lines(string(one) + "\n" + string(other)) {
				line = strings.TrimSpace(line)
				if len(line) >= bytesMin && !strings.HasPrefix(line, "-----") && strings.Contains(err.Error(), line) {
					t.Fatalf("%q is refused with %q", line, err)
				}
			}
		}
	})
}
