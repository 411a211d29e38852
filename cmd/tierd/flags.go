package main

import (
	"errors"
	"math"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/tierd/tierd/functions/balance"
)

// flags are the settings as they were written. Where etcd has the same setting,
// name, default and meaning are etcd's.
type flags struct {
	name, dataDir                                      string
	listenClientURLs, advertiseClientURLs, metricsURLs []string
	maxRequestBytes, maxTxnOps                         uint
	maxConcurrentStreams                               uint32
	quotaBackendBytes                                  int64
	compactionMode, compactionRetention                string
	watchProgressInterval                              time.Duration
	keepaliveMinTime, keepaliveInterval                time.Duration
	keepaliveTimeout                                   time.Duration
	logLevel, logFormat                                string
	logOutputs                                         []string
	enablePprof                                        bool
	tracing                                            bool
	tracingAddress, tracingService, tracingInstance    string
	tracingSamplingRate                                int
	gcHeadroomBytes                                    uint64

	recordCacheBytes int64
	replicaAcks      int

	balance         bool
	balanceInterval time.Duration

	configFile, keyspace, hotTier, redisServer, objectTier string

	archive  archiveFlags
	audit    auditFlags
	tls      tlsFlags
	access   accessFlags
	seal     sealFlags
	auth     authFlags
	browsers browserFlags
	limits   limitFlags
}

const defaultClientURL = "http://localhost:2379"

// register declares the flags.
func (f *flags) register(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringVar(&f.configFile, "config-file", "", "YAML file with settings, named as the flags")
	fs.StringVar(&f.name, "name", "default", "name of this frontend in the member list")
	fs.StringVar(&f.dataDir, "data-dir", "", `directory for local data (default "${name}.tierd")`)
	fs.Uint64Var(&f.gcHeadroomBytes, "gc-headroom-bytes", headroomDefault, "memory this process may allocate, in bytes, between two runs of its garbage collector; less is taken where a container has little; 0 leaves Go's own rule, as do the variables GOGC and GOMEMLIMIT")
	f.registerTiers(fs)
	f.registerEndpoint(fs)
	f.auth.register(fs)
	f.browsers.register(fs)
	f.registerObservation(fs)
}

// registerTiers declares tierd's own flags.
func (f *flags) registerTiers(fs *pflag.FlagSet) {
	fs.StringVar(&f.keyspace, "keyspace", "default", "name of the keyspace to serve; frontends with the same one and the same Redis serve the same data")
	fs.StringVar(&f.hotTier, "hot-tier", "local", `where the state lives: "local" runs a private redis-server in the data directory; or a URL, redis://, rediss:// or unix://, for a Redis Cluster redis+cluster://HOST or redis://HOST?addr=HOST2, for Sentinel redis://SENTINEL?master_name=NAME; further URLs after commas are endpoints that shards may be moved to`)
	f.access.register(fs)
	fs.IntVar(&f.replicaAcks, "replica-acks", 0, "replicas of each Redis that must have what a client is told before it is; 0 for a Redis without replicas, or with a durable log of its own")
	fs.StringVar(&f.redisServer, "redis-server", "", `program for --hot-tier local (default "redis-server" or else "valkey-server")`)
	fs.Int64Var(&f.recordCacheBytes, "record-cache-bytes", 128<<20, "memory for records that were read before, in bytes, so that they are not fetched from Redis again; 0 keeps none")
	fs.BoolVar(&f.balance, "balance", true, "split, move and merge key ranges so that no shard is too full or too busy; nothing happens with one Redis")
	fs.DurationVar(&f.balanceInterval, "balance-interval", balance.DefaultSettings().Interval, "how often shards are looked at to balance them, at least 1s")
	fs.StringVar(&f.objectTier, "object-tier", "", `where the archive lives: file://DIR, s3://bucket/prefix?region=R&endpoint=URL&path-style=true, or none; sse=AES256, sse=aws:kms or sse=aws:kms:KEY asks S3 to encrypt, too (default "file://${data-dir}/objects")`)
	f.archive.register(fs)
	f.seal.register(fs)
}

