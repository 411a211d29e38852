package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"
)

// Times after which a silent HTTP/1 connection is closed.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
)

// Serve serves until Shutdown has finished, a listener has failed, or ctx has
// ended; the latter two close everything at once. It returns nil after a
// Shutdown, and never before all goroutines it started have ended. It is called
// once.
func (s *Server) Serve(ctx context.Context) error {
	s.start()
	s.logger.Info("serving clients", "addresses", addresses(s.Addrs()), "metrics", addresses(s.MetricsAddrs()),
		"version", s.settings.Version)
	var err error
	select {
	case <-s.stopped:
	case err = <-s.failed:
		s.cut()
	case <-ctx.Done():
		err = fmt.Errorf("serve: %w", context.Cause(ctx))
		s.cut()
	}
	s.running.Wait()
	return err
}

// start starts every goroutine of the server.
func (s *Server) start() {
	for _, sp := range s.client {
		s.goServe("accept clients", sp.run)
		s.goServe("serve gRPC", func() error { return s.grpc.Serve(sp.h2) })
		s.goServe("serve HTTP", func() error { return s.http.Serve(sp.h1) })
	}
	for _, sp := range s.metrics {
		s.goServe("accept metrics", sp.run)
		s.goServe("serve metrics", func() error { return s.metricsWeb.Serve(sp.h1) })
	}
	if s.tls != nil {
		s.running.Go(func() { s.tls.watch(s.requests, slices.Concat(s.client, s.metrics)) })
	}
	s.goServe("serve the gateway", func() error { return s.grpc.Serve(s.gateway.listener) })
	s.goServe("serve the loopback", s.loopback.serve)
	s.running.Go(func() { s.pulse.run(s.requests) })
}

// goServe runs one server loop; an error that is not the consequence of
// stopping ends Serve.
func (s *Server) goServe(what string, loop func() error) {
	s.running.Go(func() {
		err := loop()
		if err == nil || errors.Is(err, http.ErrServerClosed) || s.draining.Err() != nil {
			return
		}
		select {
		case s.failed <- fmt.Errorf("%s: %w", what, err):
		default: // the first error is the one that counts
		}
	})
}

// Shutdown drains the server: readiness fails, no new stream starts, endless
// streams end with Unavailable, connections are told to go away, and calls in
// flight finish, for as long as ctx lasts. Then what is left is cut off, which
// is the error; only a handler that ignores its own context outlives that.
// Calling it again, or without Serve, does no harm.
func (s *Server) Shutdown(ctx context.Context) error {
	s.logger.Info("draining")
	s.beginDraining()
	s.health.Shutdown()

	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.grpc.GracefulStop()
	}()
	var cause error
	select {
	case <-drained:
	case <-ctx.Done():
		cause = ctx.Err()
	}
	if err := s.http.Shutdown(ctx); err != nil {
		cause = err
	}
	if err := s.metricsWeb.Shutdown(ctx); err != nil {
		cause = err
	}
	s.cut()
	if cause != nil {
		return fmt.Errorf("drain: calls in flight were cut off: %w", cause)
	}
	s.logger.Info("drained")
	return nil
}

// cut ends everything at once, in an order in which each part still finds what
// it needs to end. It copes with a server that is only half built.
func (s *Server) cut() {
	s.beginDraining()
	for _, sp := range s.client {
		sp.cut()
	}
	for _, sp := range s.metrics {
		sp.cut()
	}
	if s.grpc != nil {
		s.grpc.Stop()
	}
	if s.http != nil {
		_ = s.http.Close() // its listeners are closed already
		_ = s.metricsWeb.Close()
	}
	if s.gateway != nil {
		s.gateway.close()
	}
	if s.loopback != nil {
		s.loopback.close()
	}
	s.endOfRequests()
	s.stopOnce.Do(func() {
		if s.closeServices != nil {
			s.closeServices()
		}
		close(s.stopped)
	})
}

// webServer serves HTTP/1 with limits on silent clients.
func (s *Server) webServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           withTLS(handler),
		ConnContext:       noteTLS,
		ReadHeaderTimeout: headerTimeout,
		MaxHeaderBytes:    headerBytesMax,
		IdleTimeout:       idleTimeout,
		BaseContext:       func(net.Listener) context.Context { return s.requests },
		ErrorLog:          quietLog(s.logger),
	}
}

func addresses(addrs []net.Addr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}
