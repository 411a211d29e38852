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
	"maps"
	"slices"
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

// DeletesMaxDefault is what Settings.DeletesMax is unless a user says otherwise: what
// Redis deletes within about a second.
const DeletesMaxDefault = 100_000

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
	// DeletesMax bounds the keys that one transaction may delete by ranges, so that no
	// call keeps Redis busy for long; 0 for no bound. The keys of a lease that has more go
	// in several transactions.
	DeletesMax int
	// KeepNoSpace leaves the NOSPACE alarm up, as etcd, until somebody lowers it. Otherwise
	// it goes when there is room again.
	KeepNoSpace bool
	// Unlisted says that a tool opens the keyspace: it is not in the member list.
	Unlisted bool
	// Step, if set, is told of each step of a change over several shards as it is done;
	// tests stop the process there.
	Step func(name string)
	// RequestTimeout bounds one request when its context has no earlier end.
	RequestTimeout time.Duration
}

// Components are what a keyspace is built from.
type Components struct {
	Fleet  *hot.Fleet
	Logger *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
	// Random is where ids come from.
	Random io.Reader
	// Sealing is the Sealer that Fleet was made with; nil for none, which opens no keyspace whose
	// values are sealed.
	Sealing Sealing
	// Archived, if set, gives the last revision that the archive has of the keyspace with a cluster id: a
	// witness when Redis has come back.
	Archived func(ctx context.Context, cluster uint64) (Revision, error)
}

// Keyspace is one keyspace as one frontend serves it. It implements API.
type Keyspace struct {
	settings Settings
	fleet    *hot.Fleet
	// hot is the home shard's client, and so the sequencer's.
	hot      *hot.Client
	logger   *slog.Logger
	entropy  io.Reader
	metrics  metrics
	sealing  Sealing
	archived func(ctx context.Context, cluster uint64) (Revision, error)

	leases    *queue[leaseRequest, leaseAnswer]
	sequences *queue[hot.Ask, sequenced]

	home *shard
	// maps is the shard map, mapMu held while it is read. shards are those that it
	// names, and the one that is being filled.
	maps     atomic.Pointer[shardMap]
	mapMu    sync.Mutex
	shardsMu sync.Mutex
	shards   map[hot.Shard]*shard
	filling  hot.Shard
	sizes    atomic.Pointer[sizes]

	// locks are the tokens that were found in the way; crossing lets one goroutine of
	// this frontend at a time want the ticket.
	locksMu  sync.Mutex
	locks    map[hot.Token]seenLock
	crossing chan struct{}

	// stopped is closed when no new request is taken any more; working ends when
	// those that were taken have been answered or the time to do so is over.
	stopped chan struct{}
	// quiet is closed when the shards' lanes have ended, which need the sequencer's.
	quiet   chan struct{}
	stop    sync.Once
	working context.Context
	abort   context.CancelFunc
	loops   sync.WaitGroup

	sweepNow chan struct{}
	// keptBack says that a hold has kept compacted revisions from being dropped.
	keptBack atomic.Bool
	// short says that a Redis has little memory left, as far as it was asked.
	short atomic.Bool
	// roomy counts the looks in a row that found room while the NOSPACE alarm was up; it belongs to
	// careLoop.
	roomy     int
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
		settings: settings, fleet: components.Fleet, hot: components.Fleet.Home(), logger: components.Logger, entropy: components.Random,
		archived: components.Archived, sealing: components.Sealing,
		stopped: make(chan struct{}), quiet: make(chan struct{}), working: working, abort: abort, sweepNow: make(chan struct{}, 1),
		shards: make(map[hot.Shard]*shard), locks: make(map[hot.Token]seenLock), crossing: make(chan struct{}, 1),
	}
	var err error
	if k.metrics, err = newMetrics(components.Metrics); err != nil {
		abort()
		return nil, err
	}
	k.hot.HearWitnesses(k.witnessed)
	if k.sealing != nil {
		k.sealing.OnUnknownKey(k.rereadSealing)
	}
	if err := k.beat(ctx); err != nil {
		abort()
		return nil, fmt.Errorf("open keyspace %s: %w", settings.Keyspace, err)
	}
	k.startLanes()
	if err := k.reloadMap(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open keyspace %s: %w", settings.Keyspace, err), k.Close(ctx))
	}
	k.loops.Go(k.heartbeatLoop)
	k.loops.Go(k.careLoop)
	k.loops.Go(k.sweepLoop)
	k.wakeSweeper() // what a dead frontend left half swept
	return k, nil
}

func (k *Keyspace) startLanes() {
	k.leases = newQueue[leaseRequest, leaseAnswer](k, k.quiet, "lease", weighLease, weight{requests: leasesMax, bytes: 1, strings: 1})
	for range leaseLanes {
		k.leases.start(k.serveLeases)
	}
	k.sequences = newQueue[hot.Ask, sequenced](k, k.quiet, "sequence", weighAsk, weight{requests: sequencesMax})
	k.sequences.start(k.serveSequence)
	k.home = k.newShard(hot.HomeShard, 0, k.hot)
	k.shards[hot.HomeShard] = k.home
}

// Close refuses new requests, answers those that were taken, within ctx, and
// removes this frontend from the member list. It does not close the hot tier's
// client.
func (k *Keyspace) Close(ctx context.Context) error {
	k.stop.Do(func() { close(k.stopped) })
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		k.stopShards()
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
	if k.settings.Unlisted {
		return err
	}
	if _, leaveErr := k.hot.Summary(ctx, hot.MemberLeave, nil); leaveErr != nil {
		err = errors.Join(err, fmt.Errorf("leave the member list: %w", leaveErr))
	}
	return err
}

// stopShards lets the lanes of all shards end, and after them those of the sequencer,
// which they need.
func (k *Keyspace) stopShards() {
	k.shardsMu.Lock()
	shards := slices.Collect(maps.Values(k.shards))
	k.shards = map[hot.Shard]*shard{hot.HomeShard: k.home}
	k.shardsMu.Unlock()
	for _, s := range shards {
		close(s.stopped)
	}
	for _, s := range shards {
		s.wait()
	}
	close(k.quiet)
	k.leases.wait()
	k.sequences.wait()
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
