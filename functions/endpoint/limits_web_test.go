package endpoint

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serveWeb serves a handler within limits, whose clock is late by a time: a deadline
// that is that far away has passed when it is set.
func serveWeb(t *testing.T, bytes int64, late time.Duration, handler http.HandlerFunc) (address string, counted *gate) {
	t.Helper()
	limits := &webLimits{
		bytes:   newLimiter(Limits{InFlightBytes: bytes}.withDefaults(), testLimitSeries(t)).bytes,
		now:     func() time.Time { return time.Now().Add(-late) },
		bodyMax: 1000,
	}
	server := httptest.NewServer(bounded(handler, limits))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), limits.bytes
}

// say sends text on a connection of its own.
func say(t *testing.T, address, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// answer reads a response.
func answer(conn net.Conn) (*http.Response, error) {
	return http.ReadResponse(bufio.NewReader(conn), nil)
}

// A body that does not arrive in time ends its request; that of a stream may take for
// ever.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	address, _ := serveWeb(t, 0, bodyTimeout+time.Second, func(w http.ResponseWriter, r *http.Request) {
		if gatewayStreams[r.URL.Path] {
			_, _ = io.ReadFull(r.Body, make([]byte, 1))
			began <- struct{}{}
		}
		if _, err := io.ReadAll(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusRequestTimeout)
		}
	})
	resp, err := answer(say(t, address, "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"))
	if err == nil && resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("half a body is answered with %s", resp.Status)
	}
	stream := say(t, address, "POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
	<-began
	if _, err := io.WriteString(stream, "123456789"); err != nil {
		t.Fatal(err)
	}
	if resp, err = answer(stream); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("a stream: %v, %v", resp, err)
	}
}

// Bodies and answers count as bytes in flight: a body that has no room is refused.
func TestBodiesCount(t *testing.T) {
	t.Parallel()
	entered, held := make(chan struct{}), make(chan struct{})
	address, counted := serveWeb(t, 1500, 0, func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-held
		_, _ = io.WriteString(w, strings.Repeat("x", 3*pieceBytes))
	})
	first := make(chan error, 1)
	go func() {
		resp, err := answer(say(t, address, "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n"+strings.Repeat(" ", 900)))
		if err == nil {
			var body []byte
			if body, err = io.ReadAll(resp.Body); err == nil && len(body) != 3*pieceBytes {
				err = io.ErrShortWrite
			}
		}
		first <- err
	}()
	<-entered
	resp, err := answer(say(t, address, "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusTooManyRequests || !strings.Contains(string(body), `"code":8,"message":"etcdserver: too many requests"`) {
		t.Errorf("a body of unknown length is answered with %s %s", resp.Status, body)
	}
	close(held)
	if err := <-first; err != nil {
		t.Errorf("the first one: %v", err)
	}
	if open := counted.open.Load(); open != 0 {
		t.Errorf("%d bytes are left", open)
	}
}

// A client that does not take its answer is cut off.
func TestAnswersThatAreNotTaken(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	address, _ := serveWeb(t, 0, pieceTimeout+time.Second, func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.WriteString(w, strings.Repeat("x", 64*pieceBytes))
		ended <- err
	})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /v3/kv/range HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("all of it was written")
	}
}
