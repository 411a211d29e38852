// Package hot is the Redis tier: connections, the Lua scripts of a shard and of
// the sequencer, and the typed calls to them. It knows bytes, revisions and
// positions, not etcd.
//
// A call has three outcomes: done, not done, unknown (ErrUnknown). A call that
// only reads is repeated until its context ends; one that writes never is: its
// caller asks Resolve. What Redis acknowledged is what survives a crash.
//
// Fencing: the text of every script carries the incarnation of the Redis it is
// loaded on, a random number taken in recovery. A restarted or promoted Redis
// does not know the text (its script cache starts empty) and nothing can run on
// it before recovery has compared what it holds with what this process has seen.
package hot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Limits of recovery and of repeating.
const (
	// MemberGood is how long a heartbeat proves that a frontend is alive.
	MemberGood = 5 * time.Second
	// MemberKept is how long a silent frontend is remembered, for the outcomes
	// of its last calls.
	MemberKept = time.Hour
	// witnessWait is how long recovery waits for frontends that were alive.
	witnessWait = 700 * time.Millisecond
	// refillWait is how long the frontends may take to bring back the next of the positions
	// that a shard has lost.
	refillWait = 1200 * time.Millisecond
	// recoverPoll is the pause between two looks while recovery waits.
	recoverPoll = 15 * time.Millisecond
	// callTimeout bounds a call with all its repetitions, whatever its caller's
	// context allows: etcd's 5 s and two elections.
	callTimeout = 7 * time.Second
	// retryPauseMin and retryPauseMax bound the pause before a repeated call.
	retryPauseMin, retryPauseMax = 5 * time.Millisecond, 250 * time.Millisecond
)

// Settings name the keyspace and this frontend.
type Settings struct {
	// Keyspace is 1 to 64 letters, digits, '.', '_' or '-'.
	Keyspace string
	// Existing says that the keyspace is not to be made if it does not exist.
	Existing bool
	// Shard is the shard that the client calls.
	Shard Shard
	// MemberID identifies this frontend, never 0.
	MemberID uint64
	// ReplicaAcks is how many replicas have to have what a call is answered from; 0 waits
	// for none.
	ReplicaAcks int
	// RecordCacheBytes bounds the records that are kept in memory after they were
	// read; 0 keeps none.
	RecordCacheBytes int64
}

// Refill brings back what a frontend knows of the positions after tail that a shard has
// lost, through apply, in order. It says whether it brought any.
type Refill func(ctx context.Context, shard Shard, tail, ordered Position,
	apply func(context.Context, Revision, Part, Stamp) error) bool

// Components are what a Client is built from.
type Components struct {
	Redis redis.UniversalClient
	// Sequencer is the home shard's client, for those of other shards.
	Sequencer *Client
	Logger    *slog.Logger
	// Access is how the endpoints of other shards are reached.
	Access Access
	// Refill may be nil.
	Refill Refill
	// Sealer, if set, encrypts values before they reach Redis.
	Sealer Sealer
	// Random is read for incarnations, the cluster id and lane names.
	Random io.Reader
	// Observe, if set, is told of every round trip: the script's name, how long
	// it took, and its failure.
	Observe func(ctx context.Context, script string, started time.Time, err error)
}

// Client makes the calls of one frontend on one shard.
type Client struct {
	settings Settings
	parts    Components
	member   string
	keys     []any
	names    []string

	life atomic.Pointer[life]
	// witnesses gives the highest revision that another shard knows of; may be nil.
	witnesses  func(context.Context) Revision
	recovering chan struct{} // holds a token while one goroutine recovers
	missing    missing
}

// life is one incarnation of the Redis as this frontend knows it.
type life struct {
	incarnation string
	term        uint64
	cluster     uint64
	corrupt     string
	scripts     map[string]string // name -> SHA1 of the salted text
	// seen is the highest revision acknowledged in this life. A reply that comes
	// after retired was set counts as lost: seen has been read as a witness.
	seen    atomic.Int64
	retired atomic.Bool
	records *recordCache
}

// New makes a client; nothing is sent before the first call.
func New(settings Settings, parts Components) (*Client, error) {
	if err := checkKeyspace(settings.Keyspace); err != nil {
		return nil, err
	}
	if (settings.Shard == HomeShard) != (parts.Sequencer == nil) {
		return nil, errors.New("hot tier: the client of a shard needs the sequencer's, and that one none")
	}
	if settings.MemberID == 0 {
		return nil, errors.New("hot tier: the member id must not be 0")
	}
	names := keyNames(settings.Keyspace, settings.Shard)
	if settings.ReplicaAcks < 0 {
		return nil, errors.New("hot tier: the number of replicas to wait for must not be negative")
	}
	keys := make([]any, len(names))
	for i, name := range names {
		keys[i] = name
	}
	if parts.Sealer == nil {
		parts.Sealer = unsealed{}
	}
	return &Client{settings: settings, parts: parts, member: id8(settings.MemberID), keys: keys, names: names,
		recovering: make(chan struct{}, 1)}, nil
}

// HearWitnesses has recovery of the sequencer ask for the highest revision that any
// other shard knows of. It is set before the first call.
func (c *Client) HearWitnesses(highest func(context.Context) Revision) { c.witnesses = highest }

// Outlived ends an incarnation here that the sequencer does not go by any more: the next
// call has it adopt what Redis lives now.
func (c *Client) Outlived(incarnation string) {
	if l := c.life.Load(); l != nil && l.incarnation == incarnation {
		l.retired.Store(true)
	}
}

