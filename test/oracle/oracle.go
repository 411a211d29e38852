// Package oracle runs real etcd 3.7 inside the test process, as the reference
// that tierd's answers are compared with.
//
// It promises a fresh single-member etcd on free ports of 127.0.0.1 in a
// temporary folder, silent, and gone when the test ends. Its durability is turned
// off (no fsync): what it says is right, what it survives is not asked.
package oracle

import (
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/tierd/tierd/test/cluster"
)

const (
	readyBound = 60 * time.Second

	// startAttempts is how often a start is tried: a port that was free may be
	// taken by another process before etcd listens on it.
	startAttempts = 5
)

// Server is a running etcd.
type Server struct {
	tb       testing.TB
	etcd     *embed.Etcd
	endpoint string
	closing  sync.Once
}

// Options are the choices a test has.
type Options struct {
	// Name is the member's name; default "default".
	Name string
	// DataDir is the folder of the data, such as one that a snapshot was restored
	// to; default a temporary folder. Restored data must have been restored for
	// PeerURL and the same name.
	DataDir string
	// PeerURL is the address for other members; default one on a free port.
	PeerURL string
	// Configure may change etcd's settings before the start.
	Configure func(*embed.Config)
}

// Start starts an etcd and waits until it serves.
func Start(tb testing.TB, options Options) *Server {
	tb.Helper()
	if options.DataDir == "" {
		options.DataDir = cluster.Folder(tb)
	}
	var err error
	for range startAttempts {
		var server *Server
		if server, err = start(tb, options); err == nil {
			tb.Cleanup(server.Close)
			return server
		}
	}
	tb.Fatalf("start etcd: %v", err)
	return nil
}

func start(tb testing.TB, options Options) (*Server, error) {
	config, err := configuration(tb, options)
	if err != nil {
		return nil, err
	}
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, err
	}
	bound := time.NewTimer(readyBound)
	defer bound.Stop()
	select {
	case <-etcd.Server.ReadyNotify():
	case err := <-etcd.Err():
		etcd.Close()
		return nil, err
	case <-bound.C:
		etcd.Close()
		return nil, fmt.Errorf("not ready within %v", readyBound)
	}
	return &Server{tb: tb, etcd: etcd, endpoint: config.AdvertiseClientUrls[0].String()}, nil
}

func configuration(tb testing.TB, options Options) (*embed.Config, error) {
	ports := cluster.FreePorts(tb, 2)
	peer := options.PeerURL
	if peer == "" {
		peer = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	}
	peerURL, err := url.Parse(peer)
	if err != nil {
		return nil, fmt.Errorf("peer URL: %w", err)
	}
	clientURL := url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", ports[1])}

	config := embed.NewConfig()
	config.Name = "default"
	if options.Name != "" {
		config.Name = options.Name
	}
	config.Dir = options.DataDir
	config.ListenPeerUrls = []url.URL{*peerURL}
	config.AdvertisePeerUrls = []url.URL{*peerURL}
	config.ListenClientUrls = []url.URL{clientURL}
	config.AdvertiseClientUrls = []url.URL{clientURL}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.UnsafeNoFsync = true
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	if options.Configure != nil {
		options.Configure(config)
	}
	return config, nil
}

// Endpoint is the client URL.
func (s *Server) Endpoint() string { return s.endpoint }

// Client returns a client of this etcd, closed with the test.
func (s *Server) Client() *clientv3.Client {
	s.tb.Helper()
	return cluster.Dial(s.tb, s.endpoint)
}

// Close stops the etcd. It may be called again.
func (s *Server) Close() { s.closing.Do(s.etcd.Close) }
