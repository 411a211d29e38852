package cluster

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Cluster is some frontends on one hot tier.
type Cluster struct {
	// Redis is the first of Servers, nil if there is none.
	Redis *Redis
	// Servers are those that were started, in the order of the hot tier.
	Servers   []*Redis
	Frontends []*Frontend
	// Wires are those of the last frontends, in their order: of each one to every
	// server.
	Wires []*Wire
	// HotTier are the URLs of its endpoints, not over wires.
	HotTier []string

	// KeyFile is the master key of Keyed, in a folder of its own.
	KeyFile string

	tb     testing.TB
	binary string
}

// Options are the choices a test has; the zero value is one frontend.
type Options struct {
	// Frontends is how many there are; default 1.
	Frontends int
	// Wires is how many of them, the last ones, reach the servers over a Wire.
	Wires int
	// Servers is how many there are to share; default 1.
	Servers int
	// Databases is how many of each server are endpoints of the hot tier; default 1.
	// The first endpoint is the first server's, the next one the second server's,
	// and after the last server's comes the first server's second database.
	Databases int
	// Redis configures the servers.
	Redis RedisOptions
	// HotTier are the URLs of endpoints that the test has started itself, in the
	// place of Servers: the first one is the sequencer's.
	HotTier []string
	// Race runs frontends built with the race detector.
	Race bool
	// Args are added to the command line of every frontend.
	Args []string
	// Env is added to the environment of some frontends, by their numbers from 0.
	Env map[int][]string
	// Keyed gives frontends and tools one key file; Sealed has the frontends seal values with
	// it, too.
	Keyed, Sealed bool
}

// databasesDefault is how many databases a Redis has that is told nothing else.
const databasesDefault = 16

// Start starts the servers and frontends on them, and waits until all are ready.
func Start(tb testing.TB, options Options) *Cluster {
	tb.Helper()
	options.Frontends, options.Databases = max(options.Frontends, 1), max(options.Databases, 1)
	c := &Cluster{tb: tb, HotTier: options.HotTier, binary: Binary(tb, options.Race)}
	if len(options.HotTier) == 0 {
		c.startServers(options)
		c.HotTier = c.endpoints(options.Databases, false)
	}
	if options.Keyed || options.Sealed {
		c.KeyFile = filepath.Join(Folder(tb), "master.key")
		options.Args = append([]string{"--archive-key-file", c.KeyFile}, options.Args...)
	}
	if options.Sealed {
		options.Args = append([]string{"--seal-values"}, options.Args...)
	}
	for number := range options.Frontends {
		urls := options.HotTier
		if c.Redis != nil {
			urls = c.endpoints(options.Databases, number >= options.Frontends-options.Wires)
		}
		c.Frontends = append(c.Frontends, NewFrontend(tb, FrontendOptions{
			Name:    fmt.Sprintf("f%d", number+1),
			HotTier: strings.Join(urls, ","),
			Race:    options.Race,
			Args:    options.Args,
			Env:     options.Env[number],
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

func (c *Cluster) startServers(options Options) {
	c.tb.Helper()
	settings := options.Redis
	if options.Databases > databasesDefault {
		settings.Config = append([]string{"--databases", fmt.Sprint(options.Databases)}, settings.Config...)
	}
	for range max(options.Servers, 1) {
		server := newRedis(c.tb, settings)
		server.Start()
		c.Servers = append(c.Servers, server)
	}
	for _, server := range c.Servers {
		server.AwaitReady()
	}
	c.Redis = c.Servers[0]
}

// endpoints are the URLs of the hot tier for one frontend, which may get a wire to
// each server.
func (c *Cluster) endpoints(databases int, wired bool) []string {
	c.tb.Helper()
	doors := make([]interface{ DatabaseURL(int) string }, 0, len(c.Servers))
	for _, server := range c.Servers {
		if !wired {
			doors = append(doors, server)
			continue
		}
		wire := NewWire(c.tb, server)
		c.Wires = append(c.Wires, wire)
		doors = append(doors, wire)
	}
	var urls []string
	for database := range databases {
		for _, door := range doors {
			urls = append(urls, door.DatabaseURL(database))
		}
	}
	return urls
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
