package tls_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/secretstore"
)

// TestCertificatesFromSecretsManager runs the programs of a deployment: one that waits for certificates beside a frontend, as a
// container does, before there are any; the job that makes them; and the check that the frontend waits for. Secrets Manager
// is away for a while, which changes nothing.
func TestCertificatesFromSecretsManager(t *testing.T) {
	t.Parallel()
	m := secretstore.New("tierd/pki", "ca", "ca-key", "server", "client-root")
	away := make(chan struct{})
	faulty := func(string, string) secretstore.Fault {
		select {
		case <-away:
			return secretstore.Lost
		default:
			return secretstore.None
		}
	}
	m.Faults, m.Final = faulty, true
	server := httptest.NewServer(http.HandlerFunc(m.ServeHTTP))
	t.Cleanup(server.Close)
	to, binary := filepath.Join(t.TempDir(), "run"), cluster.Binary(t, false)
	env := []string{
		"TIERD_PKI_STORE=secretsmanager://tierd/pki?region=eu-west-1", "TIERD_PKI_TO=" + to, "TIERD_PKI_ONLY=server,ca",
		"TIERD_PKI_SERVER_NAME=localhost,127.0.0.1", "TIERD_PKI_CLIENT=root",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER=" + server.URL, "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=SECRETOFAWS", "AWS_EC2_METADATA_DISABLED=true",
	}
	run := func(arguments ...string) (string, error) {
		out, err := cluster.RunTool(t.Context(), binary, env, append([]string{"pki"}, arguments...)...)
		return string(out), err
	}
	_, err := run("fetch")
	if exit := (*cluster.ToolError)(nil); !errors.As(err, &exit) || !strings.Contains(err.Error(), "it is not there yet") {
		t.Errorf("fetching what is not there: %v", err)
	}
	beside := cluster.NewProcess(t, cluster.Command{Name: "certificates", Path: binary, Args: []string{"pki", "fetch", "--wait", "1m", "--watch", "50ms"}, Env: env, LogDir: cluster.Folder(t)})
	beside.Start()
	if _, err := run("fetch", "--check"); err == nil {
		t.Error("the check has found what is not there")
	}
	if _, err := run("renew"); err != nil {
		t.Fatalf("%v", err)
	}
	check := func() error { _, err := run("fetch", "--check"); return err }
	cluster.Await(t, bound, "the certificates are there", check)
	if list, err := run("list", "--client", "root"); err != nil || strings.Count(list, "tierd authority") != 4 {
		t.Errorf("%v:\n%s", err, list)
	}
	close(away)
	cluster.Await(t, bound, "it tells that the store is away", func() error {
		if !strings.Contains(beside.Log(), "and is tried again in 50ms") {
			return errors.New("not yet")
		}
		return nil
	})
	if err := check(); err != nil {
		t.Errorf("while the store is away: %v", err)
	}
	if code := beside.Terminate(bound); code != 0 {
		t.Errorf("it ended with code %d:\n%s", code, beside.Log())
	}
	if log := beside.Log(); strings.Contains(log, "PRIVATE KEY") || strings.Contains(log, "SECRETOFAWS") {
		t.Error("the log has a secret")
	}
	entries, err := os.ReadDir(to)
	if err != nil || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.Contains(e.Name(), "client") || e.Name() == "ca.key" }) {
		t.Errorf("%v, %v", entries, err)
	}
}
