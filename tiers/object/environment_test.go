package object_test

import (
	"io"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/objectstore"
	"github.com/tierd/tierd/test/pki"
	"github.com/tierd/tierd/tiers/object"
)

// TestEnvironment: credentials and the region come from where the AWS tools look, here
// from the environment. It changes that, so no other test runs meanwhile.
func TestEnvironment(t *testing.T) {
	location, err := object.ParseLocation(objectstore.Start(t).URL("p"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range objectstore.Env() {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
	t.Setenv("AWS_REGION", location.Region)
	location.Region = ""
	store, err := object.Open(t.Context(), location, object.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.(io.Closer).Close()
	create(t, store, "a", []byte("x"))

	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	refused, err := object.Open(t.Context(), location, object.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer refused.(io.Closer).Close()
	err = refused.Replace(t.Context(), "a", nil)
	if err == nil || !strings.Contains(err.Error(), object.ErrDenied.Error()) || strings.Contains(err.Error(), "another") {
		t.Fatalf("with another secret: got %v", err)
	}
	t.Log(err)

	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	location.Endpoint = ""
	if _, err := object.Open(t.Context(), location, object.Options{}); err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Fatalf("without a region: got %v", err)
	}
}

// TestAuthorities: a store whose certificate comes from an authority that the system does not know is reached with
// AWS_CA_BUNDLE, and not without.
func TestAuthorities(t *testing.T) {
	authority := pki.New(t, t.TempDir(), "authority")
	location, err := object.ParseLocation(objectstore.StartTLS(t, authority).URL("p"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range objectstore.Env() {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
	for bundle, want := range map[string]string{
		authority.File(): "", "": "unknown authority", pki.New(t, t.TempDir(), "another").File(): "unknown authority",
	} {
		t.Setenv("AWS_CA_BUNDLE", bundle)
		store, err := object.Open(t.Context(), location, object.Options{Limits: object.Limits{Attempts: 1}})
		if err != nil {
			t.Fatal(err)
		}
		err = store.Replace(t.Context(), "a", []byte("x"))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("with the bundle %q: got %v, want %q", bundle, err, want)
		}
		if err := store.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	}
	t.Setenv("AWS_CA_BUNDLE", t.TempDir()+"/missing")
	if _, err := object.Open(t.Context(), location, object.Options{}); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("with a bundle that is not there: got %v", err)
	}
}
