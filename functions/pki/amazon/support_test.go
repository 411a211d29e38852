package amazon_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.uber.org/goleak"

	"github.com/tierd/tierd/functions/pki"
	"github.com/tierd/tierd/functions/pki/amazon"
	"github.com/tierd/tierd/test/secretstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newManager has empty secrets where store looks for them.
func newManager(names ...string) *secretstore.Manager { return secretstore.New("tierd/pki", names...) }

// serve serves a fake service, and says how to reach it.
func serve(t *testing.T, handler http.Handler) amazon.Options {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return amazon.Options{
		Endpoint: server.URL, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""), Client: &http.Client{Transport: transport},
	}
}

// store is the store in a fake.
func store(t *testing.T, m *secretstore.Manager) *amazon.Secrets {
	t.Helper()
	s, err := amazon.NewSecrets(t.Context(), amazon.Place{Prefix: "tierd/pki", Region: "eu-west-1"}, serve(t, m))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(t *testing.T, s pki.Store, name string) pki.Entry {
	t.Helper()
	entry, err := s.Read(context.WithoutCancel(t.Context()), name)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}
