package main

import (
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHealth: the code says whether a frontend is ready, over TLS too, and the error why not.
func TestHealth(t *testing.T) {
	t.Parallel()
	ready := true
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/readyz":
			w.WriteHeader(http.StatusNotFound)
		case !ready:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("[-]linearizable_read failed"))
		}
	})
	plain := httptest.NewServer(handler)
	defer plain.Close()
	secure := httptest.NewUnstartedServer(handler)
	secure.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	secure.StartTLS()
	defer secure.Close()
	authority := filepath.Join(t.TempDir(), "ca.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(environ []string, arguments ...string) (int, string) {
		var out, errOut strings.Builder
		code := run(append([]string{"health"}, arguments...), environ, &out, &errOut)
		return code, errOut.String()
	}
	for _, c := range []struct {
		ready     bool
		environ   []string
		arguments []string
		code      int
		want      string
	}{
		{true, nil, []string{"--endpoint", plain.URL}, 0, ""},
		{true, []string{"TIERD_HEALTH_ENDPOINT=" + plain.URL}, nil, 0, ""},
		{true, []string{"TIERD_HEALTH_ENDPOINT=" + plain.URL}, []string{"--endpoint", "http://127.0.0.1:1"}, 1, "connection refused"},
		{false, nil, []string{"--endpoint", plain.URL}, 1, "not ready: 503 Service Unavailable: [-]linearizable_read failed"},
		{true, nil, []string{"--endpoint", secure.URL, "--cacert", authority}, 0, ""},
		{true, []string{"TIERD_HEALTH_ENDPOINT=" + secure.URL, "TIERD_HEALTH_CACERT=" + authority}, nil, 0, ""},
		{true, nil, []string{"--endpoint", secure.URL}, 1, "certificate"},
		{true, nil, []string{"--endpoint", secure.URL, "--cacert", authority, "--server-name", "other"}, 1, "certificate"},
		{true, nil, []string{"--endpoint", "localhost:2379"}, 2, "--endpoint must be"},
		{true, nil, []string{"--cert", authority}, 2, "must be given together"},
		{true, nil, []string{"--cacert", authority + "x"}, 2, "cannot be read"},
		{true, []string{"TIERD_HEALTH_TIMEOUT=soon"}, nil, 2, "TIERD_HEALTH_TIMEOUT must be a duration"},
	} {
		ready = c.ready
		if code, text := ask(c.environ, c.arguments...); code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%v %v: code %d, %q, want %d, %q", c.environ, c.arguments, code, text, c.code, c.want)
		}
	}
}
