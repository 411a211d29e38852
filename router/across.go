package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/tierd/tierd/tiers/hot"
)

// crossing is one attempt at something that concerns several shards at once: it holds
// the keyspace's one ticket and has locked the shards, so what they hold stands still.
// Its plan, once the sequencer has it, is carried out by whoever finds it.
type crossing struct {
	k     *Keyspace
	token hot.Token
	// m is the version of the map it goes by; it cannot change meanwhile.
	m *mapVersion
	// home says that the home shard is locked, shards are the others.
	home   bool
	shards []*shard
	locked map[hot.Shard]hot.Stamped
	// at is the revision that everything up to now has.
	at Revision
}

// planPart is what a plan does on one shard, as it is kept with the plan, in JSON.
type planPart struct {
	Shard    hot.Shard    `json:"shard"`
	Position hot.Position `json:"position,omitempty"`
	Effects  []byte       `json:"effects,omitempty"`
	Begun    []int64      `json:"begun,omitempty"`
	Ended    []int64      `json:"ended,omitempty"`
	Gate     hot.Epoch    `json:"gate,omitempty"`
}

// errBeginAgain: what was gone by has changed before the plan; nothing was done.
var errBeginAgain = errors.New("the shard map or a shard has changed meanwhile")

// step tells a test where a change over several shards is.
func (k *Keyspace) step(name string) {
	if k.settings.Step != nil {
		k.settings.Step(name)
	}
}

// cross takes the ticket, locks the shards that concern names, and orders what they
// have. The caller ends it with plan or abort.
func (k *Keyspace) cross(ctx context.Context, concern func(*mapVersion) []hot.Shard) (*crossing, error) {
	select {
	case k.crossing <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	for {
		c, err := k.crossOnce(ctx, concern)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, errBeginAgain) || ctx.Err() != nil {
			<-k.crossing
			if errors.Is(err, errBeginAgain) {
				err = fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			return nil, err
		}
	}
}

func (k *Keyspace) crossOnce(ctx context.Context, concern func(*mapVersion) []hot.Shard) (*crossing, error) {
	token, err := k.hot.NewToken()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	m, err := k.route(ctx)
	if err != nil {
		return nil, err
	}
	c := &crossing{k: k, token: token, m: m.now(), locked: make(map[hot.Shard]hot.Stamped)}
	for _, id := range concern(c.m) {
		if id == hot.HomeShard {
			c.home = true
			continue
		}
		s, err := k.shard(id)
		if errors.Is(err, errStaleMap) {
			return nil, errBeginAgain
		}
		if err != nil {
			return nil, err
		}
		c.shards = append(c.shards, s)
	}
	if err := c.take(ctx); err != nil {
		c.release(ctx) // a call without an answer may have taken it
		return nil, err
	}
	k.step("ticket")
	err = c.lockAll(ctx)
	if err == nil {
		err = c.orderAll(ctx)
	}
	if err != nil {
		c.release(ctx)
		return nil, err
	}
	return c, nil
}

// take waits for the ticket.
func (c *crossing) take(ctx context.Context) error {
	for {
		err := c.k.hot.TakeTicket(ctx, c.token, c.home)
		var locked *hot.LockedError
		if !errors.As(err, &locked) {
			return translate(err)
		}
		if err := c.k.awaitUnlocked(ctx, locked.Token); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for the ticket: %w: %w", ErrUnavailable, ctx.Err())
		}
	}
}

// lockAll locks the shards, all at once: only one token at a time does so.
func (c *crossing) lockAll(ctx context.Context) error {
	now, err := c.k.latest(ctx)
	if err != nil {
		return err
	}
	if now.epoch != c.m.epoch {
		return errBeginAgain
	}
	stamped := make([]hot.Stamped, len(c.shards))
	failures := make([]error, len(c.shards))
	var locking sync.WaitGroup
	for i, s := range c.shards {
		locking.Go(func() { stamped[i], failures[i] = c.lock(ctx, s) })
	}
	locking.Wait()
	for i, s := range c.shards {
		c.locked[s.id] = stamped[i]
	}
	return errors.Join(failures...)
}

