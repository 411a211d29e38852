package oracle_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/oracle"
)

// The reference is the version that tierd is measured against, starts empty at
// revision 1, and two of them share nothing.
func TestFreshAndSeparate(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	first, second := oracle.Start(t, oracle.Options{}), oracle.Start(t, oracle.Options{})

	status, err := first.Client().Status(ctx, first.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(status.Version, "3.7.") || status.Header.Revision != 1 {
		t.Fatalf("version %s, revision %d", status.Version, status.Header.Revision)
	}
	if _, err := first.Client().Put(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}
	got, err := second.Client().Get(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) != 0 || got.Header.Revision != 1 {
		t.Fatalf("a write to one etcd is seen in the other: %v", got)
	}
}
