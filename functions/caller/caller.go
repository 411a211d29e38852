// Package caller says who makes a call: what the transport shows of the client, and the
// user that authentication has found. Endpoint makes one for every call, the services
// below it read it, and the audit log writes it down. Nothing outlives the call.
package caller

import (
	"context"
	"sync/atomic"
)

// Caller is one call's client.
type Caller struct {
	// Address is the client's, host:port, or what a unix socket has.
	Address string
	// CommonName is that of the client's verified certificate; empty without one, and for
	// calls that came through the gateway, whose certificate is not the client's own
	// word on a call.
	CommonName string
	// Token is what the client sent as its proof of identity; a secret. Presented says
	// that it sent one: an empty token is a wrong one, not none.
	Token     string
	Presented bool
	// ViaGateway says that the call came through the JSON gateway.
	ViaGateway bool

	user atomic.Pointer[string]
}

// SetUser notes the user that the call was found to come from; empty for nobody.
func (c *Caller) SetUser(name string) { c.user.Store(&name) }

// User is what SetUser noted last; empty before.
func (c *Caller) User() string {
	if name := c.user.Load(); name != nil {
		return *name
	}
	return ""
}

type key struct{}

// With gives a context that carries c.
func With(ctx context.Context, c *Caller) context.Context { return context.WithValue(ctx, key{}, c) }

// From gives the caller that ctx carries. A context without one is the frontend's own
// work: a caller without any property.
func From(ctx context.Context) *Caller {
	if c, ok := ctx.Value(key{}).(*Caller); ok {
		return c
	}
	return &Caller{}
}
