package model

// callTransaction makes a call of a transaction over several shards, or of the part of
// a move that is like one: ticket, locks, tails.
func (t turn) callTransaction() bool {
	switch t.c.step {
	case stepTicket:
		return t.ticket()
	case stepLock:
		return t.lock()
	case stepOrderTails:
		return t.orderTails()
	case stepEvaluate:
		return t.evaluate()
	case stepPlan:
		return t.plan()
	}
	return t.planFind()
}

// remotes are the shards to lock: all of the operation's but home.
func (t turn) remotes() num {
	return t.participants(t.w, t.keys(), t.c.epoch) &^ (1 << home)
}

// ticket takes the keyspace's one ticket, with a token that was never used.
func (t turn) ticket() bool {
	c, w := t.c, t.w
	if w.seq.ticket != 0 {
		return t.meet(w.seq.ticket)
	}
	w.seq.tokens++
	if w.seq.tokens > tokensMax {
		panic(t.Name + ": tokensMax is too small")
	}
	w.seq.ticket = w.seq.tokens
	c.token, c.epoch, c.known, c.salt = w.seq.ticket, w.seq.epoch, w.seq.revision, w.seq.salt
	return t.lockNext(after(t.remotes(), -1))
}

// lockNext locks a shard, or goes on if there is none left.
func (t turn) lockNext(s num) bool {
	if s >= 0 {
		return t.c.to(stepLock, s)
	}
	if t.Acks && t.remotes()&(1<<fallible) != 0 && t.Broken != PlanUnreplicatedLock {
		t.c.afterWait = stepOrderTails
		return t.c.to(stepWait, fallible)
	}
	return t.c.to(stepOrderTails, home)
}

// restart begins again without the ticket that was lost.
func (t turn) restart() bool {
	t.c.token = 0
	return t.c.to(stepTicket, home)
}

// lock makes a shard refuse appends, and answers its tail.
func (t turn) lock() bool {
	c, s := t.c, t.c.shard
	if !t.salted(s) {
		return true
	}
	host := t.host(s)
	if host.gate > c.epoch {
		return t.restart()
	}
	if host.lock != 0 && host.lock != c.token {
		return t.meet(host.lock)
	}
	if t.Broken != NoLocks {
		host.lock = c.token
	}
	c.tails[s] = host.tail
	if s == fallible {
		c.lockSalt = c.salt
	}
	return t.lockNext(after(t.remotes(), s))
}

// orderTails orders what the participants had when they were locked; the revision after
// it is the one that the transaction is evaluated at.
func (t turn) orderTails() bool {
	c, w := t.c, t.w
	remotes := t.remotes()
	if remotes&(1<<fallible) != 0 && c.lockSalt != w.seq.salt {
		return t.restart()
	}
	if t.Broken != TailsNotOrdered {
		for s := after(remotes, -1); s >= 0; s = after(remotes, s) {
			t.order(w, t.saltHost(s), s, c.tails[s])
		}
	}
	c.known, c.at = w.seq.revision, w.seq.revision
	switch {
	case t.op().Kind == Move && t.Broken == NoLastDelta:
		return c.to(stepMapCommit, home)
	case t.op().Kind == Move:
		return c.to(stepCopyRead, after(t.participants(w, t.keys(), c.epoch), -1))
	case t.op().If:
		return c.to(stepEvaluate, t.owner(w, t.op().key(), c.epoch))
	}
	return c.to(stepPlan, home)
}

// evaluate reads the compared key. A compare that fails is the answer; the ticket and
// the locks are given up as anybody would take them away.
func (t turn) evaluate() bool {
	c, s, key := t.c, t.c.shard, t.op().key()
	if s != home && !t.salted(s) {
		return true
	}
	host := t.host(s)
	if token := t.stamp(t.w, host, s, c.known); token != 0 {
		return t.meet(token)
	}
	v := t.get(host, key, c.at)
	if v.revision == t.expect() {
		return c.to(stepPlan, home)
	}
	c.got, c.seen[key] = 1<<key, v
	t.answered()
	return t.giveUp()
}

// giveUp takes the client's own ticket and locks away, and ends.
func (t turn) giveUp() bool {
	c := t.c
	c.met, c.token, c.back = c.token, 0, stepEnd
	return c.to(stepResolve, home)
}

// holds tells what a commit point asks: the ticket is still the caller's, no participant
// has another incarnation, and home has not changed since the caller's revision.
func (t turn) holds() (ours, unchanged bool) {
	c, w := t.c, t.w
	ours = w.seq.ticket == c.token || t.Broken == NoTicketCheck
	if t.remotes()&(1<<fallible) != 0 && c.lockSalt != w.seq.salt && t.Broken != PlanAnyIncarnation {
		ours = false
	}
	unchanged = true
	for key := range num(keysMax) {
		if t.keys()&(1<<key) != 0 && t.owner(w, key, c.epoch) == home && t.get(&w.shards[home], key, revisionsMax).revision > c.known {
			unchanged = t.Broken == NoHomeConditions
		}
	}
	return ours, unchanged
}

// plan is the commit point: one revision, a position on each participant.
func (t turn) plan() bool {
	c, w := t.c, t.w
	ours, unchanged := t.holds()
	if !ours {
		return t.restart()
	}
	if !unchanged {
		return c.to(stepOrderTails, home)
	}
	r := record{op: t.opID(), expect: t.expect()}
	p := plan{op: r.op, expect: r.expect, live: true, locked: t.remotes(), revision: t.next(w, entry{token: c.token, record: r})}
	written := t.participants(w, t.keys()&^t.op().Reads, c.epoch)
	if written&(1<<home) != 0 {
		host := &w.shards[home]
		t.add(host, r)
		host.stamped = host.tail
		host.revisions[host.tail] = p.revision
		p.at[home] = host.tail
	}
	for s := after(written, home); s >= 0; s = after(written, s) {
		w.seq.ordered[s]++
		p.at[s] = w.seq.ordered[s]
	}
	if w.seq.plans[c.token].op != 0 {
		t.fault("ticket %d committed two plans", c.token)
	}
	w.seq.plans[c.token] = p
	t.freeTicket()
	t.written(p.revision)
	return t.applyOwn()
}

// freeTicket gives the ticket back once a plan is decided: what it locks stays locked
// until it is applied, and nothing else has to wait for that.
func (t turn) freeTicket() {
	if t.w.seq.ticket == t.c.token {
		t.w.seq.ticket = 0
	}
}

// applyOwn applies what the client has committed.
func (t turn) applyOwn() bool {
	c := t.c
	c.known, c.salt = t.w.seq.revision, t.w.seq.salt
	c.met, c.back = c.token, stepEnd
	return c.to(stepApply, t.firstTarget(c.met))
}

// planFind is what follows a commit whose reply was lost: the lane's record tells whether
// it ran, and if not the ticket is given back, so that it never will.
func (t turn) planFind() bool {
	c, w := t.c, t.w
	p := &w.seq.plans[c.token]
	switch {
	case p.op != 0 && p.live:
		t.committed(p)
		return t.applyOwn()
	case p.op != 0:
		t.committed(p)
		return t.end()
	case w.seq.ticket == c.token:
		w.seq.ticket = 0
	}
	return t.restart()
}

// committed answers a write that was found to be done; a move is answered nothing.
func (t turn) committed(p *plan) {
	if p.epoch == 0 {
		t.written(p.revision)
	}
}