// registerEndpoint declares the flags of the client side.
func (f *flags) registerEndpoint(fs *pflag.FlagSet) {
	fs.StringSliceVar(&f.listenClientURLs, "listen-client-urls", []string{defaultClientURL}, "comma-separated URLs to serve clients on")
	fs.StringSliceVar(&f.advertiseClientURLs, "advertise-client-urls", nil, "comma-separated URLs under which clients reach this frontend (default --listen-client-urls)")
	fs.StringSliceVar(&f.metricsURLs, "listen-metrics-urls", nil, "comma-separated URLs to serve /metrics and health on as well")
	f.tls.register(fs)
	fs.UintVar(&f.maxRequestBytes, "max-request-bytes", 1_572_864, "largest client request accepted, in bytes")
	fs.UintVar(&f.maxTxnOps, "max-txn-ops", 128, "most operations in one transaction")
	fs.Uint32Var(&f.maxConcurrentStreams, "max-concurrent-streams", math.MaxUint32, "most concurrent streams of one client")
	f.limits.register(fs)
	fs.Int64Var(&f.quotaBackendBytes, "quota-backend-bytes", 0, "most data of the keyspace, in bytes, before it turns read-only; 0 means 2 GiB, less than 0 no limit")
	fs.StringVar(&f.compactionMode, "auto-compaction-mode", "periodic", "what --auto-compaction-retention counts: periodic (time) or revision (revisions)")
	fs.StringVar(&f.compactionRetention, "auto-compaction-retention", "0", "history to keep: hours or a duration such as 30m, or a number of revisions; 0 turns automatic compaction off")
	fs.DurationVar(&f.watchProgressInterval, "watch-progress-notify-interval", 0, "how often idle watches that ask for progress are told of it; 0 means 10m, the least is 100ms")
	fs.DurationVar(&f.keepaliveMinTime, "grpc-keepalive-min-time", 5*time.Second, "shortest interval at which a client may ping")
	fs.DurationVar(&f.keepaliveInterval, "grpc-keepalive-interval", 2*time.Hour, "how often idle connections are pinged; 0 turns it off")
	fs.DurationVar(&f.keepaliveTimeout, "grpc-keepalive-timeout", 20*time.Second, "how long a ping may stay unanswered; 0 turns it off")
}

// registerObservation declares the flags of logs, profiles and traces.
func (f *flags) registerObservation(fs *pflag.FlagSet) {
	fs.StringVar(&f.logLevel, "log-level", "info", "least level logged: debug, info, warn, error, panic or fatal")
	fs.StringVar(&f.logFormat, "log-format", "json", "format of the log: json or console")
	fs.StringSliceVar(&f.logOutputs, "log-outputs", []string{"default"}, "comma-separated targets of the log: default (stderr), stderr, stdout or a file")
	f.audit.register(fs)
	fs.BoolVar(&f.enablePprof, "enable-pprof", false, "serve /debug/pprof/ on --listen-metrics-urls")
	fs.BoolVar(&f.tracing, "enable-distributed-tracing", false, "send OpenTelemetry traces")
	fs.StringVar(&f.tracingAddress, "distributed-tracing-address", "localhost:4317", "host:port of the OpenTelemetry collector")
	fs.StringVar(&f.tracingService, "distributed-tracing-service-name", "tierd", "service name in traces")
	fs.StringVar(&f.tracingInstance, "distributed-tracing-instance-id", "", "id of this frontend in traces")
	fs.IntVar(&f.tracingSamplingRate, "distributed-tracing-sampling-rate", 0, "traces started here per million calls; those that callers started are always kept")
}

// flagError turns an error of the flag parser into a sentence.
func flagError(command string, err error) error {
	var (
		invalid  *pflag.InvalidValueError
		missing  *pflag.ValueRequiredError
		notExist *pflag.NotExistError
	)
	switch {
	case errors.As(err, &invalid):
		return valueError("--"+invalid.GetFlag().Name, invalid.GetFlag(), invalid.GetValue())
	case errors.As(err, &missing):
		return usage("--%s needs a value", missing.GetFlag().Name)
	case errors.As(err, &notExist) && notExist.GetSpecifiedShortnames() == "":
		return usage("%s has no flag --%s: see %s --help", command, notExist.GetSpecifiedName(), command)
	default:
		return usage("%s", err)
	}
}

// valueError says what kind of value a setting takes; where is how the user gave
// it.
func valueError(where string, flag *pflag.Flag, value string) error {
	return usage("%s must be %s, not %q", where, kindOfValue(flag.Value.Type()), value)
}

// kindOfValue is a type of the flag parser in words.
func kindOfValue(kind string) string {
	switch {
	case kind == "duration":
		return `a duration such as "30s" or "5m"`
	case kind == "bool":
		return "true or false"
	case strings.HasPrefix(kind, "uint"):
		return "a whole number of 0 or more, within its range"
	case strings.HasPrefix(kind, "int"):
		return "a whole number, within its range"
	default:
		return "a list of values without stray quotes"
	}
}
