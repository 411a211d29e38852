package objectstore

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"time"
)

// Proxy serves what upstream (a URL) serves, with faults, until the test ends, and returns
// its own URL. Signatures stay valid: the request is passed on as it is.
func (f *Faults) Proxy(tb testing.TB, upstream string) string {
	tb.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{faults: f, target: target, transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}}
	server := httptest.NewServer(p)
	tb.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		p.transport.CloseIdleConnections()
	})
	return server.URL
}

type proxy struct {
	faults    *Faults
	target    *url.URL
	transport *http.Transport
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	removed, err := removedBy(r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fault := p.faults.next(Call{Operation: r.Method, Name: r.URL.Path, Query: r.URL.Query(), Header: r.Header, Removed: removed})
	switch fault {
	case Lost:
		p.drain(r)
		panic(http.ErrAbortHandler)
	case Failed:
		p.drain(r)
		refuse(w, http.StatusInternalServerError, "InternalError")
		return
	case Busy:
		p.drain(r)
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return
	case Denied:
		p.drain(r)
		refuse(w, http.StatusForbidden, "AccessDenied")
		return
	case Slow:
		if !pause(r.Context(), p.faults.Delay) {
			panic(http.ErrAbortHandler)
		}
	}
	reply, err := p.forward(r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer reply.Body.Close()
	switch fault {
	case Unanswered:
		p.swallow(reply)
		panic(http.ErrAbortHandler)
	case DoneButFailed:
		p.swallow(reply)
		refuse(w, http.StatusInternalServerError, "InternalError")
	case Truncated:
		pass(w, reply, reply.ContentLength/2)
		panic(http.ErrAbortHandler)
	default:
		if !pass(w, reply, -1) {
			panic(http.ErrAbortHandler)
		}
	}
}

// removedBy are the keys that a request for the removal of many names; it can be passed on
// afterwards.
func removedBy(r *http.Request) ([]string, error) {
	if r.Method != http.MethodPost || !r.URL.Query().Has("delete") {
		return nil, nil
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	var names struct {
		Object []struct{ Key string }
	}
	if err := xml.Unmarshal(text, &names); err != nil {
		return nil, err
	}
	var keys []string
	for _, object := range names.Object {
		keys = append(keys, object.Key)
	}
	return keys, nil
}

// drain reads the request, so that its sender learns of nothing before.
func (p *proxy) drain(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }

// swallow reads the reply: the store has done its work then.
func (p *proxy) swallow(reply *http.Response) { _, _ = io.Copy(io.Discard, reply.Body) }

// forward asks the server, under the name that the client signed.
func (p *proxy) forward(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = p.target.Scheme, p.target.Host, ""
	if r.ContentLength == 0 {
		out.Body = nil
	}
	return p.transport.RoundTrip(out)
}

// pass returns the reply, or its first bytes, and tells whether all went well.
func pass(w http.ResponseWriter, reply *http.Response, limit int64) bool {
	for name, values := range reply.Header {
		w.Header()[name] = values
	}
	if reply.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(reply.ContentLength, 10))
	}
	w.WriteHeader(reply.StatusCode)
	body := io.Reader(reply.Body)
	if limit >= 0 {
		body = io.LimitReader(body, limit)
	}
	_, err := io.Copy(w, body)
	if flusher, ok := w.(http.Flusher); ok {
		flusher.Flush()
	}
	return err == nil
}

// refuse answers as S3 does.
func refuse(w http.ResponseWriter, status int, code string) {
	body := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>a fault of the test</Message></Error>`, code)
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// pause waits, and tells whether it did so to the end.
func pause(ctx context.Context, delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
