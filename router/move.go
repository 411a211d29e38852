package router

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tierd/tierd/tiers/hot"
)

// Limits of a move.
const (
	// moveKeys bounds the keys of one step of copying, so that no step keeps a Redis busy
	// for more than milliseconds.
	moveKeys = 256
	// moveFew is how many revisions may be left to bring when the shards are locked.
	moveFew = 64
	// moveRounds bounds how often a move tries to catch up before it locks all the same.
	moveRounds = 100
	// moveBeat is how often a move says that it is alive, moveTicketWait the longest that
	// it waits for the ticket without doing so.
	moveBeat, moveTicketWait = 300 * time.Millisecond, time.Second
)

// moveCard is a move under way as the sequencer keeps it, in JSON.
type moveCard struct {
	Token    hot.Token `json:"token"`
	From     []byte    `json:"from"`
	To       []byte    `json:"to"`
	Shard    hot.Shard `json:"shard"`
	Endpoint int       `json:"endpoint"`
	Step     string    `json:"step"`
	Keys     int64     `json:"keys"`
	Total    int64     `json:"total"`
	// Beat counts the signs of life.
	Beat int64 `json:"beat"`
}

// mover fills a new shard with the keys of a span and makes it their owner.
type mover struct {
	k      *Keyspace
	card   moveCard
	text   string
	beaten time.Time
	report func(MoveStatus)

	span hot.Span
	to   *shard
	hold hot.Hold
	held time.Time
	// tail is the new shard's; through the revision up to which everything was brought;
	// leased are the keys brought that have a lease.
	tail    hot.Position
	through Revision
	leased  map[string]int64
	// loads counts the calls that fill the new shard.
	loads int64
}

// Move implements Topologist. All live keys are copied as they are at one revision, then
// what has changed since, again and again, until little is left; then the shards that
// give the keys away are locked for the rest, and the map is changed.
func (k *Keyspace) Move(ctx context.Context, from, to []byte, endpoint int, report func(MoveStatus)) error {
	m, err := k.newMover(ctx, from, to, endpoint, report)
	if err != nil {
		return err
	}
	err = m.run(ctx)
	if err != nil {
		m.undo(ctx)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("move %q to %q: %w", from, to, err)
	}
	return nil
}

func (k *Keyspace) newMover(ctx context.Context, from, to []byte, endpoint int, report func(MoveStatus)) (*mover, error) {
	if len(to) > 0 && bytes.Compare(from, to) >= 0 {
		return nil, fmt.Errorf("%w: no key lies from %q to %q", ErrMap, from, to)
	}
	if err := k.reloadMap(ctx); err != nil {
		return nil, err
	}
	card, ok := k.shardMap().endpoints[endpoint]
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: there is no endpoint %d", ErrMap, endpoint)
	case card.Draining:
		return nil, fmt.Errorf("%w: endpoint %d is being drained", ErrMap, endpoint)
	}
	k.step("move-look")
	token, err := k.hot.NewToken()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	number, err := k.newShardNumber(ctx)
	if err != nil {
		return nil, err
	}
	m := &mover{k: k, report: report, span: spanBetween(from, to), leased: make(map[string]int64)}
	m.card = moveCard{Token: token, From: from, To: to, Shard: number, Endpoint: endpoint}
	if err := m.say(ctx, "begin"); err != nil {
		return nil, err
	}
	// From now on the endpoint cannot be removed; it may have been since it was looked at.
	if err := m.confirmEndpoint(ctx, card.URL); err != nil {
		m.undo(ctx)
		return nil, err
	}
	return m, nil
}

// confirmEndpoint says whether the endpoint is still the one that it was.
func (m *mover) confirmEndpoint(ctx context.Context, url string) error {
	if err := m.k.reloadMap(ctx); err != nil {
		return err
	}
	if card, ok := m.k.shardMap().endpoints[m.card.Endpoint]; !ok || card.URL != url {
		return fmt.Errorf("%w: endpoint %d was removed", ErrMap, m.card.Endpoint)
	}
	return nil
}

