package shards

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
)

// Map is the shard map as tierd shard status tells it.
type Map struct {
	Revision, Epoch int64
	Endpoints       []Endpoint
	Shards          []Shard
	Ranges          []Range
	Move            *json.RawMessage
}

// Endpoint is a Redis that shards live on.
type Endpoint struct {
	ID int
}

// Shard is one shard.
type Shard struct {
	ID, Endpoint           int
	Role                   string
	Keys                   int64
	Tail, Ordered, Stamped int64
	Locked                 bool
	Failure                string
	Unordered, Unstamped   int64
}

// Range is a range of keys and the shard that has it.
type Range struct {
	From, To        Key
	Shard, Endpoint int
	Keys            int64
}

// Key is a key of the map.
type Key []byte

// UnmarshalJSON reads the digits that stand beside the text.
func (k *Key) UnmarshalJSON(text []byte) error {
	var both struct{ Hex string }
	if err := json.Unmarshal(text, &both); err != nil {
		return err
	}
	key, err := hex.DecodeString(both.Hex)
	*k = key
	return err
}

// Read gives the map.
func Read(ctx context.Context, c *cluster.Cluster) (Map, error) {
	out, err := c.Tool(ctx, nil, "shard", "status", "--output", "json")
	if err != nil {
		return Map{}, err
	}
	var m Map
	if err := json.Unmarshal(out, &m); err != nil {
		return Map{}, fmt.Errorf("decode the shard map: %w", err)
	}
	return m, nil
}

// Split divides the range that holds a key before it.
func Split(ctx context.Context, c *cluster.Cluster, at []byte) error {
	_, err := c.Tool(ctx, nil, "shard", "split", "--hex", hex.EncodeToString(at))
	return err
}

// Merge joins the ranges that meet at a key.
func Merge(ctx context.Context, c *cluster.Cluster, at []byte) error {
	_, err := c.Tool(ctx, nil, "shard", "merge", "--hex", hex.EncodeToString(at))
	return err
}

// Move gives the ranges from one boundary to another to a new shard. What is in env
// is added to the mover's environment.
func Move(ctx context.Context, c *cluster.Cluster, env []string, from, to []byte, endpoint int) error {
	_, err := c.Tool(ctx, env, "shard", "move", "--hex", "--from="+hex.EncodeToString(from), "--to="+hex.EncodeToString(to),
		"--endpoint", strconv.Itoa(endpoint))
	return err
}

// Spread cuts all keys at boundaries, which are in order, and moves each part but the
// first to a shard of its own, on the endpoints in turns.
func Spread(tb testing.TB, c *cluster.Cluster, boundaries ...string) {
	tb.Helper()
	for _, at := range boundaries {
		if err := Split(tb.Context(), c, []byte(at)); err != nil {
			tb.Fatal(err)
		}
	}
	for i, from := range boundaries {
		to := ""
		if i+1 < len(boundaries) {
			to = boundaries[i+1]
		}
		if err := Move(tb.Context(), c, nil, []byte(from), []byte(to), (i+1)%len(c.HotTier)); err != nil {
			tb.Fatal(err)
		}
	}
}

// Changer changes the map at random, so that it stays around a number of ranges.
type Changer struct {
	*rand.Rand
	Cluster *cluster.Cluster
	// Key gives a key to cut at; Ranges is how many ranges there are to be.
	Key    func() []byte
	Ranges int
}

// Change splits, moves or merges at random, and says what it did. A change that meets
// another one, or that cannot be made of the map as it is, is no error and says "".
func (c *Changer) Change(ctx context.Context) (string, error) {
	m, err := Read(ctx, c.Cluster)
	if err != nil {
		return "", err
	}
	kind := c.IntN(4)
	var what string
	switch {
	case kind == 0 && len(m.Ranges) < 2*c.Ranges || len(m.Ranges) < c.Ranges/2+1:
		at := c.Key()
		what, err = fmt.Sprintf("split at %q", at), Split(ctx, c.Cluster, at)
	case kind == 1 && len(m.Ranges) > 1:
		what, err = c.merge(ctx, m)
	default:
		i := c.IntN(len(m.Ranges))
		last := i
		if len(m.Ranges) > c.Ranges && i+1 < len(m.Ranges) {
			last++
		}
		endpoint := m.Endpoints[c.IntN(len(m.Endpoints))].ID
		what = fmt.Sprintf("move %q to %q to endpoint %d", m.Ranges[i].From, m.Ranges[last].To, endpoint)
		err = Move(ctx, c.Cluster, nil, m.Ranges[i].From, m.Ranges[last].To, endpoint)
	}
	if refused(err) {
		return "", nil
	}
	return what, err
}

// merge joins two ranges of one shard, if there are such; else it moves two to one.
func (c *Changer) merge(ctx context.Context, m Map) (string, error) {
	for _, i := range c.Perm(len(m.Ranges) - 1) {
		if m.Ranges[i].Shard == m.Ranges[i+1].Shard {
			at := m.Ranges[i+1].From
			return fmt.Sprintf("merge at %q", at), Merge(ctx, c.Cluster, at)
		}
	}
	i := c.IntN(len(m.Ranges) - 1)
	from, to := m.Ranges[i].From, m.Ranges[i+1].To
	return fmt.Sprintf("move %q to %q to endpoint %d", from, to, m.Ranges[i].Endpoint), Move(ctx, c.Cluster, nil, from, to, m.Ranges[i].Endpoint)
}

// refused says that a command found that the map does not allow it, or met another
// change.
func refused(err error) bool {
	var failure *cluster.ToolError
	const usage = 2
	return errors.As(err, &failure) && (failure.Code == usage || strings.Contains(failure.Text, "another change of the shard map is under way"))
}

// Owner is the range that a key is in.
func (m *Map) Owner(key []byte) Range {
	for _, r := range m.Ranges {
		if bytes.Compare(r.From, key) <= 0 && (len(r.To) == 0 || bytes.Compare(key, r.To) < 0) {
			return r
		}
	}
	return Range{}
}
