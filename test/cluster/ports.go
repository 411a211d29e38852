package cluster

import (
	"fmt"
	"net"
	"testing"
)

// FreePorts returns count distinct TCP ports of 127.0.0.1 that were free a
// moment ago. They are held together while being chosen, so one call never
// returns a port twice; another process may still take one before it is used.
func FreePorts(tb testing.TB, count int) []int {
	tb.Helper()
	ports := make([]int, 0, count)
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatalf("find a free port: %v", err)
		}
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// FreePort returns one port, see FreePorts.
func FreePort(tb testing.TB) int {
	tb.Helper()
	return FreePorts(tb, 1)[0]
}

// localURL is the HTTP address of a port of this machine.
func localURL(port int) string { return "http://" + localAddress(port) }

func localAddress(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