func (c *crossing) lock(ctx context.Context, s *shard) (hot.Stamped, error) {
	for {
		a, err := c.k.ask(ctx, hot.Ask{Shard: s.id, After: s.after()})
		if err != nil {
			return hot.Stamped{}, err
		}
		got, err := s.client.Lock(ctx, c.token, stampOf(a))
		var locked *hot.LockedError
		switch {
		case err == nil:
			s.note(got.Stamped, 0)
			c.k.step("lock")
			return got, nil
		case errors.As(err, &locked):
			err = c.k.awaitUnlocked(ctx, locked.Token)
		default:
			err = s.unstamped(ctx, err)
		}
		if err != nil {
			return hot.Stamped{}, err
		}
		if ctx.Err() != nil {
			return hot.Stamped{}, fmt.Errorf("lock shard %d: %w: %w", s.id, ErrUnavailable, ctx.Err())
		}
	}
}

// orderAll gives what was appended before the locks its revisions, and finds the one
// that everything has then.
func (c *crossing) orderAll(ctx context.Context) error {
	for _, s := range c.shards {
		l := c.locked[s.id]
		a, err := c.k.ask(ctx, hot.Ask{Shard: s.id, Incarnation: l.Incarnation, Tail: l.Tail, After: s.after()})
		if err != nil {
			return err
		}
		if a.Superseded {
			s.client.Outlived(l.Incarnation)
			return errBeginAgain
		}
	}
	c.k.step("order")
	now, err := c.k.latest(ctx)
	c.at = now.revision
	return err
}

// abort lets go of everything: nothing has been done.
func (c *crossing) abort(ctx context.Context) {
	c.release(ctx)
	<-c.k.crossing
}

func (c *crossing) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockPatience)
	defer cancel()
	if err := c.k.settle(ctx, c.token, 0); err != nil {
		c.k.logger.Warn("locks of a transaction over several shards are left for others to remove", "cause", err)
	}
}

// planned is what a crossing has come to.
type planned struct {
	// effects are by shard; where there are any, they take a revision.
	effects map[hot.Shard][]hot.Effect
	puts    bool
	// ended is a lease to end, 0 for none.
	ended   int64
	onlyDue bool
	// next is the new map, nil for none; begins is the shard that it fills, with tail.
	next       *mapCard
	begins     hot.Shard
	beginsTail hot.Position
	beginsIn   string
	// leases are those whose keys the new shard holds; moveText what the move is known as.
	leases   []int64
	moveText string
	// again says that next is the current map, of which only the next epoch begins; auth is a
	// change of auth data that comes with that.
	again bool
	auth  []hot.AuthField
}

// plan decides: the commit point. What it decides is carried out before it returns, if
// that can be done at once, and else by whoever finds it. errBeginAgain if someone
// else has ended the crossing; nothing was done then.
func (c *crossing) plan(ctx context.Context, p planned) (hot.Outcome, Revision, error) {
	defer func() { <-c.k.crossing }()
	request := hot.PlanRequest{
		Token: c.token, Epoch: c.m.epoch, Home: hot.PackEffects(p.effects[hot.HomeShard]), Ended: p.ended, OnlyDue: p.onlyDue,
		Puts: p.puts, Quota: c.k.quota(c.k.home), Writes: len(p.effects) > 0, MoveText: p.moveText, Auth: p.auth, Again: p.again,
	}
	parts, err := c.parts(ctx, &p, &request)
	if err != nil {
		c.release(ctx)
		return 0, 0, err
	}
	for id, effects := range p.effects {
		for _, lease := range leasesOf(effects) {
			request.Leases = append(request.Leases, hot.LeaseUse{Lease: lease, Shard: id})
		}
	}
	if p.next != nil {
		request.Map, request.HomeGives = p.next.encode(), c.home
	}
	if p.begins != hot.HomeShard {
		request.Participants = append(request.Participants, hot.Participant{Shard: p.begins, Incarnation: p.beginsIn, Tail: p.beginsTail, New: true})
		for _, lease := range p.leases {
			request.Leases = append(request.Leases, hot.LeaseUse{Lease: lease, Shard: p.begins})
		}
	}
	encoded, err := json.Marshal(parts)
	if err != nil {
		c.release(ctx)
		return 0, 0, fmt.Errorf("encode a plan: %w", err)
	}
	request.Parts = encoded
	c.k.step("evaluate")
	outcome, revision, err := c.k.hot.Plan(ctx, request)
	if errors.Is(err, hot.ErrTicket) {
		c.release(ctx)
		return 0, 0, errBeginAgain
	}
	if err != nil {
		c.release(ctx) // or it is carried out, if it was decided all the same
		return 0, 0, translate(err)
	}
	if outcome != hot.OutcomeThen {
		c.release(ctx)
		return outcome, revision, nil
	}
	c.k.step("plan")
	// Others wait for the locks, also where the caller does not wait for this any more.
	carrying, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.k.settings.RequestTimeout)
	defer cancel()
	if err := c.k.carryOut(carrying, c.token, revision, parts); err != nil {
		c.k.logger.Warn("a plan is left for others to carry out", "revision", int64(revision), "cause", err)
	}
	return outcome, revision, nil
}

