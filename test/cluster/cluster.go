package cluster

import (
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Cluster is some frontends on one Redis.
type Cluster struct {
	Redis     *Redis
	Frontends []*Frontend
	// Wires are those of the last frontends, in their order.
	Wires []*Wire

	tb testing.TB
}

// Options are the choices a test has; the zero value is one frontend.
type Options struct {
	// Frontends is how many there are; default 1.
	Frontends int
	// Wires is how many of them, the last ones, reach Redis over a Wire.
	Wires int
	// Redis configures the one Redis they share.
	Redis RedisOptions
	// Race runs frontends built with the race detector.
	Race bool
	// Args are added to the command line of every frontend.
	Args []string
}

// Start starts a Redis and frontends on it, and waits until all are ready.
func Start(tb testing.TB, options Options) *Cluster {
	tb.Helper()
	count := max(options.Frontends, 1)
	c := &Cluster{tb: tb, Redis: StartRedis(tb, options.Redis)}
	for number := range count {
		url := c.Redis.URL()
		if number >= count-options.Wires {
			wire := NewWire(tb, c.Redis)
			c.Wires = append(c.Wires, wire)
			url = wire.URL()
		}
		c.Frontends = append(c.Frontends, NewFrontend(tb, FrontendOptions{
			Name:    fmt.Sprintf("f%d", number+1),
			HotTier: url,
			Race:    options.Race,
			Args:    options.Args,
		}))
	}
	for _, frontend := range c.Frontends {
		frontend.Start()
	}
	for _, frontend := range c.Frontends {
		frontend.AwaitReady()
	}
	return c
}

// Endpoints are the client URLs of all frontends.
func (c *Cluster) Endpoints() []string {
	endpoints := make([]string, 0, len(c.Frontends))
	for _, frontend := range c.Frontends {
		endpoints = append(endpoints, frontend.Endpoint())
	}
	return endpoints
}

// Endpoint is the client URL of the first frontend.
func (c *Cluster) Endpoint() string { return c.Frontends[0].Endpoint() }

// Client returns an etcd client of all frontends, closed with the test.
func (c *Cluster) Client() *clientv3.Client {
	c.tb.Helper()
	return Dial(c.tb, c.Endpoints()...)
}

// quietLogger keeps the client's notices about retries out of the test's output.
func quietLogger() *zap.Logger { return zap.NewNop() }
