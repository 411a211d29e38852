package hot

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// The oldest servers that are supported: from Redis 7 on, the script cache is
// neither saved nor replicated, which recovery is built on. Valkey's own
// numbering starts at 7.2 and is supported from 8 on.
const (
	redisVersionMin  = 7
	valkeyVersionMin = 8
)

// ErrUnfit marks a Redis that must not hold a keyspace as it is configured: the
// error's text is one sentence that says what to change. It is the operator's to
// mend, so asking again does not help.
var ErrUnfit = errors.New("redis is not fit to be a hot tier")

// unfitError is a sentence that is an ErrUnfit.
type unfitError struct{ sentence string }

func (e *unfitError) Error() string { return e.sentence }
func (e *unfitError) Unwrap() error { return ErrUnfit }

func unfit(format string, args ...any) error {
	return &unfitError{sentence: fmt.Sprintf(format, args...)}
}

// Report is what Check found out.
type Report struct {
	// Server is "redis" or "valkey", Version its version ("7.0.15").
	Server, Version string
	// Warnings are sentences about settings that are risky, or that the server
	// does not let anyone read.
	Warnings []string
}

// Check asks every primary behind client whether it is fit to be a hot tier. The
// error wraps ErrUnfit if one is too old, may evict data, keeps nothing on disk,
// is a replica, does not know the user, or belongs to a cluster that the client
// does not know of; any other error means that a server could not be asked.
func Check(ctx context.Context, client redis.UniversalClient) (Report, error) {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return checkServer(ctx, client, false)
	}
	var mu sync.Mutex
	var all Report
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		report, err := checkServer(ctx, node, true)
		mu.Lock()
		defer mu.Unlock()
		all.Server, all.Version = report.Server, report.Version
		for _, warning := range report.Warnings {
			all.Warnings = append(all.Warnings, node.Options().Addr+": "+warning)
		}
		return err
	})
	return all, err
}

// checkServer is Check for one server.
func checkServer(ctx context.Context, client redis.Cmdable, inCluster bool) (Report, error) {
	text, err := client.Info(ctx).Result()
	if refusedByServer(err) {
		return Report{Server: "redis", Version: "unknown", Warnings: []string{fmt.Sprintf(
			"Redis does not let tierd run INFO (%v), so its version, memory policy and persistence could not be checked.", err)}}, nil
	}
	if redis.HasErrorPrefix(err, "WRONGPASS") || redis.HasErrorPrefix(err, "NOAUTH") {
		return Report{}, unfit("Redis does not accept the user and password of the URL, or wants some where it has none (%v).", err)
	}
	if err != nil {
		return Report{}, fmt.Errorf("ask Redis for INFO: %w", err)
	}
	info := parseInfo(text)
	report, err := checkVersion(info)
	if err != nil {
		return report, err
	}
	if info["loading"] == "1" {
		// It would be refused for what it says of itself: that it has no append-only file.
		return report, errors.New("ask Redis for INFO: it is loading its data")
	}
	if err := checkRole(info, inCluster); err != nil {
		return report, err
	}
	if policy := info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		return report, unfit("Redis has maxmemory-policy %q and may delete data to free memory: set maxmemory-policy to noeviction.", policy)
	}
	report.Warnings, err = checkPersistence(ctx, client, info)
	return report, err
}

// checkVersion names the server and refuses one that is too old.
func checkVersion(info map[string]string) (Report, error) {
	report := Report{Server: "redis", Version: info["redis_version"]}
	atLeast := redisVersionMin
	if version := info["valkey_version"]; version != "" {
		report.Server, report.Version, atLeast = "valkey", version, valkeyVersionMin
	}
	major, _, _ := strings.Cut(report.Version, ".")
	number, err := strconv.Atoi(major)
	if err != nil || number < atLeast {
		return report, unfit("the server is %s %s, and tierd needs Redis %d or newer or Valkey %d or newer.",
			report.Server, withDefault(report.Version, "of an unknown version"), redisVersionMin, valkeyVersionMin)
	}
	return report, nil
}

// checkRole refuses servers that would not run the scripts of a keyspace.
func checkRole(info map[string]string, inCluster bool) error {
	if info["role"] == "slave" {
		return unfit("the Redis server is a read-only replica: name its primary, or the Sentinels that know it (master_name=...).")
	}
	if info["cluster_enabled"] == "1" && !inCluster {
		return unfit("the Redis server belongs to a Redis Cluster: write the URL as redis+cluster://... (or rediss+cluster://...).")
	}
	return nil
}

// persistence are the settings that only CONFIG GET shows.
type persistence struct {
	known                       bool
	fsync, save, pauseOnRewrite string
}

// checkPersistence tells what an acknowledged write survives.
func checkPersistence(ctx context.Context, client redis.Cmdable, info map[string]string) ([]string, error) {
	settings, err := readPersistence(ctx, client)
	if err != nil {
		return nil, err
	}
	appendOnly := info["aof_enabled"] == "1"
	switch {
	case !settings.known && appendOnly:
		return []string{"Redis does not let tierd read appendfsync: unless it is always (or the service keeps a durable log), a crash of Redis loses acknowledged writes."}, nil
	case !settings.known:
		return []string{"Redis does not let tierd read its persistence settings: unless the service keeps a durable log, a crash of Redis loses acknowledged writes."}, nil
	case !appendOnly && settings.save == "":
		return nil, unfit("Redis keeps nothing on disk: set appendonly yes and appendfsync always.")
	case !appendOnly:
		return []string{"Redis only saves snapshots: a crash loses every acknowledged write since the last one; set appendonly yes and appendfsync always."}, nil
	case settings.fsync != "always":
		return []string{fmt.Sprintf("Redis has appendfsync %s: a crash loses the acknowledged writes of the last second or more; set appendfsync always.", settings.fsync)}, nil
	case settings.pauseOnRewrite == "yes":
		return []string{"Redis has no-appendfsync-on-rewrite yes: a crash during an AOF rewrite loses acknowledged writes; set it to no."}, nil
	default:
		return nil, nil
	}
}

// readPersistence reads the settings, or leaves them unknown where the server
// refuses CONFIG GET, as managed services and ACLs do.
func readPersistence(ctx context.Context, client redis.Cmdable) (persistence, error) {
	var found persistence
	for name, value := range map[string]*string{
		"appendfsync": &found.fsync, "save": &found.save, "no-appendfsync-on-rewrite": &found.pauseOnRewrite,
	} {
		values, err := client.ConfigGet(ctx, name).Result()
		if refusedByServer(err) {
			return persistence{}, nil
		}
		if err != nil {
			return persistence{}, fmt.Errorf("ask Redis for its setting %s: %w", name, err)
		}
		*value = values[name]
	}
	// A service that answers with an empty list hides the setting.
	found.known = found.fsync != ""
	return found, nil
}

// refusedByServer tells that the server forbids the command to this user, or has
// it disabled or renamed.
func refusedByServer(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "unknown command")
}

// parseInfo reads the reply of INFO: lines of name:value.
func parseInfo(text string) map[string]string {
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			info[name] = value
		}
	}
	return info
}
