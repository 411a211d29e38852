package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 10 * time.Second
	idleTimeout      = 90 * time.Second
	// idlePerHost keeps a connection for each call that an archiver and a reader make at once.
	idlePerHost = 16
	// redirectsMax is how often a request follows S3 to where a new bucket really is.
	redirectsMax = 3
)

// errStalled ends an attempt that takes too long; the context of the call goes on.
var errStalled = errors.New("the store takes too long to answer")

// boundedClient sends one attempt of a call. It ends by itself: the time to the beginning of the
// reply is bounded, and so is that in which a reply's body brings nothing.
type boundedClient struct {
	client *http.Client
	limits Limits
}

// boundTransport sets what an HTTP transport bounds by itself.
func boundTransport(limits Limits) func(*http.Transport) {
	return func(t *http.Transport) {
		t.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
		t.TLSHandshakeTimeout = handshakeTimeout
		t.ResponseHeaderTimeout = limits.FirstByte
		t.IdleConnTimeout = idleTimeout
		t.MaxIdleConnsPerHost = idlePerHost
		// A body's length is checked: it has to be that of the object.
		t.DisableCompression = true
	}
}

func newBoundedClient(transport http.RoundTripper, limits Limits) *boundedClient {
	return &boundedClient{limits: limits, client: &http.Client{Transport: transport, CheckRedirect: followTemporary}}
}

// followTemporary follows only those redirects that keep the method and the body. The
// others are answers, which the SDK explains.
func followTemporary(request *http.Request, via []*http.Request) error {
	status := request.Response.StatusCode
	if len(via) > redirectsMax || status != http.StatusTemporaryRedirect && status != http.StatusPermanentRedirect {
		return http.ErrUseLastResponse
	}
	return nil
}

// Do sends an attempt and takes note of whether it may have been carried out.
func (c *boundedClient) Do(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	timer := time.AfterFunc(c.limits.Attempt, func() { cancel(errStalled) })
	reply, err := c.client.Do(request.WithContext(ctx))
	timer.Stop()
	noteOutcome(request.Context(), reply, err)
	if err != nil {
		cancel(nil)
		if errors.Is(context.Cause(ctx), errStalled) {
			// Without the error of the context, which would read as if the caller had given up.
			return nil, fmt.Errorf("%w: no reply within %v", errStalled, c.limits.Attempt)
		}
		return nil, err
	}
	reply.Body = &boundedBody{body: reply.Body, ctx: ctx, cancel: cancel, stall: c.limits.Stall}
	return reply, nil
}

// boundedBody is a reply's body that ends when it stalls.
type boundedBody struct {
	body   io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	stall  time.Duration
}

func (b *boundedBody) Read(p []byte) (int, error) {
	timer := time.AfterFunc(b.stall, func() { b.cancel(errStalled) })
	n, err := b.body.Read(p)
	timer.Stop()
	if err != nil && err != io.EOF && errors.Is(context.Cause(b.ctx), errStalled) {
		err = fmt.Errorf("%w: nothing came for %v", errStalled, b.stall)
	}
	return n, err
}

func (b *boundedBody) Close() error {
	b.cancel(nil)
	return b.body.Close()
}

// outcomeKey is that of the context value in which a call collects its attempts.
type outcomeKey struct{}

// outcome is what the attempts of one call may have done. The SDK makes them one after
// the other.
type outcome struct {
	// maybe: one of them reached the store and was not refused.
	maybe bool
}

func noteOutcome(ctx context.Context, reply *http.Response, err error) {
	o, ok := ctx.Value(outcomeKey{}).(*outcome)
	if !ok {
		return
	}
	var dial *net.OpError
	switch {
	case err != nil:
		o.maybe = o.maybe || !errors.As(err, &dial) || dial.Op != "dial"
	default:
		refused := reply.StatusCode >= 300 && reply.StatusCode < 500
		o.maybe = o.maybe || !refused
	}
}
