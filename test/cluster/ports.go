package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports are taken from below those that systems give to outgoing connections, of which
// tests make thousands: one of these may take a port between its choice and its use.
const (
	portsFrom, portsTo = 10_000, 32_000
	portAttempts       = 1000
)

// FreePorts returns count distinct TCP ports of 127.0.0.1 that were free a
// moment ago. They are held together while being chosen, so one call never
// returns a port twice; another process may still take one before it is used.
func FreePorts(tb testing.TB, count int) []int {
	tb.Helper()
	ports := make([]int, 0, count)
	var err error
	for range portAttempts + count {
		if len(ports) == count {
			return ports
		}
		var listener net.Listener
		if listener, err = net.Listen("tcp", localAddress(portsFrom+rand.IntN(portsTo-portsFrom))); err != nil {
			continue
		}
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	tb.Fatalf("find %d free ports: %v", count, err)
	return nil
}

// FreePort returns one port, see FreePorts.
func FreePort(tb testing.TB) int {
	tb.Helper()
	return FreePorts(tb, 1)[0]
}

// localURL is the HTTP address of a port of this machine.
func localURL(port int) string { return "http://" + localAddress(port) }

func localAddress(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
