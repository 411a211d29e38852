package model

// callResolve makes a call about a token: the client's own plan, or what it has met.
func (t turn) callResolve() bool {
	switch t.c.step {
	case stepResolve:
		return t.resolve()
	case stepApply:
		return t.apply()
	case stepForget:
		return t.forget()
	}
	return t.unlock()
}

// resolve asks the sequencer: a plan is rolled forward, anything else loses its ticket
// first and its locks then.
func (t turn) resolve() bool {
	c, w := t.c, t.w
	c.salt = w.seq.salt
	if w.seq.plans[c.met].live {
		return c.to(stepApply, t.firstTarget(c.met))
	}
	if w.seq.ticket == c.met && t.Broken != ResolveKeepsTicket {
		w.seq.ticket = 0
	}
	return c.to(stepUnlock, home+1)
}

// firstTarget is the first shard that a plan is to be applied on, home if there is none:
// home has it already.
func (t turn) firstTarget(token num) num { return t.nextTarget(token, home) }

// nextTarget is the next one after s.
func (t turn) nextTarget(token, s num) num {
	return max(home, after(t.w.seq.plans[token].locked, s))
}

// apply writes a plan's record at its position, once, and unlocks; of a move it raises
// the gate.
func (t turn) apply() bool {
	c, s := t.c, t.c.shard
	if s == home {
		return c.to(stepForget, home)
	}
	if !t.salted(s) {
		return true
	}
	p, host := &t.w.seq.plans[c.met], t.host(s)
	if p.epoch != 0 {
		if t.Broken != GateNotRaised {
			host.gate = max(host.gate, p.epoch)
		}
	} else if p.at[s] != 0 && (host.tail < p.at[s] || t.Broken == ApplyTwice) {
		if host.tail < p.at[s]-1 {
			t.fault("a plan is applied to shard %d at position %d, and its tail is %d", s, p.at[s], host.tail)
			return true
		}
		t.add(host, record{op: p.op, expect: p.expect})
		t.stamp(t.w, host, s, p.revision)
	}
	if host.lock == c.met {
		host.lock = 0
	}
	return t.applied(s)
}

// applied goes on to the next participant, with a replica after WAIT.
func (t turn) applied(s num) bool {
	c, next, at := t.c, stepApply, t.nextTarget(t.c.met, s)
	if at == home {
		next = stepForget
	}
	if t.Acks && s == fallible && t.Broken != ForgetUnreplicated {
		c.afterWait = next
		return c.to(stepWait, at)
	}
	return c.to(next, at)
}

// forget ends a plan that is applied everywhere.
func (t turn) forget() bool {
	w, p := t.w, &t.w.seq.plans[t.c.met]
	p.live = false
	if w.seq.ticket == t.c.met {
		w.seq.ticket = 0
	}
	if p.epoch != 0 && w.seq.move == p.move {
		w.seq.move = 0
	}
	return t.resolved()
}

// resolved goes back to what the client was about when it met the token.
func (t turn) resolved() bool {
	c := t.c
	if c.back == stepEnd {
		return t.end()
	}
	step, s := c.back, c.backShard
	c.met, c.back, c.backShard = 0, 0, 0
	return c.to(step, s)
}

// unlock takes a token's locks away, shard by shard.
func (t turn) unlock() bool {
	c, s := t.c, t.c.shard
	if !t.salted(s) {
		return true
	}
	if host := t.host(s); host.lock == c.met {
		host.lock = 0
	}
	if s++; s < t.shards {
		return c.to(stepUnlock, s)
	}
	return t.resolved()
}
