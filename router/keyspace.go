// Package router owns one keyspace: which shard holds a key, the one dense
// order of revisions, transactions, leases and the reading of any revision. It
// speaks etcd's request and response messages as its transaction language and
// knows nothing of gRPC; the tiers below it know nothing of etcd.
//
// What survives a crash of this process is exactly what the hot tier answered:
// the package keeps no durable state of its own.
package router

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tierd/tierd/tiers/hot"
)

// Revision is hot.Revision: the number of a state of the keyspace.
type Revision = hot.Revision

// LeaseTTLMax is the largest time to live of a lease, in seconds (etcd's
// lease.MaxLeaseTTL).
const LeaseTTLMax = 9_000_000_000

// Settings are the values a user may change.
type Settings struct {
	// Keyspace is the name of the keyspace; it prefixes every Redis key.
	Keyspace string
	// Name and ClientURLs are what this frontend shows in the member list.
	Name       string
	ClientURLs []string
	// MemberID identifies this frontend among the live ones; never 0.
	MemberID uint64
	// QuotaBytes bounds the data of the keyspace, in bytes; above it writes are
	// refused and the NOSPACE alarm is raised.
	QuotaBytes int64
	// RequestTimeout bounds one request when its context has no earlier end.
	RequestTimeout time.Duration
}

// Components are what a keyspace is built from.
type Components struct {
	Hot    *hot.Client
	Logger *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
	// Random is where ids come from.
	Random io.Reader
}

// Keyspace is one keyspace as one frontend serves it. It implements API.
type Keyspace struct {
	settings Settings
	hot      *hot.Client
	logger   *slog.Logger
	entropy  io.Reader
	metrics  metrics

	commits *queue[*hot.Transaction, committed]
	gets    *queue[hot.KeyRead, hot.ReadResult]
	pages   *queue[hot.Read, hot.ReadResult]
	leases  *queue[hot.LeaseCall, leaseAnswer]

	// stopped is closed when no new request is taken any more; working ends when
	// those that were taken have been answered or the time to do so is over.
	stopped chan struct{}
	stop    sync.Once
	working context.Context
	abort   context.CancelFunc
	loops   sync.WaitGroup

	sweepNow  chan struct{}
	newestCut atomic.Pointer[string]
	// summary is what the last heartbeat answered.
	summary   atomic.Pointer[hot.Summary]
	entropyMu sync.Mutex // guards entropy
}

var _ API = (*Keyspace)(nil)

// Open takes the keyspace into service: it makes contact with the hot tier, runs
// recovery if that is needed, creates the keyspace if it is new, and registers
// this frontend. An error means that nothing is served; ErrCorrupt does not stop
// it: a corrupt keyspace is opened, refuses everything and shows its alarm.
func Open(ctx context.Context, settings Settings, components Components) (*Keyspace, error) {
	if settings.MemberID == 0 || settings.RequestTimeout <= 0 || settings.QuotaBytes <= 0 {
		return nil, errors.New("open keyspace: member id, request timeout and quota must be set")
	}
	working, abort := context.WithCancel(context.Background())
	k := &Keyspace{
		settings: settings, hot: components.Hot, logger: components.Logger, entropy: components.Random,
		stopped: make(chan struct{}), working: working, abort: abort, sweepNow: make(chan struct{}, 1),
	}
	var err error
	if k.metrics, err = newMetrics(components.Metrics); err != nil {
		abort()
		return nil, err
	}
	if err := k.beat(ctx); err != nil {
		abort()
		return nil, fmt.Errorf("open keyspace %s: %w", settings.Keyspace, err)
	}
	k.startLanes()
	k.loops.Go(k.heartbeatLoop)
	k.loops.Go(k.sweepLoop)
	k.wakeSweeper() // what a dead frontend left half swept
	return k, nil
}

func (k *Keyspace) startLanes() {
	k.commits = newQueue[*hot.Transaction, committed](k, "commit", weighTransaction,
		weight{requests: commitTransactionsMax, bytes: commitBytesMax, strings: hot.BatchStringsMax})
	for range commitLanes {
		lane := &commitLane{k: k}
		k.commits.start(lane.serve)
	}
	k.gets = newQueue[hot.KeyRead, hot.ReadResult](k, "get", weighGet, weight{requests: getsMax})
	for range getLanes {
		k.gets.start(k.serveGets)
	}
	k.pages = newQueue[hot.Read, hot.ReadResult](k, "page", weighRead, weight{requests: 1})
	for range pageLanes {
		k.pages.start(k.serveReads)
	}
	k.leases = newQueue[hot.LeaseCall, leaseAnswer](k, "lease", weighLease, weight{requests: leasesMax, bytes: 1, strings: 1})
	for range leaseLanes {
		k.leases.start(k.serveLeases)
	}
}

// Close refuses new requests, answers those that were taken, within ctx, and
// removes this frontend from the member list. It does not close the hot tier's
// client.
func (k *Keyspace) Close(ctx context.Context) error {
	k.stop.Do(func() { close(k.stopped) })
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		k.commits.wait()
		k.gets.wait()
		k.pages.wait()
		k.leases.wait()
	}()
	var err error
	select {
	case <-drained:
	case <-ctx.Done():
		err = fmt.Errorf("close keyspace %s: requests were still under way: %w", k.settings.Keyspace, ctx.Err())
	}
	k.abort()
	<-drained
	k.loops.Wait()
	if _, leaveErr := k.hot.Summary(ctx, hot.MemberLeave, nil); leaveErr != nil {
		err = errors.Join(err, fmt.Errorf("leave the member list: %w", leaveErr))
	}
	return err
}

// random gives a number from the entropy source.
func (k *Keyspace) random() (uint64, error) {
	k.entropyMu.Lock()
	defer k.entropyMu.Unlock()
	var b [8]byte
	if _, err := io.ReadFull(k.entropy, b[:]); err != nil {
		return 0, fmt.Errorf("read random numbers: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]), nil
}
