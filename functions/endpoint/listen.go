package endpoint

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"
)

// listen opens every listener of the settings.
func (s *Server) listen() error {
	connections := newConnectionLimits(s.settings.Limits, s.limits)
	ofMetrics := newConnectionLimits(Limits{Connections: connectionsOfMetricsMax, ConnectionsPerAddress: connectionsOfMetricsMax}, s.limits)
	for _, u := range s.settings.ListenClientURLs {
		l, err := listenOn(u)
		if err != nil {
			return fmt.Errorf("listen for clients: %w", err)
		}
		s.client = append(s.client, s.split(u, l, connections))
	}
	for _, u := range s.settings.ListenMetricsURLs {
		l, err := listenOn(u)
		if err != nil {
			return fmt.Errorf("listen for metrics: %w", err)
		}
		sp := s.split(u, l, ofMetrics)
		sp.onlyHTTP1()
		s.metrics = append(s.metrics, sp)
	}
	return nil
}

// split makes the splitter of a listener, which begins with TLS if its URL says so.
func (s *Server) split(u url.URL, l net.Listener, limits *connectionLimits) *splitter {
	sp := newSplitter(l, s.now, limits)
	if secured(u.Scheme) {
		sp.secure(s.tls)
	}
	return sp
}

// listenOn opens the address of one URL: http or https://host:port, or unix or
// unixs:///path, whose socket file is removed again when the listener is closed.
func listenOn(u url.URL) (net.Listener, error) {
	network, address := "tcp", u.Host
	switch u.Scheme {
	case "http", "https":
		if u.Path != "" && u.Path != "/" {
			return nil, fmt.Errorf("%s: an address to listen on has no path", u.String())
		}
	case "unix", "unixs":
		network, address = "unix", u.Host+u.Path
		removeDeadSocket(address)
	default:
		return nil, fmt.Errorf("%s: the scheme must be http, https, unix or unixs", u.String())
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.String(), err)
	}
	return l, nil
}

// removeDeadSocket removes the socket file that a killed process has left. One
// that somebody still listens on, and a file of another kind, stay, and listening
// will say so.
func removeDeadSocket(path string) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close() // it only asked whether somebody is there
		return
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		_ = os.Remove(path) // if that fails, so will listening
	}
}
