package main

import (
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/tierd/tierd/functions/audit"
	"github.com/tierd/tierd/functions/balance"
	"github.com/tierd/tierd/functions/compact"
	"github.com/tierd/tierd/functions/endpoint"
	"github.com/tierd/tierd/tiers/hot"
	"github.com/tierd/tierd/tiers/object"
)

const (
	// quotaBytesDefault is what a quota of 0 means.
	quotaBytesDefault = 2 << 30
	// requestBytesMax and txnOpsMax are the most that the limits can be set to.
	requestBytesMax = 1 << 30
	txnOpsMax       = math.MaxInt32
	// progressIntervalMin is the least interval of progress notices; a lesser one
	// is raised to it, as etcd does.
	progressIntervalMin = 100 * time.Millisecond
	// balanceIntervalMin is the least interval of looks at the shard map: each asks
	// every shard.
	balanceIntervalMin = time.Second
)

// config is what a user has asked of tierd serve, checked and complete.
type config struct {
	Name, DataDir, Keyspace string
	QuotaBytes              int64
	// DeletesMax and KeepNoSpace are router.Settings'.
	DeletesMax  int
	KeepNoSpace bool
	// RecordCacheBytes bounds the records kept in memory after they were read.
	RecordCacheBytes int64
	Compaction       compact.Settings
	// ReplicaAcks is how many replicas have to have what a client is told.
	ReplicaAcks         int
	Balance             balance.Settings
	HotTier             hotTier
	ObjectTier          object.Location
	Archive             archiveSettings
	Seal                sealSettings
	AdvertiseClientURLs []string
	Endpoint            endpoint.Settings
	// TLS is nil if no address is one with TLS.
	TLS *serverTLS
	// Tracing says where traces go; nil for nowhere.
	Tracing *endpoint.TracingSettings
	Log     logConfig
	// Audit says where the audit log goes; nil for nowhere.
	Audit *audit.Settings
	// GCHeadroomBytes is what may be allocated between two cycles of the garbage
	// collector; 0 leaves Go's own rule.
	GCHeadroomBytes uint64
	// Step is told of the steps of changes over several shards; nil but in tests.
	Step func(string)
	// Warnings are sentences for the log about what is allowed but risky.
	Warnings []string
}

// hotTier is where the sequencer is: the private Redis, or the one at Endpoint; and
// Others, the URLs of further endpoints for shards.
type hotTier struct {
	Local  bool
	Others []string
	// Binary is the private server's program, Endpoint the other's address.
	Binary   string
	Endpoint hot.Endpoint
	Access   hotAccess
}

