package hot

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Fleet makes the clients of a keyspace's shards. Those on one endpoint share its
// connections.
type Fleet struct {
	settings Settings
	parts    Components
	home     *Client

	mu    sync.Mutex
	redis map[string]redis.UniversalClient
}

// NewFleet makes the home shard's client of parts, which is also how those of other
// shards will be made. Its Redis remains the caller's to close.
func NewFleet(settings Settings, parts Components) (*Fleet, error) {
	home, err := New(settings, parts)
	if err != nil {
		return nil, err
	}
	return &Fleet{settings: settings, parts: parts, home: home, redis: make(map[string]redis.UniversalClient)}, nil
}

// Home is the home shard's client.
func (f *Fleet) Home() *Client { return f.home }

// Shard makes the client of another shard, at the URL of its endpoint; "" is the home
// shard's.
func (f *Fleet) Shard(number Shard, url string, refill Refill) (*Client, error) {
	settings, parts := f.settings, f.parts
	settings.Shard, parts.Sequencer, parts.Refill = number, f.home, refill
	connections, err := f.connect(url)
	if err != nil {
		return nil, fmt.Errorf("reach shard %d: %w", number, err)
	}
	parts.Redis = connections
	return New(settings, parts)
}

// connect gives the connections to an endpoint.
func (f *Fleet) connect(url string) (redis.UniversalClient, error) {
	if url == "" {
		return f.parts.Redis, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if known, ok := f.redis[url]; ok {
		return known, nil
	}
	endpoint, err := ParseEndpoint(url)
	if err != nil {
		return nil, err
	}
	if endpoint, err = endpoint.With(f.parts.Access); err != nil {
		return nil, err
	}
	f.redis[url] = endpoint.NewClient()
	return f.redis[url], nil
}

// Memory is the memory that the Redis at an endpoint uses, and its limit (0: none), in
// bytes; of a Redis Cluster the sums over its primaries.
func (f *Fleet) Memory(ctx context.Context, url string) (used, most int64, err error) {
	connections, err := f.connect(url)
	if err != nil {
		return 0, 0, err
	}
	return Memory(ctx, connections)
}

// Memory says what a Redis uses and may use, in bytes; of a Redis Cluster, all its primaries together. 0 is no limit.
func Memory(ctx context.Context, connections redis.UniversalClient) (used, most int64, err error) {
	var mu sync.Mutex
	ask := func(ctx context.Context, node redis.Cmdable) error {
		text, err := node.Info(ctx, "memory").Result()
		if err != nil {
			return fmt.Errorf("read memory use: %w", classify(err))
		}
		info := parseInfo(text)
		one, errOne := strconv.ParseInt(info["used_memory"], 10, 64)
		limit, errLimit := strconv.ParseInt(withDefault(info["maxmemory"], "0"), 10, 64)
		if err := errors.Join(errOne, errLimit); err != nil {
			return fmt.Errorf("read memory use: %w: %w", ErrReply, err)
		}
		mu.Lock()
		defer mu.Unlock()
		used, most = used+one, most+limit
		return nil
	}
	if cluster, ok := connections.(*redis.ClusterClient); ok {
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return ask(ctx, node) })
	} else {
		err = ask(ctx, connections)
	}
	return used, most, err
}

// Close ends the connections to all endpoints but the home shard's.
func (f *Fleet) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var failures []error
	for _, connections := range f.redis {
		failures = append(failures, connections.Close())
	}
	f.redis = make(map[string]redis.UniversalClient)
	return errors.Join(failures...)
}
