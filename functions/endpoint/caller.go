package endpoint

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/tierd/tierd/functions/caller"
)

const (
	// pipeNetwork is the network of an in-process connection. On the clients' server
	// only the gateway has one.
	pipeNetwork = "bufconn"
	// addressField carries the address of an HTTP client from the gateway to its call.
	addressField = "tierd-client-address"
	// loanField carries the number of a lent caller to the loopback.
	loanField = "tierd-caller"
	// gatewayField marks the calls of any gateway, also of one in another process.
	gatewayField = "grpcgateway-accept"
	// bearer is what may stand before a token.
	bearer = "Bearer "
)

// identify gives every call its caller, before anything else looks at it. With
// commonNames, that of a client's verified certificate is part of it.
type identify struct{ commonNames bool }

func (i identify) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return handler(identified(ctx, i.commonNames), req)
}

func (i identify) stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, &knownStream{ServerStream: ss, ctx: identified(ss.Context(), i.commonNames)})
}

// identified gives a context that carries the call's caller.
func identified(ctx context.Context, commonNames bool) context.Context {
	c := &caller.Caller{}
	c.Token, c.Presented = presentedToken(ctx)
	if p, ok := peer.FromContext(ctx); ok {
		describePeer(ctx, c, p, commonNames)
	}
	return caller.With(ctx, c)
}

// presentedToken is the token of a call; etcd knows two fields for it, and looks at
// the first value of the first field that is there.
func presentedToken(ctx context.Context) (token string, presented bool) {
	for _, field := range [...]string{rpctypes.TokenFieldNameGRPC, rpctypes.TokenFieldNameSwagger} {
		if values := metadata.ValueFromIncomingContext(ctx, field); len(values) > 0 {
			return strings.TrimPrefix(values[0], bearer), true
		}
	}
	return "", false
}

func describePeer(ctx context.Context, c *caller.Caller, p *peer.Peer, commonNames bool) {
	if p.Addr != nil && p.Addr.Network() == pipeNetwork {
		c.ViaGateway = true
		// Clients can send the field too; the gateway's own value comes last.
		if values := metadata.ValueFromIncomingContext(ctx, addressField); len(values) > 0 {
			c.Address = values[len(values)-1]
		}
		return
	}
	if p.Addr != nil {
		c.Address = p.Addr.String()
	}
	if !commonNames {
		return
	}
	name := commonName(p.AuthInfo)
	if name == "" {
		return
	}
	// A gateway's certificate says nothing of the client behind it.
	if len(metadata.ValueFromIncomingContext(ctx, gatewayField)) > 0 {
		c.ViaGateway = true
		return
	}
	c.CommonName = name
}

// commonName is that of the leaf of the first chain that TLS has verified.
func commonName(info credentials.AuthInfo) string {
	tlsInfo, ok := info.(credentials.TLSInfo)
	if !ok {
		return ""
	}
	for _, chain := range tlsInfo.State.VerifiedChains {
		if len(chain) > 0 {
			return chain[0].Subject.CommonName
		}
	}
	return ""
}

// gatewayMetadata tells a call of the gateway whom it comes from.
func gatewayMetadata(_ context.Context, r *http.Request) metadata.MD {
	return metadata.Pairs(addressField, r.RemoteAddr)
}

// namedAddr is an address whose text is made once for a connection, not for each call.
type namedAddr struct {
	net.Addr
	text string
}

func (a *namedAddr) String() string { return a.text }

func named(a net.Addr) net.Addr {
	if a == nil {
		return nil
	}
	return &namedAddr{Addr: a, text: a.String()}
}

// loans lend the callers of Lock and Election calls to the calls that those make
// through the loopback, so that these are made with their caller's rights. What
// crosses the loopback is a number; the caller itself stays in memory. Clients of the
// loopback share a watch stream only where all metadata are equal, so never across callers.
type loans struct {
	last atomic.Uint64
	lent sync.Map // of number to *caller.Caller
}

// lends says whether a method's service makes calls through the loopback.
func lends(fullMethod string) bool {
	return strings.HasPrefix(fullMethod, "/v3lockpb.") || strings.HasPrefix(fullMethod, "/v3electionpb.")
}

// lend gives a context whose calls through the loopback are made as its caller, until release.
func (l *loans) lend(ctx context.Context) (_ context.Context, release func()) {
	number := strconv.FormatUint(l.last.Add(1), 10)
	l.lent.Store(number, caller.From(ctx))
	return metadata.NewOutgoingContext(ctx, metadata.Pairs(loanField, number)), func() { l.lent.Delete(number) }
}

// borrow gives a context with the caller that was lent to a call of the loopback; one
// that was lent none is nobody's.
func (l *loans) borrow(ctx context.Context) context.Context {
	if values := metadata.ValueFromIncomingContext(ctx, loanField); len(values) == 1 {
		if c, ok := l.lent.Load(values[0]); ok {
			return caller.With(ctx, c.(*caller.Caller))
		}
	}
	return ctx
}

func (l *loans) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return handler(l.borrow(ctx), req)
}

func (l *loans) stream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, &knownStream{ServerStream: ss, ctx: l.borrow(ss.Context())})
}

// knownStream is a stream whose caller is known.
type knownStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (k *knownStream) Context() context.Context { return k.ctx }