// lastShardText counts the shards that ever were.
const lastShardText = "last-shard"

// newShardNumber takes a number that no shard has had.
func (k *Keyspace) newShardNumber(ctx context.Context) (hot.Shard, error) {
	for {
		_, texts, _, err := k.hot.Map(ctx)
		if err != nil {
			return 0, translate(err)
		}
		before := texts[lastShardText]
		last := 0
		if before != "" {
			if last, err = strconv.Atoi(before); err != nil {
				return 0, fmt.Errorf("%w: decode the number of the last shard: %w", ErrInternal, err)
			}
		}
		if last >= shardMax {
			return 0, fmt.Errorf("%w: all %d shard numbers have been used", ErrMap, shardMax)
		}
		taken, err := k.hot.SetMapText(ctx, lastShardText, before, strconv.Itoa(last+1))
		if err != nil {
			return 0, translate(err)
		}
		if taken {
			return hot.Shard(last + 1), nil
		}
	}
}

// say tells everyone how far the move is, which is also its sign of life. ErrBusy if
// another move is under way, or has been since.
func (m *mover) say(ctx context.Context, step string) error {
	if m.text != "" && step == m.card.Step && time.Since(m.beaten) < moveBeat {
		return nil
	}
	m.card.Step = step
	m.card.Beat++
	text, err := json.Marshal(m.card)
	if err != nil {
		return fmt.Errorf("encode a move: %w", err)
	}
	said, err := m.k.hot.SetMapText(ctx, moveText, m.text, string(text))
	if err != nil {
		return translate(err)
	}
	if !said {
		return ErrBusy
	}
	m.text, m.beaten = string(text), time.Now()
	if m.report != nil {
		m.report(MoveStatus{From: m.card.From, To: m.card.To, Shard: int(m.card.Shard), Endpoint: m.card.Endpoint,
			Step: step, Keys: m.card.Keys, Total: m.card.Total})
	}
	if m.hold.Revision != 0 && time.Since(m.held) > hot.HoldGood/3 {
		m.held = time.Now()
		if err := m.k.hot.RenewHold(ctx, m.hold); err != nil {
			return fmt.Errorf("renew the hold on history: %w", translate(err))
		}
	}
	return nil
}

func (m *mover) run(ctx context.Context) error {
	var err error
	m.k.fill(m.card.Shard)
	defer m.k.fill(hot.HomeShard)
	if m.to, err = m.k.openShard(m.card.Shard, m.card.Endpoint, m.k.shardMap()); err != nil {
		return err
	}
	if m.hold, err = m.k.hot.NewHold(ctx, "move-"+string(m.card.Token)); err != nil {
		return translate(err)
	}
	m.held = time.Now()
	defer func() {
		releasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if err := m.k.hot.ReleaseHold(releasing, m.hold); err != nil {
			m.k.logger.Warn("a hold on history was not released; it ends by itself", "after", hot.HoldGood, "cause", err)
		}
	}()
	m.k.step("move-begin")
	if err := m.copyAll(ctx); err != nil {
		return err
	}
	m.k.step("move-copy")
	if err := m.follow(ctx); err != nil {
		return err
	}
	m.k.step("move-follow")
	return m.hand(ctx)
}

// copyAll copies the keys of the span as they are at one revision.
func (m *mover) copyAll(ctx context.Context) error {
	now, err := m.k.latest(ctx)
	if err != nil {
		return err
	}
	m.through = now.revision
	counted, err := m.k.list(ctx, listQuery{span: m.span, at: m.through, countOnly: true})
	if err != nil {
		return err
	}
	m.card.Total = counted.count
	for _, p := range m.k.shardMap().at(m.through).split(m.span) {
		s, err := m.k.shard(p.shard)
		if err != nil {
			return err
		}
		if err := s.stampTo(ctx, m.through); err != nil {
			return err
		}
		if err := m.copyPiece(ctx, s, p.span); err != nil {
			return err
		}
	}
	return m.load(ctx, nil, nil)
}

