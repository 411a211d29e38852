package hot

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Limits of a connection to Redis where the URL names none.
const (
	endpointDialTimeout  = 2 * time.Second
	endpointReadTimeout  = 10 * time.Second
	endpointWriteTimeout = 5 * time.Second
	endpointPoolSize     = 32
	endpointClientName   = "tierd"
)

// How a silent connection with TLS is found to be broken; those without get the same from the driver.
const (
	keepaliveIdle     = 30 * time.Second
	keepaliveInterval = 5 * time.Second
	keepaliveCount    = 3
)

// endpointKind says how the servers behind an endpoint are arranged.
type endpointKind int

const (
	kindSingle endpointKind = iota
	kindCluster
	kindSentinel
)

// String is the word for the kind in messages and logs.
func (k endpointKind) String() string {
	return [...]string{"single", "cluster", "sentinel"}[k]
}

// Endpoint is a place where Redis (or Valkey) is served: one server, a Redis
// Cluster, or the servers that a set of Sentinels watches. It is a value made by
// ParseEndpoint; the zero value is not usable.
type Endpoint struct {
	kind     endpointKind
	single   redis.Options
	cluster  redis.ClusterOptions
	sentinel redis.FailoverOptions
	// display is the URL without user, password and parameters, but for those that tell apart what is
	// behind the same addresses: a database, and the name of what Sentinels watch.
	display string
	// urlHost is the URL's host; empty for a socket.
	urlHost string
	access  Access
}

// refusedParameters are parameters of go-redis that would break a promise: a
// write repeated by the client may run twice, and a read from a replica is not
// linearizable.
func refusedParameters() map[string]string {
	const repeats = "tierd itself decides which calls may be repeated"
	const stale = "tierd reads from primaries only"
	const fixed = "tierd speaks RESP3 only"
	return map[string]string{
		"max_retries": repeats, "max_redirects": repeats,
		"read_only": stale, "route_by_latency": stale, "route_by_latency_tolerance": stale,
		"route_randomly": stale, "replica_only": stale, "use_disconnected_replicas": stale,
		"protocol": fixed,
	}
}

// ParseEndpoint reads the URL of a hot tier, with go-redis's parameters:
//
//	redis://user:password@host:6379/0             one server
//	rediss://user:password@host:6380              one server, TLS
//	unix:///run/redis.sock?db=0                   one server on a unix socket
//	redis://host1:6379?addr=host2:6379            Redis Cluster, by seed addresses
//	redis+cluster://host:6379                     Redis Cluster with one address
//	redis://s1:26379?addr=s2:26379&master_name=m  Sentinel; the user of the URL is
//	                                              the Sentinels', username= and
//	                                              password= are Redis'
//
// rediss:// and rediss+cluster:// speak TLS and trust the system's roots, or what
// With says. An error is one sentence that never holds the password.
func ParseEndpoint(rawURL string) (Endpoint, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return Endpoint{}, err
	}
	query := u.Query()
	for name, why := range refusedParameters() {
		if query.Has(name) {
			return Endpoint{}, fmt.Errorf("the Redis URL must not set %q: %s", name, why)
		}
	}
	e := Endpoint{kind: kindOf(u), display: u.Scheme + "://" + u.Host, urlHost: hostOf(u)}
	if u.Scheme == "unix" {
		e.display = "unix://" + u.Path
	}
	u.Scheme = strings.TrimSuffix(u.Scheme, "+cluster")
	if err := e.parseOptions(u.String()); err != nil {
		return Endpoint{}, fmt.Errorf("the Redis URL %s is not valid: %s", e.display,
			strings.TrimPrefix(err.Error(), "redis: "))
	}
	e.display += e.apart(u.Scheme)
	return e, nil
}

// apart is what the display says beside addresses.
func (e Endpoint) apart(scheme string) string {
	switch {
	case e.kind == kindSentinel:
		return "?" + url.Values{"master_name": {e.sentinel.MasterName}}.Encode()
	case e.kind == kindCluster || e.single.DB == 0:
		return ""
	case scheme == "unix":
		return fmt.Sprintf("?db=%d", e.single.DB)
	default:
		return fmt.Sprintf("/%d", e.single.DB)
	}
}

// parseURL takes a URL apart. Where its password is not percent-encoded, a part of that may
// stand where a host, a port, a path or a parameter is expected, from where messages and logs would
// repeat it: then nothing of the URL is.
func parseURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// url.Error repeats the whole URL, password and all: keep the cause only.
		if parse := (*url.Error)(nil); errors.As(err, &parse) && !strings.Contains(rawURL, "@") {
			return nil, fmt.Errorf("the Redis URL cannot be read: %w", parse.Err)
		}
		return nil, errors.New("the Redis URL cannot be read: all but letters and digits of user and password must be percent-encoded, and what follows the @ be a host")
	}
	switch behind := u.User == nil && strings.Contains(u.RawQuery, "@"); {
	case !slices.Contains([]string{"redis", "rediss", "unix", "redis+cluster", "rediss+cluster"}, u.Scheme):
		return nil, errors.New("the Redis URL must start with redis://, rediss://, redis+cluster://, rediss+cluster:// or unix://")
	case u.Opaque != "", strings.Contains(rawURL, "#"), behind, u.Scheme == "unix" && u.Host != "",
		strings.Contains(u.EscapedPath(), "@"):
		return nil, errors.New("the Redis URL has a #, an @ behind its host, or a unix:// path that does not begin with a slash: in user, password, path and parameters these must be percent-encoded")
	}
	return u, nil
}

