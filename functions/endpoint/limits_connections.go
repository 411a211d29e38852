package endpoint

import (
	"math"
	"net"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// connectionLimits bound the connections to all client addresses together. One that
// is refused is closed at once: nothing has been read of it, and it costs nothing.
type connectionLimits struct {
	all        *gate
	ofAddress  prometheus.Counter
	handshakes prometheus.Counter
	perAddress int

	mu sync.Mutex
	// open counts the connections of each address that has any.
	open map[netip.Addr]int
}

func newConnectionLimits(l Limits, s *limitSeries) *connectionLimits {
	return &connectionLimits{
		all:        newGate(int64(l.Connections), s.refused.WithLabelValues(limitConnections), s.connections),
		ofAddress:  s.refused.WithLabelValues(limitConnectionsOfAddress),
		handshakes: s.refused.WithLabelValues(limitHandshakes),
		perAddress: l.ConnectionsPerAddress,
		open:       make(map[netip.Addr]int),
	}
}

// enter counts a connection, unless there are too many.
func (c *connectionLimits) enter(remote net.Addr) bool {
	if !c.all.enter(1) {
		return false
	}
	if c.count(remote, 1) {
		return true
	}
	c.all.leave(1)
	c.ofAddress.Inc()
	return false
}

// leave counts the end of a connection that has entered.
func (c *connectionLimits) leave(remote net.Addr) {
	c.count(remote, -1)
	c.all.leave(1)
}

// count adds to the connections of an address, unless that makes too many. Unix
// sockets have no address that tells clients apart.
func (c *connectionLimits) count(remote net.Addr, n int) bool {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok || c.perAddress == math.MaxInt {
		return true
	}
	address := tcp.AddrPort().Addr().Unmap()
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && c.open[address] >= c.perAddress {
		return false
	}
	c.open[address] += n
	if c.open[address] == 0 {
		delete(c.open, address)
	}
	return true
}