func (m *mover) copyPiece(ctx context.Context, s *shard, span hot.Span) error {
	o := hot.PageOptions{Revision: m.through, Epoch: hot.EpochAny, Limit: moveKeys, Held: &m.hold.Compacted}
	for {
		began := time.Now()
		page, err := s.client.Read(ctx, pageBytes, hot.PageRead(span, o))
		if err == nil {
			err = page.Err
		}
		if err != nil {
			return translate(err)
		}
		items := make([]hot.LoadItem, len(page.Items))
		for i := range page.Items {
			items[i].Item = page.Items[i]
		}
		if err := m.load(ctx, items, nil); err != nil {
			return err
		}
		m.card.Keys += int64(len(items))
		if err := m.say(ctx, "copy"); err != nil {
			return err
		}
		if page.Next.Done() {
			return nil
		}
		o.From = page.Next
		pauseFor(ctx, time.Since(began)) // half of the time is everyone else's
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// load brings items to the new shard.
func (m *mover) load(ctx context.Context, items []hot.LoadItem, leases []int64) error {
	m.loads++
	tail, err := m.to.client.Load(ctx, m.card.Token, items, leases, m.through, m.loads)
	if err != nil {
		return fmt.Errorf("fill shard %d: %w", m.card.Shard, translate(err))
	}
	m.tail = max(m.tail, tail)
	for i := range items {
		if it := &items[i]; it.Item.Lease != 0 && !it.Deleted {
			m.leased[string(it.Item.Key)] = it.Item.Lease
		} else {
			delete(m.leased, string(it.Item.Key))
		}
	}
	return nil
}

// follow brings what has changed meanwhile, until little is left.
func (m *mover) follow(ctx context.Context) error {
	for range moveRounds {
		if err := m.say(ctx, "follow"); err != nil {
			return err
		}
		before := m.through
		now, err := m.k.latest(ctx)
		if err != nil {
			return err
		}
		if err := m.bring(ctx, now.revision); err != nil {
			return err
		}
		if now.revision-before <= moveFew {
			return nil
		}
	}
	return nil
}

// bring brings the changes up to a revision.
func (m *mover) bring(ctx context.Context, upto Revision) error {
	for m.through < upto {
		page, err := m.k.events(ctx, hot.EventsQuery{From: m.through + 1, To: upto, BytesMax: pageBytes, Held: &m.hold.Compacted})
		if err != nil {
			return err
		}
		var items []hot.LoadItem
		for i := range page.Events {
			if e := &page.Events[i]; m.span.Holds(e.Key) {
				items = append(items, hot.LoadItem{Deleted: e.Deleted, Item: e.Item})
			}
		}
		m.through = page.Through
		if err := m.load(ctx, items, nil); err != nil {
			return err
		}
		if err := m.say(ctx, m.card.Step); err != nil {
			return err
		}
	}
	return nil
}

// hand locks the shards that give the span away, brings the rest, and changes the map.
func (m *mover) hand(ctx context.Context) error {
	if err := m.say(ctx, "hand over"); err != nil {
		return err
	}
	for range evaluationsMax {
		outcome, err := m.handOnce(ctx)
		switch {
		case errors.Is(err, errBeginAgain), err == nil && outcome == hot.OutcomeChanged:
			if err := m.say(ctx, "hand over"); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		case outcome != hot.OutcomeThen:
			return fmt.Errorf("%w: the new map was refused (%d)", ErrInternal, outcome)
		}
		return m.k.reloadMap(ctx)
	}
	return fmt.Errorf("%w: the map changed under each of %d attempts", ErrTooManyRequests, evaluationsMax)
}

func (m *mover) handOnce(ctx context.Context) (hot.Outcome, error) {
	waiting, cancel := context.WithTimeout(ctx, moveTicketWait)
	defer cancel()
	c, err := m.k.cross(waiting, func(v *mapVersion) []hot.Shard { return v.shardsOf([]hot.Span{m.span}) })
	if waiting.Err() != nil && ctx.Err() == nil && err != nil {
		return 0, errBeginAgain // others have the ticket: this is a moment for a sign of life
	}
	if err != nil {
		return 0, err
	}
	leases := []int64{}
	var summary hot.ShardSummary
	err = m.bring(ctx, c.at)
	if err == nil {
		leases = slices.Compact(slices.Sorted(maps.Values(m.leased)))
		err = m.load(ctx, nil, leases)
	}
	if err == nil {
		err = m.to.tellSpace(ctx)
	}
	if err == nil {
		summary, err = m.to.client.ShardSummary(ctx)
		err = translate(err)
	}
	if err != nil {
		c.abort(ctx)
		return 0, err
	}
	next := c.m.clone()
	next.assign(m.card.From, m.card.To, m.card.Shard, m.card.Endpoint)
	outcome, _, err := c.plan(ctx, planned{next: &next, begins: m.card.Shard, beginsTail: m.tail, beginsIn: summary.Incarnation,
		leases: leases, moveText: m.text})
	return outcome, err
}

// undo takes a move back that has not changed the map.
func (m *mover) undo(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hot.MemberGood)
	defer cancel()
	if err := m.k.undoMove(ctx, m.text); err != nil {
		m.k.logger.Warn("what a move had copied is left for others to remove", "shard", int(m.card.Shard), "cause", err)
	}
}

// undoMove ends the move that a text names, if it has not come to its end, and removes
// what it has copied.
func (k *Keyspace) undoMove(ctx context.Context, text string) error {
	var card moveCard
	if err := json.Unmarshal([]byte(text), &card); err != nil {
		return fmt.Errorf("%w: decode a move: %w", ErrInternal, err)
	}
	ended, err := k.hot.SetMapText(ctx, moveText, text, "")
	if err != nil {
		return translate(err)
	}
	if err := k.reloadMap(ctx); err != nil {
		return err
	}
	if _, named := k.shardMap().places()[card.Shard]; named || !ended {
		return nil // it has come to its end, or goes on
	}
	if _, known := k.shardMap().endpoints[card.Endpoint]; !known {
		return nil // nothing was brought to an endpoint that was removed when the move began
	}
	s, err := k.openShard(card.Shard, card.Endpoint, k.shardMap())
	if err != nil {
		return err
	}
	if err := k.hot.ForgetShard(ctx, card.Shard); err != nil {
		return translate(err)
	}
	if err := s.client.Destroy(ctx); err != nil {
		return translate(err)
	}
	k.closeShards(k.shardMap())
	return nil
}

// fill names the shard that is being filled here; the home shard stands for none.
func (k *Keyspace) fill(id hot.Shard) {
	k.shardsMu.Lock()
	defer k.shardsMu.Unlock()
	k.filling = id
}

// watchedMove is a move of someone else, and since when it has said nothing.
type watchedMove struct {
	text  string
	since time.Time
}

// careForMove ends a move whose mover is silent for too long.
func (k *Keyspace) careForMove(ctx context.Context, w *watchedMove) error {
	if err := k.reloadMap(ctx); err != nil {
		return err
	}
	text := k.shardMap().move
	if text != w.text {
		*w = watchedMove{text: text, since: time.Now()}
	}
	if text == "" || time.Since(w.since) < moveSilence {
		return nil
	}
	var card moveCard
	if err := json.Unmarshal([]byte(text), &card); err != nil {
		return fmt.Errorf("%w: decode a move: %w", ErrInternal, err)
	}
	k.logger.Warn("a move whose mover is silent is undone", "from", strconv.Quote(string(card.From)), "to", strconv.Quote(string(card.To)),
		"shard", int(card.Shard), "endpoint", card.Endpoint, "keys", card.Keys)
	return k.undoMove(ctx, text)
}