// Close ends the connections.
func (c *Client) Close() error { return c.parts.Redis.Close() }

// Term counts the recoveries of this Redis; 0 before the first contact.
func (c *Client) Term() uint64 {
	if l := c.life.Load(); l != nil {
		return l.term
	}
	return 0
}

// ClusterID is the keyspace's identity, chosen when it was created.
func (c *Client) ClusterID() uint64 {
	if l := c.life.Load(); l != nil {
		return l.cluster
	}
	return 0
}

// Seen is the highest revision that this frontend has seen.
func (c *Client) Seen() Revision {
	if l := c.life.Load(); l != nil {
		return Revision(l.seen.Load())
	}
	return 0
}

// observe notes a revision that a reply of this life carried.
func (l *life) observe(r Revision) {
	for {
		old := l.seen.Load()
		if int64(r) <= old || l.seen.CompareAndSwap(old, int64(r)) {
			return
		}
	}
}

// call is one round trip of a script, repeated only while it is known not to have
// run. check reads the revision out of the reply, so that it becomes a witness
// before anyone is told of it.
func (c *Client) call(ctx context.Context, script string, check func(reply []byte) (Revision, error), args ...any) (reply []byte, err error) {
	err = repeat(ctx, script, notRun, func(ctx context.Context) error {
		reply, err = c.once(ctx, script, check, args)
		return err
	})
	return reply, err
}

// read is call for scripts that change nothing, or nothing that matters when it
// is done twice: an unknown outcome is repeated too.
func (c *Client) read(ctx context.Context, script string, check func(reply []byte) (Revision, error), args ...any) (reply []byte, err error) {
	err = repeat(ctx, script, notKnownDone, func(ctx context.Context) error {
		reply, err = c.once(ctx, script, check, args)
		return err
	})
	return reply, err
}

// repeat makes an attempt, and others while again says so of its failure, until
// callTimeout has passed or the context ends; then it is ErrUnavailable.
func repeat(ctx context.Context, what string, again func(error) bool, attempt func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for pause := retryPauseMin; ; pause = min(2*pause, retryPauseMax) {
		err := attempt(ctx)
		if err == nil || !again(err) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w: %w", what, ErrUnavailable, err)
		}
		if !errors.Is(err, errStale) { // recovery has its own pauses
			wait(ctx, pause)
		}
	}
}

func (c *Client) once(ctx context.Context, script string, check func([]byte) (Revision, error), args []any) ([]byte, error) {
	l, err := c.alive(ctx)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	var call *redis.Cmd
	if c.settings.ReplicaAcks == 0 {
		call = c.parts.Redis.Do(ctx, c.command(l, script, args...)...)
		err = call.Err()
	} else {
		err = c.send(ctx, func(p redis.Pipeliner) { call = p.Do(ctx, c.command(l, script, args...)...) })
	}
	c.observe(ctx, script, started, err)
	if err != nil {
		return nil, c.failed(l, err)
	}
	reply, err := replyOf(call)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", script, ErrReply, err)
	}
	if check != nil {
		revision, err := check(reply)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", script, err)
		}
		l.observe(revision)
	}
	if l.retired.Load() {
		return nil, fmt.Errorf("%s: reply of an earlier life of Redis: %w", script, ErrUnknown)
	}
	return reply, nil
}

// replyOf is what a script has answered. One that answers much does so in parts, which it costs Redis
// less not to join.
func replyOf(call *redis.Cmd) ([]byte, error) {
	parts, divided := call.Val().([]any)
	if !divided {
		text, err := call.Text()
		return bytesOf(text), err
	}
	length := 0
	for _, part := range parts {
		text, _ := part.(string)
		length += len(text)
	}
	reply := make([]byte, 0, length)
	for _, part := range parts {
		text, ok := part.(string)
		if !ok {
			return nil, fmt.Errorf("a part of the reply is %T", part)
		}
		reply = append(reply, text...)
	}
	return reply, nil
}

// command is the call of a script, as Redis takes it.
func (c *Client) command(l *life, script string, args ...any) []any {
	command := make([]any, 0, 3+len(c.keys)+len(args))
	command = append(command, "evalsha", l.scripts[script], len(c.keys))
	return append(append(command, c.keys...), args...)
}

// evalCommand is the call of a script that is sent with its text.
func (c *Client) evalCommand(text string, args ...any) []any {
	command := append([]any{"eval", text, len(c.keys)}, c.keys...)
	return append(command, args...)
}

// eval makes such a call, without waiting for replicas.
func (c *Client) eval(ctx context.Context, text string, args ...any) *redis.Cmd {
	return c.parts.Redis.Do(ctx, c.evalCommand(text, args...)...)
}

// failed says what the failure of a call means, and ends the life if it is that.
func (c *Client) failed(l *life, err error) error {
	err = classify(err)
	if errors.Is(err, errStale) || errors.Is(err, ErrSuperseded) {
		l.retired.Store(true)
	}
	return err
}

// observe reports a round trip to whoever wants to know.
func (c *Client) observe(ctx context.Context, script string, started time.Time, err error) {
	if c.parts.Observe != nil {
		c.parts.Observe(ctx, script, started, err)
	}
}

// alive is the current life, after recovery if there is none.
func (c *Client) alive(ctx context.Context) (*life, error) {
	if l := c.life.Load(); l != nil && !l.retired.Load() {
		return l, nil
	}
	return c.recover(ctx)
}

// wait pauses, or until the context ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