// keyspacePattern is what a keyspace may be called: its name is part of every
// key in Redis, and of places in the object tier.
var keyspacePattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// check makes the configuration of the settings. The error is a usageError.
func (f *flags) check() (config, error) {
	c := config{
		Name: f.name, DataDir: f.dataDir, Keyspace: f.keyspace, QuotaBytes: f.quotaBackendBytes,
		RecordCacheBytes: f.recordCacheBytes, GCHeadroomBytes: f.gcHeadroomBytes,
	}
	if f.name == "" {
		return c, usage("--name must not be empty")
	}
	if c.DataDir == "" {
		c.DataDir = f.name + ".tierd"
	}
	if c.RecordCacheBytes < 0 {
		return c, usage("--record-cache-bytes must not be negative, not %d", c.RecordCacheBytes)
	}
	switch {
	case c.QuotaBytes == 0:
		c.QuotaBytes = quotaBytesDefault
	case c.QuotaBytes < 0:
		c.QuotaBytes = math.MaxInt64
	}
	if !keyspacePattern.MatchString(f.keyspace) {
		return c, usage("--keyspace must be 1 to 64 letters, digits, dots, underscores or hyphens, not %q", f.keyspace)
	}
	checks := []func(*config) error{
		f.checkHotTier, f.checkObjectTier, f.checkLimits, f.auth.check, f.checkURLs, f.checkTLS, f.checkCompaction, f.checkLog, f.checkTracing, f.checkAudit,
	}
	for _, check := range checks {
		if err := check(&c); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (f *flags) checkHotTier(c *config) error {
	if c.ReplicaAcks = f.replicaAcks; c.ReplicaAcks < 0 {
		return usage("--replica-acks must not be negative, not %d", c.ReplicaAcks)
	}
	if f.hotTier == "local" && c.ReplicaAcks > 0 {
		return usage("--replica-acks needs a Redis with replicas, and --hot-tier local has none")
	}
	access, err := f.access.check()
	if err != nil {
		return err
	}
	if f.hotTier == "local" {
		c.HotTier = hotTier{Local: true, Binary: f.redisServer, Access: access}
		return nil
	}
	if f.redisServer != "" {
		return usage("--redis-server has no meaning with --hot-tier at a URL: only --hot-tier local runs a server of its own")
	}
	urls := strings.Split(f.hotTier, ",")
	address, err := hot.ParseEndpoint(urls[0])
	if err != nil {
		return usage("--hot-tier is neither local nor a URL of a Redis: %v", err)
	}
	all := []hot.Endpoint{address}
	for _, text := range urls[1:] {
		other, err := hot.ParseEndpoint(text)
		if err != nil {
			return usage("--hot-tier names a further endpoint that cannot be used: %v", err)
		}
		all = append(all, other)
	}
	c.HotTier = hotTier{Endpoint: address, Others: urls[1:], Access: access}
	c.Warnings = append(c.Warnings, c.HotTier.warnings(all)...)
	return nil
}

func (f *flags) checkObjectTier(c *config) error {
	text := f.objectTier
	if text == "" {
		text = "file://" + filepath.Join(c.DataDir, "objects")
	}
	location, err := object.ParseLocation(text)
	if err != nil {
		return usage("--object-tier cannot be used: %v", err)
	}
	c.ObjectTier = location
	if location.Kind == object.KindNone {
		c.Warnings = append(c.Warnings, "--object-tier none: no archive is written, and what Redis loses is lost")
	}
	if location.Kind == object.KindFile && !c.HotTier.Local {
		c.Warnings = append(c.Warnings, fmt.Sprintf("the archive is written to %s, which other machines do not see: with more than one frontend give all the same --object-tier s3://", location))
	}
	if at, err := url.Parse(location.Endpoint); err == nil && at.Scheme == "http" && !thisMachine(*at) {
		c.Warnings = append(c.Warnings, fmt.Sprintf("--object-tier %s is reached at %s without TLS: whoever can see the traffic sees which objects there are, and can change what is answered", location, at.Host))
	}
	if c.Archive, err = f.archive.check(c.DataDir); err != nil {
		return err
	}
	c.Seal, err = f.seal.check()
	return err
}

// checkLimits checks the numbers of the client side and of this process.
func (f *flags) checkLimits(c *config) error {
	switch {
	case f.maxRequestBytes < 1 || f.maxRequestBytes > requestBytesMax:
		return usage("--max-request-bytes must be from 1 to %d, not %d", requestBytesMax, f.maxRequestBytes)
	case f.maxTxnOps < 1 || f.maxTxnOps > txnOpsMax:
		return usage("--max-txn-ops must be from 1 to %d, not %d", txnOpsMax, f.maxTxnOps)
	case f.gcHeadroomBytes > headroomMax:
		return usage("--gc-headroom-bytes must be from 0 to %d, not %d", headroomMax, f.gcHeadroomBytes)
	case f.maxConcurrentStreams == 0:
		return usage("--max-concurrent-streams must be at least 1")
	case f.keepaliveMinTime < 0 || f.keepaliveInterval < 0 || f.keepaliveTimeout < 0:
		return usage("--grpc-keepalive-min-time, --grpc-keepalive-interval and --grpc-keepalive-timeout must not be negative")
	case f.watchProgressInterval < 0:
		return usage("--watch-progress-notify-interval must not be negative")
	case f.balanceInterval < balanceIntervalMin:
		return usage("--balance-interval must be at least %v, not %v", balanceIntervalMin, f.balanceInterval)
	}
	c.Balance = balance.DefaultSettings()
	c.Balance.Off, c.Balance.Interval = !f.balance, f.balanceInterval
	interval := f.watchProgressInterval
	if interval > 0 && interval < progressIntervalMin {
		c.Warnings = append(c.Warnings, fmt.Sprintf("--watch-progress-notify-interval %v is too short and raised to %v", interval, progressIntervalMin))
		interval = progressIntervalMin
	}
	c.Endpoint = endpoint.Settings{
		MaxRequestBytes:             int(f.maxRequestBytes),
		MaxTxnOps:                   int(f.maxTxnOps),
		MaxConcurrentStreams:        f.maxConcurrentStreams,
		Keepalive:                   endpoint.Keepalive{MinTime: f.keepaliveMinTime, Interval: f.keepaliveInterval, Timeout: f.keepaliveTimeout},
		WatchProgressNotifyInterval: interval,
		Version:                     version,
		EnablePprof:                 f.enablePprof,
		Browsers:                    f.browsers.settings(),
	}
	return f.limits.check(c)
}

// checkURLs checks where clients are served, and what they are told.
func (f *flags) checkURLs(c *config) error {
	seen := make(map[string]string)
	var err error
	if c.Endpoint.ListenClientURLs, err = listenURLs("--listen-client-urls", f.listenClientURLs, seen); err != nil {
		return err
	}
	if len(c.Endpoint.ListenClientURLs) == 0 {
		return usage("--listen-client-urls must name at least one URL")
	}
	if c.Endpoint.ListenMetricsURLs, err = listenURLs("--listen-metrics-urls", f.metricsURLs, seen); err != nil {
		return err
	}
	if f.enablePprof && len(f.metricsURLs) == 0 {
		return usage("--enable-pprof serves profiles on --listen-metrics-urls only, and that is not set")
	}
	if c.AdvertiseClientURLs, err = f.advertised(c.Endpoint.ListenClientURLs); err != nil {
		return err
	}
	return nil
}

// advertised are the URLs for the member list.
func (f *flags) advertised(listen []url.URL) ([]string, error) {
	if len(f.advertiseClientURLs) > 0 {
		return advertisedURLs(f.advertiseClientURLs)
	}
	told := make([]string, 0, len(listen))
	for _, u := range listen {
		if everyInterface(u) || u.Port() == "0" {
			return nil, usage("--advertise-client-urls is required with --listen-client-urls %s, an address that clients cannot dial", u.String())
		}
		told = append(told, u.String())
	}
	return told, nil
}

// checkTracing checks where traces go.
func (f *flags) checkTracing(c *config) error {
	if f.tracingSamplingRate < 0 || f.tracingSamplingRate > 1_000_000 {
		return usage("--distributed-tracing-sampling-rate must be from 0 to 1000000, not %d", f.tracingSamplingRate)
	}
	if !f.tracing {
		return nil
	}
	if err := checkHostPort(f.tracingAddress); err != nil {
		return usage("--distributed-tracing-address must be host:port, not %q", f.tracingAddress)
	}
	c.Tracing = &endpoint.TracingSettings{
		Address: f.tracingAddress, ServiceName: f.tracingService, InstanceID: f.tracingInstance,
		SamplingRatePerMillion: f.tracingSamplingRate,
	}
	return nil
}
