package endpoint

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// runSplitter starts a splitter on a free port; the test's end waits for it.
func runSplitter(t *testing.T, now func() time.Time) *splitter {
	t.Helper()
	root, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sp := newSplitter(root, now, newConnectionLimits(Limits{}.withDefaults(), testLimitSeries(t)))
	done := make(chan error, 1)
	go func() { done <- sp.run() }()
	t.Cleanup(func() {
		sp.cut()
		if err := <-done; err != nil {
			t.Errorf("run = %v", err)
		}
	})
	return sp
}

func connect(t *testing.T, sp *splitter, say string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", sp.root.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, say); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestSplit(t *testing.T) {
	t.Parallel()
	sp := runSplitter(t, time.Now)
	for _, c := range []struct {
		say  string
		goes *branch
	}{
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", sp.h2},
		{"GET / HTTP/1.1\r\n\r\n", sp.h1},
		{"PUT /PRI HTTP/1.1\r\n\r\n", sp.h1},
		{"nonsense", sp.h1},
	} {
		connect(t, sp, c.say)
		got, err := c.goes.Accept()
		if err != nil {
			t.Fatal(err)
		}
		heard := make([]byte, len(c.say))
		if _, err := io.ReadFull(got, heard); err != nil || string(heard) != c.say {
			t.Errorf("heard %q, %v; said %q", heard, err, c.say)
		}
		_ = got.Close()
	}
}

// A connection that says nothing in time is closed: here its time is over at
// once, because the clock is late.
func TestSilentConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	sp := runSplitter(t, func() time.Time { return time.Unix(0, 0) })
	conn := connect(t, sp, "")
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read = %v, want the end", err)
	}
}

// While one branch is closed, as gRPC's is during a drain, the other serves on.
func TestBranchesCloseSeparately(t *testing.T) {
	t.Parallel()
	sp := runSplitter(t, time.Now)
	_ = sp.h2.Close()
	refused := connect(t, sp, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	if _, err := io.ReadAll(refused); err != nil && !isReset(err) {
		t.Errorf("read = %v, want the end", err)
	}
	connect(t, sp, "GET / HTTP/1.1\r\n\r\n")
	if _, err := sp.h1.Accept(); err != nil {
		t.Errorf("Accept = %v", err)
	}
}

// isReset says whether the peer closed with unread bytes, which TCP reports as
// an error.
func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

func TestCutClosesEverything(t *testing.T) {
	t.Parallel()
	sp := runSplitter(t, time.Now)
	silent := connect(t, sp, "")
	spoken := connect(t, sp, "GET / HTTP/1.1\r\n\r\n")
	got, err := sp.h1.Accept()
	if err != nil {
		t.Fatal(err)
	}
	sp.cut()
	for _, conn := range []net.Conn{silent, spoken, got} {
		if _, err := io.ReadAll(conn); err == nil && conn == got {
			t.Error("the accepted side is still open")
		}
	}
	if _, err := sp.h1.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v", err)
	}
}