// parts are what a plan does on the shards other than the home shard, which take part in the
// request.
func (c *crossing) parts(ctx context.Context, p *planned, request *hot.PlanRequest) ([]planPart, error) {
	var parts []planPart
	for _, s := range c.shards {
		l := c.locked[s.id]
		part := planPart{Shard: s.id}
		if effects := p.effects[s.id]; len(effects) > 0 {
			sealed, err := s.client.SealEffects(ctx, hot.PackEffects(effects))
			if err != nil {
				return nil, fmt.Errorf("plan: %w", translate(err))
			}
			part.Position, part.Effects = l.Tail+1, sealed
			part.Begun = leasesOf(effects)
		}
		if p.ended != 0 {
			part.Ended = []int64{p.ended}
		}
		if p.next != nil {
			part.Gate = c.m.epoch + 1
		}
		parts = append(parts, part)
		request.Participants = append(request.Participants, hot.Participant{
			Shard: s.id, Incarnation: l.Incarnation, Tail: l.Tail, Writes: part.Position != 0,
		})
	}
	return parts, nil
}

func leasesOf(effects []hot.Effect) []int64 {
	var leases []int64
	for i := range effects {
		if l := effects[i].Lease; l != 0 && !slices.Contains(leases, l) {
			leases = append(leases, l)
		}
	}
	return leases
}

// carryOut does what a plan says on each shard, and has the sequencer note that.
func (k *Keyspace) carryOut(ctx context.Context, t hot.Token, revision Revision, parts []planPart) error {
	failures := make([]error, len(parts))
	var applying sync.WaitGroup
	for i := range parts {
		applying.Go(func() { failures[i] = k.apply(ctx, t, revision, &parts[i]) })
	}
	applying.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	err := k.hot.FinishTicket(ctx, t)
	k.step("finish")
	return translate(err)
}

// apply does what a plan says on one shard. One that is gone has nothing to be done.
func (k *Keyspace) apply(ctx context.Context, t hot.Token, revision Revision, p *planPart) error {
	s, err := k.shard(p.Shard)
	if errors.Is(err, errStaleMap) {
		return nil
	}
	if err != nil {
		return err
	}
	part := hot.Part{Position: p.Position, Effects: p.Effects, Begun: p.Begun, Ended: p.Ended, Gate: p.Gate}
	for {
		var stamp hot.Stamp
		if p.Position != 0 {
			a, err := k.ask(ctx, hot.Ask{Shard: s.id, After: s.after()})
			if err != nil {
				return err
			}
			stamp.Cuts = slices.DeleteFunc(a.Cuts, func(c hot.Cut) bool { return c.To >= p.Position })
			stamp.Compacted, stamp.Incarnation = a.compacted, a.Incarnation
		}
		err := s.client.Apply(ctx, t, revision, part, stamp)
		if err == nil {
			s.note(p.Position, 0)
			s.remember(p.Position, revision, p.Effects)
			k.step("apply")
			return nil
		}
		if err := s.unstamped(ctx, err); err != nil {
			return fmt.Errorf("apply a plan on shard %d: %w", s.id, err)
		}
	}
}

// settle finds out what became of a token, carries its plan out if it has one, and
// unlocks what it has locked if it never will. One that may still be at work for less
// than patience is left alone.
func (k *Keyspace) settle(ctx context.Context, t hot.Token, patience time.Duration) error {
	s, err := k.hot.SettleTicket(ctx, t, patience)
	if err != nil {
		return translate(err)
	}
	switch s.Fate {
	case hot.FateYoung:
		return nil
	case hot.FatePlanned:
		var parts []planPart
		if err := json.Unmarshal(s.Parts, &parts); err != nil {
			return fmt.Errorf("%w: decode a plan: %w", ErrInternal, err)
		}
		if err := k.reloadMap(ctx); err != nil {
			return err
		}
		return k.carryOut(ctx, t, s.Revision, parts)
	}
	k.unlock(ctx, t)
	return nil
}

