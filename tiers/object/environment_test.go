package object_test

import (
	"io"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/objectstore"
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
