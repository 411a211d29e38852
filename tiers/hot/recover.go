package hot

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// recover takes Redis into service: the first time, after a restart, after a
// failover. One goroutine does it, the others wait for it. It goes on until it
// has an answer or the context ends.
func (c *Client) recover(ctx context.Context) (*life, error) {
	select {
	case c.recovering <- struct{}{}:
		defer func() { <-c.recovering }()
	case <-ctx.Done():
		return nil, fmt.Errorf("recover: %w: %w", ErrUnavailable, ctx.Err())
	}
	old := c.life.Load()
	if old != nil && !old.retired.Load() {
		return old, nil
	}
	for pause := retryPauseMin; ; {
		next, err := c.attempt(ctx, old)
		if err == nil && next != nil {
			c.announce(old, next)
			c.life.Store(next)
			return next, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("recover: %w: %w", ErrUnavailable, errors.Join(ctx.Err(), err))
		}
		if err != nil && !errors.Is(err, errNotRun) && !errors.Is(err, ErrUnknown) {
			return nil, fmt.Errorf("recover: %w", err)
		}
		if err == nil {
			wait(ctx, recoverPoll) // other witnesses are awaited
			continue
		}
		wait(ctx, pause)
		pause = min(2*pause, retryPauseMax)
	}
}

// attempt asks once; it gives nil if other witnesses are still awaited.
func (c *Client) attempt(ctx context.Context, old *life) (*life, error) {
	if c.settings.Shard != HomeShard {
		return c.enter(ctx)
	}
	reply, err := c.askRecover(ctx, old, "")
	if err == nil && len(reply) == 1 && reply[0] == "shards" {
		known := Revision(0)
		if c.witnesses != nil {
			known = c.witnesses(ctx)
		}
		reply, err = c.askRecover(ctx, old, decimal(int64(known)))
	}
	if err != nil {
		return nil, err
	}
	if len(reply) == 1 && reply[0] == "wait" {
		return nil, nil
	}
	if len(reply) == 1 && reply[0] == "none" {
		return nil, fmt.Errorf("%w: there is no keyspace %q", ErrNoKeyspace, c.settings.Keyspace)
	}
	if len(reply) == 1 && reply[0] == "restoring" {
		return nil, fmt.Errorf("%w: %q", ErrRestoring, c.settings.Keyspace)
	}
	return c.born(ctx, reply)
}

// askRecover runs lua/recover.lua.
func (c *Client) askRecover(ctx context.Context, old *life, shards string) ([]string, error) {
	var seen, term int64
	if old != nil {
		seen, term = old.seen.Load(), int64(old.term)
	}
	random := make([]byte, 16)
	if _, err := io.ReadFull(c.parts.Random, random); err != nil {
		return nil, fmt.Errorf("read random numbers: %w", err)
	}
	text, err := scriptText(scriptRecover, "", false)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	reply, err := c.eval(ctx, text, c.member, seen, term, hex.EncodeToString(random[:8]), hex.EncodeToString(random[8:]),
		MemberGood.Milliseconds(), witnessWait.Milliseconds(), flag(!c.settings.Existing), shards).StringSlice()
	c.observe(ctx, scriptRecover, started, err)
	if err != nil {
		return nil, classify(err)
	}
	return reply, nil
}

// born turns the answer of the recover script into a life with loaded scripts.
func (c *Client) born(ctx context.Context, reply []string) (*life, error) {
	if len(reply) != 6 || reply[0] != "ready" {
		return nil, fmt.Errorf("%w: recover answered %q", ErrReply, reply)
	}
	term, errTerm := strconv.ParseUint(reply[2], 10, 64)
	cluster, errCluster := strconv.ParseUint(reply[3], 16, 64)
	revision, errRevision := strconv.ParseInt(reply[4], 10, 64)
	if err := errors.Join(errTerm, errCluster, errRevision); err != nil {
		return nil, fmt.Errorf("%w: recover answered %q: %w", ErrReply, reply, err)
	}
	shas, err := c.load(ctx, reply[1])
	if err != nil {
		return nil, classify(err)
	}
	return c.begin(&life{incarnation: reply[1], term: term, cluster: cluster, corrupt: reply[5], scripts: shas}, revision), nil
}

// begin completes a life.
func (c *Client) begin(l *life, seen int64) *life {
	l.records = newRecordCache(c.settings.RecordCacheBytes)
	l.seen.Store(seen)
	return l
}

// announce logs what recovery found, once.
func (c *Client) announce(old, next *life) {
	log := c.parts.Logger.With("keyspace", c.settings.Keyspace, "shard", int(c.settings.Shard), "incarnation", next.incarnation, "term", next.term, "revision", next.seen.Load())
	switch {
	case next.corrupt != "":
		log.Error("redis has lost acknowledged writes; nothing is served", "reason", next.corrupt)
	case old == nil:
		log.Info("hot tier in service")
	case old.incarnation == next.incarnation:
		log.Info("scripts loaded again; redis itself had not restarted")
	default:
		log.Warn("hot tier recovered after a restart or failover of redis", "seen", old.seen.Load())
	}
}
