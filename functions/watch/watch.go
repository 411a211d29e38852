// Package watch is etcd's Watch service: it translates between the streams of
// clients and the feed.
//
// It promises what the feed promises (package feed names it), and the manners of
// etcd on the wire: what is refused is refused inside the stream, with etcd's
// words and watch id -1; the answer to a request comes before what follows from
// it; the events of one revision come in one response, or in fragments of one
// where the client asked for that; headers carry the revisions that etcd's do.
//
// It differs from etcd in two things that no client can rely on. A long history
// is cut into responses by size, not after a thousand revisions, and the header
// of each tells the last revision that it covers. And a watch that compaction has
// ended does not silence the progress of its stream while the client has yet to
// cancel it.
//
// A stream has two goroutines. One receives requests and waits for the feed's
// answer to each, so that requests of one stream take effect in their order. The
// other sends what the feed has queued, and tells progress from time to time. A
// client that does not read stops the second and nothing else.
//
// Nothing survives a crash: clients open their watches again elsewhere, from the
// revision after the last one they saw.
package watch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tierd/tierd/functions/wire"
	"github.com/tierd/tierd/router/feed"
)

const (
	// progressIntervalDefault and progressIntervalMin are etcd's.
	progressIntervalDefault = 10 * time.Minute
	progressIntervalMin     = 100 * time.Millisecond
	// jitterPart is which part of the interval its jitter may be: a tenth.
	jitterPart = 10
	// maxRequestBytesDefault is etcd's 1.5 MiB, and overheadBytes what etcd allows
	// a message to be larger than the request in it.
	maxRequestBytesDefault = 3 << 19
	overheadBytes          = 512 << 10
	// WatchesMaxDefault bounds the watches of one stream: each costs about a kilobyte.
	WatchesMaxDefault = 100_000
)

// Settings are the values a user may change. A zero field means the default.
type Settings struct {
	// ProgressNotifyInterval is how long a watch with progress_notify may be
	// without a response; 100 ms at least.
	ProgressNotifyInterval time.Duration
	// MaxRequestBytes is the limit of a request (--max-request-bytes). Responses
	// from 512 KiB above it on are sent in fragments to clients that asked for that.
	MaxRequestBytes int
	// WatchesMax is how many watches one stream may have at once; 0 means
	// WatchesMaxDefault.
	WatchesMax int
	// Jitter returns a random duration below limit, to be added to the interval of
	// one stream, so that clients which came together are not told together. nil
	// means none.
	Jitter func(limit time.Duration) time.Duration
	// Gate says who may watch what; nil lets everybody watch everything.
	Gate Gate
	// NewTicker makes the ticker of one stream; stop ends it. nil means time's.
	NewTicker func(interval time.Duration) (tick <-chan time.Time, stop func())
}

// Gate decides on new watches.
type Gate interface {
	// PermitWatch says whether the caller of ctx may watch a key or a range; refused is why
	// not, as etcd says it. The holder of the right and the version of the auth data it is
	// from are the feed's business. err says that this could not be found out.
	PermitWatch(ctx context.Context, key, end []byte) (holder string, version int64, refused, err error)
}

// interval is the progress interval without jitter.
func (s *Settings) interval() time.Duration {
	if s.ProgressNotifyInterval <= 0 {
		return progressIntervalDefault
	}
	return max(s.ProgressNotifyInterval, progressIntervalMin)
}

// watchesMax is how many watches one stream may have.
func (s *Settings) watchesMax() int {
	if s.WatchesMax <= 0 {
		return WatchesMaxDefault
	}
	return s.WatchesMax
}

// newTicker makes the ticker of one stream.
func (s *Settings) newTicker() (<-chan time.Time, func()) {
	interval := s.interval()
	if s.Jitter != nil {
		interval += s.Jitter(interval / jitterPart)
	}
	if s.NewTicker != nil {
		return s.NewTicker(interval)
	}
	ticker := time.NewTicker(interval)
	return ticker.C, ticker.Stop
}

// fragmentBytes is the size from which a response is sent in fragments.
func (s *Settings) fragmentBytes() int {
	if s.MaxRequestBytes <= 0 {
		return maxRequestBytesDefault + overheadBytes
	}
	return s.MaxRequestBytes + overheadBytes
}

// server is the service.
type server struct {
	identity wire.Identity
	feed     *feed.Feed
	settings Settings
	draining <-chan struct{}
	logger   *slog.Logger
	metrics  *metrics

	// A new method of the service shall not compile unnoticed.
	pb.UnsafeWatchServer
}

// New makes the service. All its streams end with Unavailable when draining is
// closed, so that clients go on elsewhere; nil means never.
func New(identity wire.Identity, f *feed.Feed, settings Settings, draining <-chan struct{},
	logger *slog.Logger, registerer prometheus.Registerer,
) pb.WatchServer {
	if asked := settings.ProgressNotifyInterval; asked > 0 && asked < progressIntervalMin {
		logger.Warn("the watch progress interval is too short and is raised", "asked", asked, "interval", progressIntervalMin)
	}
	return &server{
		identity: identity, feed: f, settings: settings, draining: draining,
		logger: logger, metrics: newMetrics(registerer),
	}
}

// Watch serves one stream until the client leaves, the feed ends it, or the
// frontend drains. As in etcd, a client that has only closed its sending side
// still receives.
func (s *server) Watch(stream pb.Watch_WatchServer) error {
	ctx := stream.Context()
	hub, err := s.feed.Open(requiresLeader(ctx))
	if err != nil {
		return toStatus(err)
	}
	defer hub.Close()
	// Sending may block on a client that does not read. gRPC unblocks both when
	// this method returns, so it does not wait for them.
	failed := make(chan error, 2)
	go func() { failed <- newReceiver(s, stream, hub).run() }()
	go func() { failed <- newSender(s, stream, hub).run() }()
	for {
		select {
		case err := <-failed:
			if err != nil {
				return toStatus(err)
			}
			// The client has closed its side: no more requests.
		case <-ctx.Done():
			return toStatus(ctx.Err())
		case <-hub.Done():
			return toStatus(hub.Err())
		case <-s.draining:
			return rpctypes.ErrGRPCStopped
		}
	}
}

// requiresLeader tells whether the client wants its stream to end when the
// keyspace is out of reach.
func requiresLeader(ctx context.Context) bool {
	values := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataRequireLeaderKey)
	return len(values) > 0 && values[0] == rpctypes.MetadataHasLeader
}

// toStatus gives the end of a stream its gRPC status.
func toStatus(err error) error {
	switch {
	case errors.Is(err, feed.ErrNoLeader):
		return rpctypes.ErrGRPCNoLeader
	case errors.Is(err, context.Canceled), status.Code(err) == codes.Canceled:
		return rpctypes.ErrGRPCWatchCanceled
	}
	return wire.Error(err)
}
