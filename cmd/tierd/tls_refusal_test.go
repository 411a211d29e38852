package main

import (
	"os"
	"path/filepath"
	"testing"
)

// What would be served in another way than its settings say is not served.
func TestRefusalsOfTLS(t *testing.T) {
	t.Parallel()
	const listen, cert, key, ca = "--listen-client-urls=https://localhost:2379", "--cert-file=/nonexistent/c", "--key-file=/nonexistent/k", "--trusted-ca-file=/nonexistent/a"
	cases := []struct {
		name      string
		arguments []string
		want      string
	}{
		{"no certificate", []string{listen}, "--listen-client-urls https://localhost:2379 asks for TLS, and there is no certificate: give --cert-file and --key-file, or --auto-tls."},
		{"no certificate for metrics", []string{"--listen-metrics-urls=unixs:///run/m"}, "--listen-metrics-urls unixs:///run/m asks for TLS, and there is no certificate: give --cert-file and --key-file, or --auto-tls."},
		{"no key", []string{listen, cert}, "--cert-file and --key-file only work together."},
		{"plaintext", []string{"--listen-client-urls=http://0.0.0.0:2379", "--advertise-client-urls=http://a:2379"},
			"--listen-client-urls http://0.0.0.0:2379 would be served to other machines without TLS: listen on https:// with --cert-file and --key-file or with --auto-tls, or allow it with --insecure-plaintext."},
		{"plaintext by name", []string{"--listen-metrics-urls=http://db.example:2381"},
			"--listen-metrics-urls http://db.example:2381 would be served to other machines without TLS: listen on https:// with --cert-file and --key-file or with --auto-tls, or allow it with --insecure-plaintext."},
		{"version", []string{"--tls-min-version=TLS1.1"}, `--tls-min-version must be TLS1.2 or TLS1.3, not "TLS1.1".`},
		{"versions", []string{"--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"}, "--tls-min-version TLS1.3 is above --tls-max-version TLS1.2."},
		{"cipher suites of 1.3", []string{"--tls-min-version=TLS1.3", "--cipher-suites=TLS_AES_128_GCM_SHA256"},
			"--cipher-suites chooses those of TLS 1.2, and --tls-min-version TLS1.3 leaves none of them: nothing can be chosen in TLS 1.3."},
		{"cipher suite", []string{"--cipher-suites=TLS_NONE"}, `--cipher-suites names "TLS_NONE", which is none of Go's cipher suites.`},
		{"names and hosts", []string{listen, cert, key, ca, "--client-cert-allowed-cn=a", "--client-cert-allowed-hostname=b"},
			"--client-cert-allowed-cn and --client-cert-allowed-hostname exclude each other."},
		{"clients without authority", []string{listen, cert, key, "--client-cert-auth"},
			"--client-cert-auth needs --trusted-ca-file: else every certificate of a public authority would do."},
		{"revocations without authority", []string{listen, cert, key, "--client-crl-file=r"},
			"--client-crl-file needs --trusted-ca-file: else clients show no certificate that could be revoked."},
		{"names without authority", []string{listen, cert, key, "--client-cert-allowed-cn=a"},
			"--client-cert-allowed-cn and --client-cert-allowed-hostname need --trusted-ca-file: else clients show no certificate."},
		{"validity", []string{listen, "--auto-tls", "--self-signed-cert-validity=0"}, "--self-signed-cert-validity must be from 1 to 100 years, not 0."},
		{"no file", []string{listen, cert, key, "--data-dir=" + filepath.Join(t.TempDir(), "d")},
			"--cert-file, --key-file, --trusted-ca-file or --client-crl-file cannot be used: stat /nonexistent/c: no such file or directory."},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			arguments := append([]string{"serve", "--log-outputs=" + os.DevNull}, c.arguments...)
			expectRefusal(t, arguments, nil, c.want)
		})
	}
}
