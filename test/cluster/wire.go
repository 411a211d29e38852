package cluster

import (
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const (
	// strayDelay is how late a stray request arrives.
	strayDelay = 150 * time.Millisecond
	// strayBound is how long a stray request may take to be answered.
	strayBound = 5 * time.Second
	// wireBufferBytes is how much of one direction is under way at a time.
	wireBufferBytes = 64 << 10
)

// disturbedEvery is which part of what passes meets a disturbance: one in three.
const disturbedEvery = 3

// Disturbance is what a Wire does to part of what passes, so that whoever tries
// again gets through.
type Disturbance int

const (
	// Calm passes everything.
	Calm Disturbance = iota
	// LoseReplies breaks the connection in place of the reply: the request was
	// carried out.
	LoseReplies
	// LoseRequests breaks the connection in place of the request.
	LoseRequests
	// StrayRequests breaks the connection at the request, which arrives all the same,
	// some time later: after what its sender asks next on another connection.
	StrayRequests
)

// Wire is a stretch of network to the unix socket of a Redis, which can be cut, and
// which can lose and delay what passes.
type Wire struct {
	tb       testing.TB
	user     string // for tierd
	socket   string // its own; empty if it begins at a TCP port
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	links  map[*link]struct{}
	cut    bool
	mode   Disturbance
	passed int // requests or replies that met a disturbance or might have
}

// link is one connection over the wire. Both ends are closed with it.
type link struct {
	client, server net.Conn
}

func (l *link) close() {
	_ = l.client.Close() // either may be closed already
	_ = l.server.Close()
}

// NewWire lays a wire to a Redis, gone with the test.
func NewWire(tb testing.TB, r *Redis) *Wire {
	tb.Helper()
	w := &Wire{tb: tb, user: r.user, socket: filepath.Join(Folder(tb), "wire.sock"), target: r.socket}
	w.lay("unix", w.socket)
	return w
}

// newTCPWire lays a wire that begins at a free TCP port, which it gives.
func newTCPWire(tb testing.TB, r *Redis) (w *Wire, port int) {
	tb.Helper()
	w = &Wire{tb: tb, target: r.socket}
	w.lay("tcp", "127.0.0.1:0")
	return w, w.listener.Addr().(*net.TCPAddr).Port
}

func (w *Wire) lay(network, address string) {
	w.tb.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		w.tb.Fatalf("lay a wire: %v", err)
	}
	w.listener, w.links = listener, make(map[*link]struct{})
	w.running.Go(w.accept)
	w.tb.Cleanup(func() {
		_ = listener.Close()
		w.Cut()
		w.running.Wait()
	})
}

// URL is the address to reach the Redis at over this wire.
func (w *Wire) URL() string { return w.DatabaseURL(0) }

// DatabaseURL is the address of one of the Redis' databases over this wire.
func (w *Wire) DatabaseURL(database int) string { return databaseURL(w.user, w.socket, database) }

// Cut breaks all connections, and every new one, until Mend.
func (w *Wire) Cut() { w.set(func() { w.cut = true }); w.Break() }

// Mend ends a Cut.
func (w *Wire) Mend() { w.set(func() { w.cut = false }) }

// Disturb starts a disturbance in the place of the one before; Calm ends it.
func (w *Wire) Disturb(mode Disturbance) { w.set(func() { w.mode = mode }) }

// Break breaks all connections, once.
func (w *Wire) Break() {
	w.set(func() {
		for l := range w.links {
			l.close()
		}
	})
}

func (w *Wire) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *Wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", w.target)
		if err != nil { // Redis is down
			_ = client.Close()
			continue
		}
		l := &link{client: client, server: server}
		w.set(func() {
			if w.cut {
				l.close()
			}
			w.links[l] = struct{}{}
		})
		w.running.Go(func() { w.carry(l, l.client, w.request) })
		w.running.Go(func() { w.carry(l, l.server, w.reply) })
	}
}

// carry hands on what comes from one end until something breaks.
func (w *Wire) carry(l *link, from net.Conn, hand func(*link, []byte) error) {
	buffer := make([]byte, wireBufferBytes)
	for {
		n, err := from.Read(buffer)
		if n > 0 && err == nil {
			err = hand(l, buffer[:n])
		}
		if err != nil {
			break
		}
	}
	l.close()
	w.set(func() { delete(w.links, l) })
}

// meets says whether what passes now meets one of the disturbances.
func (w *Wire) meets(modes ...Disturbance) Disturbance {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, mode := range modes {
		if w.mode == mode {
			if w.passed++; w.passed%disturbedEvery == 0 {
				return mode
			}
		}
	}
	return Calm
}

func (w *Wire) request(l *link, data []byte) error {
	switch w.meets(LoseRequests, StrayRequests) {
	case LoseRequests:
		return io.ErrClosedPipe
	case StrayRequests:
		w.stray(data)
		return io.ErrClosedPipe
	}
	_, err := l.server.Write(data)
	return err
}

// stray delivers a request later, on a connection of its own, and waits until Redis
// has answered it. It needs nothing of the broken one: tierd's connections
// begin with commands that concern only themselves.
func (w *Wire) stray(data []byte) {
	late := append([]byte(nil), data...)
	w.running.Go(func() {
		timer := time.NewTimer(strayDelay)
		defer timer.Stop()
		<-timer.C
		server, err := net.Dial("unix", w.target)
		if err != nil {
			return // Redis is down: the request is lost
		}
		defer server.Close()
		_ = server.SetDeadline(time.Now().Add(strayBound)) // fails only on a closed connection
		if _, err := server.Write(late); err == nil {
			_, _ = server.Read(make([]byte, 1)) // what it says, nobody wants to know
		}
	})
}

func (w *Wire) reply(l *link, data []byte) error {
	if w.meets(LoseReplies) == LoseReplies {
		return io.ErrClosedPipe
	}
	_, err := l.client.Write(data)
	return err
}