// unlock removes the locks of a token that has come to nothing. One that cannot be removed
// now is by whoever meets it: no shard waits for another one that is out of reach.
func (k *Keyspace) unlock(ctx context.Context, t hot.Token) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	var unlocking sync.WaitGroup
	for _, other := range k.others() {
		unlocking.Go(func() {
			if err := other.client.Unlock(ctx, t); err != nil && !errors.Is(err, hot.ErrGone) {
				k.logger.Debug("a lock is left for whoever meets it", "shard", int(other.id), "cause", err)
			}
		})
	}
	unlocking.Wait()
}

// settleOpen settles all tokens that hold the ticket, or have a plan, for longer than a
// time.
func (k *Keyspace) settleOpen(ctx context.Context, older time.Duration) error {
	tokens, err := k.hot.OpenTickets(ctx, older)
	if err != nil {
		return translate(err)
	}
	var failures []error
	for _, t := range tokens {
		k.metrics.settled.Inc()
		failures = append(failures, k.settle(ctx, t, lockPatience))
	}
	return errors.Join(failures...)
}

// spansOf are all spans that a transaction names, in every branch.
func spansOf(r *pb.TxnRequest) []hot.Span {
	var spans []hot.Span
	for _, c := range r.Compare {
		spans = append(spans, span(c.Key, c.RangeEnd))
	}
	for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
		for _, op := range ops {
			switch o := op.Request.(type) {
			case *pb.RequestOp_RequestRange:
				spans = append(spans, span(o.RequestRange.Key, o.RequestRange.RangeEnd))
			case *pb.RequestOp_RequestPut:
				spans = append(spans, hot.KeySpan(o.RequestPut.Key))
			case *pb.RequestOp_RequestDeleteRange:
				spans = append(spans, span(o.RequestDeleteRange.Key, o.RequestDeleteRange.RangeEnd))
			case *pb.RequestOp_RequestTxn:
				spans = append(spans, spansOf(o.RequestTxn)...)
			}
		}
	}
	return slices.DeleteFunc(spans, hot.Span.Empty)
}

// across makes a transaction over several shards: it is evaluated on what they hold
// while they are locked.
func (k *Keyspace) across(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, k.settings.RequestTimeout)
	defer cancel()
	spans := spansOf(r)
	for range evaluationsMax {
		resp, done, err := k.acrossOnce(ctx, r, spans)
		if err != nil || done {
			return resp, err
		}
	}
	return nil, fmt.Errorf("%w: what the transaction needs changed under each of %d attempts", ErrTooManyRequests, evaluationsMax)
}

func (k *Keyspace) acrossOnce(ctx context.Context, r *pb.TxnRequest, spans []hot.Span) (_ *pb.TxnResponse, done bool, err error) {
	c, err := k.cross(ctx, func(m *mapVersion) []hot.Shard { return m.shardsOf(spans) })
	if err != nil {
		return nil, false, err
	}
	e := &evaluation{k: k, ctx: ctx, at: c.at, changed: make(map[string]*mvccpb.KeyValue)}
	resp, err := e.run(r)
	puts := mayPut(r)
	if err != nil || len(e.effects) == 0 {
		c.abort(ctx)
		if errors.Is(err, errOvertaken) {
			return nil, false, nil
		}
		if puts {
			if _, full := k.commit(ctx, &hot.Transaction{Puts: true}); errors.Is(full, ErrNoSpace) {
				return nil, false, full
			}
		}
		if err == nil {
			e.settle(resp, e.at, false)
		}
		return resp, true, err
	}
	p := planned{effects: make(map[hot.Shard][]hot.Effect), puts: puts}
	for i, effect := range e.effects {
		effect.Sub = i
		owner := c.m.owner(effect.Key)
		p.effects[owner] = append(p.effects[owner], effect)
	}
	outcome, revision, err := c.plan(ctx, p)
	switch {
	case errors.Is(err, errBeginAgain):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case outcome == hot.OutcomeChanged:
		return nil, false, nil
	case outcome == hot.OutcomeLeaseNotFound:
		return nil, false, ErrLeaseNotFound
	case outcome == hot.OutcomeNoSpace:
		return nil, false, k.noSpace(ctx)
	}
	k.metrics.across.Inc()
	e.settle(resp, revision, true)
	return resp, true, nil
}
