package endpoint

import (
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// sniffTimeout bounds the time a new connection may take for its TLS handshake and to
	// say its first four bytes, and gRPC's handshake after that.
	sniffTimeout = 10 * time.Second
	// sniffsMax bounds the connections that have not said them yet; beyond it
	// new ones are closed at once.
	sniffsMax = 4096
	// acceptPauseMax bounds the pause after Accept has failed, such as for want
	// of file descriptors; it starts at acceptPauseMin and doubles.
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// http2Start is how every HTTP/2 connection begins, and no HTTP/1 one: there is
// no method PRI.
var http2Start = [4]byte{'P', 'R', 'I', ' '}

// splitter hands the connections of one listener to two: h2 gets those that
// speak HTTP/2, so that gRPC serves them with its own transport, h1 the rest. It does
// TLS first where that is wanted.
type splitter struct {
	root   net.Listener
	now    func() time.Time
	h1, h2 *branch
	// gate does TLS, which begins with begin; nil for none.
	gate   *tlsGate
	begin  *tls.Config
	limits *connectionLimits
	sniffs chan struct{}
	wg     sync.WaitGroup

	mu struct {
		sync.Mutex
		// conns are the open connections; nil once cut.
		conns map[*splitConn]struct{}
	}
}

func newSplitter(root net.Listener, now func() time.Time, limits *connectionLimits) *splitter {
	sp := &splitter{
		root: root, now: now, limits: limits, sniffs: make(chan struct{}, sniffsMax),
		h1: newBranch(root.Addr()), h2: newBranch(root.Addr()),
	}
	sp.mu.conns = make(map[*splitConn]struct{})
	return sp
}

// secure has connections begin with TLS.
func (sp *splitter) secure(gate *tlsGate) {
	sp.gate, sp.begin = gate, gate.begin([]string{protocolHTTP1, protocolHTTP2})
}

// onlyHTTP1 has the HTTP branch take whatever comes.
func (sp *splitter) onlyHTTP1() {
	sp.h2 = sp.h1
	if sp.gate != nil {
		sp.begin = sp.gate.begin([]string{protocolHTTP1})
	}
}

// run accepts until the root listener is closed, and returns when no connection
// is on its way to a branch any more.
func (sp *splitter) run() error {
	defer sp.wg.Wait()
	pause := acceptPauseMin
	for {
		conn, err := sp.root.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			if !sp.rest(pause) {
				return nil
			}
			pause = min(2*pause, acceptPauseMax)
			continue
		}
		pause = acceptPauseMin
		sp.admit(conn)
	}
}

// rest pauses; it says false when the HTTP branch was closed meanwhile, which is
// the end of the splitter.
func (sp *splitter) rest(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-sp.h1.closed:
		return false
	}
}

func (sp *splitter) admit(raw net.Conn) {
	select {
	case sp.sniffs <- struct{}{}:
	default:
		sp.limits.handshakes.Inc()
		_ = raw.Close() // nothing was promised to it yet
		return
	}
	if !sp.limits.enter(raw.RemoteAddr()) {
		<-sp.sniffs
		_ = raw.Close()
		return
	}
	conn := &splitConn{Conn: raw, raw: raw, home: sp}
	if sp.gate != nil {
		conn.tls = tls.Server(raw, sp.begin)
		conn.Conn = conn.tls
	}
	if !sp.add(conn) {
		<-sp.sniffs
		sp.limits.leave(raw.RemoteAddr())
		return
	}
	sp.wg.Go(func() {
		branch, err := sp.sniff(conn)
		<-sp.sniffs
		if err != nil {
			_ = conn.Close() // the peer said nothing sensible; it has no one to tell
			return
		}
		branch.deliver(conn)
	})
}

// sniff does the TLS handshake of a connection, reads its first bytes, and chooses its branch.
func (sp *splitter) sniff(conn *splitConn) (*branch, error) {
	if err := conn.SetDeadline(sp.now().Add(sniffTimeout)); err != nil {
		return nil, err
	}
	if conn.tls != nil {
		if err := sp.gate.handshake(conn); err != nil {
			return nil, err
		}
	}
	if _, err := io.ReadFull(conn.Conn, conn.start[:]); err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	conn.unread = conn.start[:]
	if conn.start == http2Start {
		return sp.h2, nil
	}
	return sp.h1, nil
}

func (sp *splitter) add(conn *splitConn) bool {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.mu.conns == nil {
		_ = conn.raw.Close() // cut already
		return false
	}
	sp.mu.conns[conn] = struct{}{}
	return true
}

func (sp *splitter) remove(conn *splitConn) {
	sp.mu.Lock()
	_, open := sp.mu.conns[conn]
	delete(sp.mu.conns, conn)
	sp.mu.Unlock()
	if open {
		sp.limits.leave(conn.raw.RemoteAddr())
	}
}

// close stops accepting. Connections that a branch has taken live on.
func (sp *splitter) close() {
	_ = sp.root.Close() // closing twice is the only way to fail
	_ = sp.h1.Close()
	_ = sp.h2.Close()
}

// cut closes the splitter and every connection.
func (sp *splitter) cut() {
	sp.close()
	sp.mu.Lock()
	conns := sp.mu.conns
	sp.mu.conns = nil
	sp.mu.Unlock()
	for conn := range conns {
		sp.limits.leave(conn.raw.RemoteAddr())
		_ = conn.raw.Close() // its users see the end
	}
}

// cutIf ends the connections whose handshake has found what is no longer to be, and says how many.
func (sp *splitter) cutIf(over func(tls.ConnectionState) bool) (closed int) {
	sp.mu.Lock()
	conns := slices.Collect(maps.Keys(sp.mu.conns))
	sp.mu.Unlock()
	for _, conn := range conns {
		if state := conn.state.Load(); state != nil && over(*state) {
			_ = conn.raw.Close() // its users see the end
			closed++
		}
	}
	return closed
}

// splitConn is a connection whose first bytes have been read already.
type splitConn struct {
	net.Conn
	// raw is the connection below TLS, tls the one above, and state what its handshake has found; nil
	// without TLS, state also before.
	raw    net.Conn
	tls    *tls.Conn
	state  atomic.Pointer[tls.ConnectionState]
	home   *splitter
	start  [4]byte
	unread []byte
}

// RemoteAddr is asked for once per connection, and its text read with every call.
func (c *splitConn) RemoteAddr() net.Addr { return named(c.Conn.RemoteAddr()) }

func (c *splitConn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

func (c *splitConn) Close() error {
	c.home.remove(c)
	return c.Conn.Close()
}

// branch is a listener that is fed by a splitter.
type branch struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newBranch(addr net.Addr) *branch {
	return &branch{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// deliver hands over a connection, or closes it if nobody accepts any more.
func (b *branch) deliver(conn net.Conn) {
	select {
	case b.conns <- conn:
	case <-b.closed:
		_ = conn.Close() // refused: the frontend stops
	}
}

func (b *branch) Accept() (net.Conn, error) {
	select {
	case conn := <-b.conns:
		return conn, nil
	case <-b.closed:
		return nil, net.ErrClosed
	}
}

func (b *branch) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func (b *branch) Addr() net.Addr { return b.addr }