// kindOf tells the arrangement from the scheme and the parameters.
func kindOf(u *url.URL) endpointKind {
	query := u.Query()
	switch {
	case query.Has("master_name"):
		return kindSentinel
	case strings.HasSuffix(u.Scheme, "+cluster"), query.Has("addr"):
		return kindCluster
	default:
		return kindSingle
	}
}

// parseOptions lets go-redis read the URL for the endpoint's kind.
func (e *Endpoint) parseOptions(rawURL string) error {
	switch e.kind {
	case kindCluster:
		options, err := redis.ParseClusterURL(rawURL)
		if err != nil {
			return err
		}
		e.cluster = *options
	case kindSentinel:
		options, err := redis.ParseFailoverURL(rawURL)
		if err != nil {
			return err
		}
		if options.MasterName == "" {
			return errors.New("master_name is empty")
		}
		e.sentinel = *options
	default:
		options, err := redis.ParseURL(rawURL)
		if err != nil {
			return err
		}
		e.single = *options
	}
	return nil
}

// String is the endpoint without credentials, for logs and messages.
func (e Endpoint) String() string {
	return e.display
}

// NewClient opens a pool of connections; nothing is dialled before the first
// call. The pool never repeats a command by itself: a call whose reply was lost
// may have run, and only the caller can find out. In a Redis Cluster a MOVED or
// ASK reply therefore comes back as an error (the map of slots is reloaded
// meanwhile); the command was not run and may be sent again.
func (e Endpoint) NewClient() redis.UniversalClient {
	switch e.kind {
	case kindCluster:
		client := redis.NewClusterClient(e.clusterOptions())
		client.OnNewNode(func(node *redis.Client) { node.AddHook(deadNodes{client}) })
		return client
	case kindSentinel:
		return redis.NewFailoverClient(e.sentinelOptions())
	default:
		return redis.NewClient(e.singleOptions())
	}
}

// withDefault is value, or fallback where the URL named none.
func withDefault[T comparable](value, fallback T) T {
	var none T
	if value == none {
		return fallback
	}
	return value
}

func (e Endpoint) singleOptions() *redis.Options {
	o := e.single
	o.CredentialsProviderContext = e.credentials(o.Username, o.Password)
	o.MaxRetries = -1
	o.DialerRetries = 1 // whoever calls has pauses of its own
	o.Protocol = 3
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	o.ClientName = withDefault(o.ClientName, endpointClientName)
	o.PoolSize = withDefault(o.PoolSize, endpointPoolSize)
	o.DialTimeout = withDefault(o.DialTimeout, endpointDialTimeout)
	o.Dialer = e.dialer(o.DialTimeout)
	o.ReadTimeout = withDefault(o.ReadTimeout, endpointReadTimeout)
	o.WriteTimeout = withDefault(o.WriteTimeout, endpointWriteTimeout)
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &o
}

func (e Endpoint) clusterOptions() *redis.ClusterOptions {
	o := e.cluster
	o.CredentialsProviderContext = e.credentials(o.Username, o.Password)
	o.MaxRetries = -1
	o.DialerRetries = 1 // whoever calls has pauses of its own
	// go-redis spends redirects on broken connections too, which would repeat a
	// write that may have run.
	o.MaxRedirects = -1
	o.Protocol = 3
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	o.ClientName = withDefault(o.ClientName, endpointClientName)
	o.PoolSize = withDefault(o.PoolSize, endpointPoolSize)
	o.DialTimeout = withDefault(o.DialTimeout, endpointDialTimeout)
	o.Dialer = e.dialer(o.DialTimeout)
	o.ReadTimeout = withDefault(o.ReadTimeout, endpointReadTimeout)
	o.WriteTimeout = withDefault(o.WriteTimeout, endpointWriteTimeout)
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &o
}

func (e Endpoint) sentinelOptions() *redis.FailoverOptions {
	o := e.sentinel
	o.MaxRetries = -1
	o.DialerRetries = 1 // whoever calls has pauses of its own
	o.Protocol = 3
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	o.ClientName = withDefault(o.ClientName, endpointClientName)
	o.PoolSize = withDefault(o.PoolSize, endpointPoolSize)
	o.DialTimeout = withDefault(o.DialTimeout, endpointDialTimeout)
	o.Dialer = e.dialer(o.DialTimeout)
	o.ReadTimeout = withDefault(o.ReadTimeout, endpointReadTimeout)
	o.WriteTimeout = withDefault(o.WriteTimeout, endpointWriteTimeout)
	return &o
}
