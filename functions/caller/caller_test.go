package caller_test

import (
	"context"
	"testing"

	"github.com/tierd/tierd/functions/caller"
)

func TestContextCarriesTheCaller(t *testing.T) {
	t.Parallel()
	c := &caller.Caller{Address: "192.0.2.1:4711", CommonName: "alice"}
	ctx := caller.With(context.Background(), c)
	if got := caller.From(ctx); got != c {
		t.Fatalf("From gave %p, not the caller %p that With was given", got, c)
	}
	caller.From(ctx).SetUser("root")
	if got := c.User(); got != "root" {
		t.Errorf("User() = %q after SetUser(root)", got)
	}
}

func TestNobody(t *testing.T) {
	t.Parallel()
	c := caller.From(context.Background())
	if c == nil || c.Address != "" || c.CommonName != "" || c.Token != "" || c.User() != "" {
		t.Errorf("a context without a caller gave %+v", c)
	}
}
