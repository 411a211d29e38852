package model

// callRecover makes a call of a recovery: a shard answered that it does not know the
// scripts.
func (t turn) callRecover() bool {
	switch t.c.step {
	case stepAdopt:
		return t.adopt()
	case stepRecover:
		return t.recoverShard()
	}
	t.w.seq.corrupt = true
	die(t.c)
	return true
}

// adopt asks the sequencer for the incarnation of the Redis that the client has reached.
// One that was replaced is never taken back (a mutation takes it back once).
func (t turn) adopt() bool {
	c, w := t.c, t.w
	switch {
	case w.seq.corrupt:
		die(c)
		return true
	case c.promoted == w.seq.replicaOf[w.seq.salt]:
	case !c.promoted && (t.Broken != AdoptTakesBack || w.seq.salt > 2):
		c.promoted, c.salt = true, w.seq.salt
		return c.to(c.again, c.shard)
	default:
		if t.Broken != AdoptKeepsIncarnation {
			w.seq.salt++
		}
		if w.seq.salt > saltsMax {
			panic(t.Name + ": saltsMax is too small")
		}
		w.seq.replicaOf[w.seq.salt] = c.promoted
	}
	c.salt, c.need, c.roll = w.seq.salt, w.seq.ordered[fallible], 0
	for token := range num(tokensMax + 1) {
		if p := &w.seq.plans[token]; p.live && p.epoch == 0 && p.at[fallible] != 0 {
			c.roll = token
		}
	}
	c.gate, c.trimmed = t.gateOfFallible(), w.seq.trimmed
	return c.to(stepRecover, c.shard)
}

// recoverShard rolls the live plan forward, compares the tail with what is ordered, and
// loads the scripts. It does so only on the Redis that was adopted.
func (t turn) recoverShard() bool {
	c, w, host := t.c, t.w, t.host(fallible)
	if c.promoted != w.seq.replicaOf[c.salt] {
		return c.to(stepAdopt, c.shard)
	}
	if host.salt == c.salt {
		return t.recovered()
	}
	if p := &w.seq.plans[c.roll]; c.roll != 0 && host.tail == p.at[fallible]-1 && t.Broken != RecoverSkipsPlan {
		t.add(host, record{op: p.op, expect: p.expect})
	}
	t.refill(host)
	if host.tail < c.need && t.Broken != RecoverIgnoresTail || host.stamped < c.trimmed && t.Broken != RecoverIgnoresTrim {
		return c.to(stepCorrupt, c.shard)
	}
	if t.Broken != RecoverForgetsGate {
		host.gate = max(host.gate, c.gate)
	}
	host.salt = c.salt
	return t.recovered()
}

// refill writes the records again that are lost and that the client still has from the
// feed, which has all that it knows the cuts of. Their lanes are told of them again.
func (t turn) refill(host *shard) {
	for t.Refill && host.tail < t.c.need {
		revision, _ := t.w.cut(fallible, host.tail+1, t.c.known)
		if revision == 0 {
			return
		}
		r := t.w.seq.history[revision].record
		r.unlisted = t.Broken == RefillForgetsLanes
		t.add(host, r)
	}
}

// gateOfFallible is the gate that the fallible shard must have: the epoch in which it last gave
// keys away.
func (t turn) gateOfFallible() num {
	var gate num
	for e := num(1); e <= t.w.seq.epoch; e++ {
		for key := range num(keysMax) {
			if t.w.seq.maps[e].keys&(1<<key) != 0 && t.owner(t.w, key, e-1) == fallible {
				gate = e
			}
		}
	}
	return gate
}

// recovered goes back to the call that met the Redis.
func (t turn) recovered() bool {
	again := t.c.again
	t.c.need, t.c.roll, t.c.gate, t.c.trimmed, t.c.again = 0, 0, 0, 0, 0
	return t.c.to(again, t.c.shard)
}

// callHeal makes a call of the heartbeat: it resolves tickets, plans and locks, gives a
// move up that has no plan, and orders and stamps what was left.
func (t turn) callHeal() bool {
	switch t.c.step {
	case stepHeal:
		return t.heal()
	case stepHealShard:
		return t.healShard()
	case stepTrim:
		return t.trim()
	}
	c, w, s := t.c, t.w, t.c.shard
	if s == fallible && c.salt != w.seq.salt {
		return c.to(stepHeal, home)
	}
	t.order(w, t.saltHost(s), s, c.tails[s])
	return c.to(stepHeal, home)
}

func (t turn) heal() bool {
	c, w := t.c, t.w
	c.known, c.epoch, c.salt = w.seq.revision, w.seq.epoch, w.seq.salt
	for token := range num(tokensMax + 1) {
		if w.seq.plans[token].live || token != 0 && w.seq.ticket == token {
			return t.meet(token)
		}
	}
	if w.seq.move != 0 {
		return t.giveMoveUp()
	}
	return c.to(stepHealShard, home+1)
}

// healShard resolves the lock of one shard, and orders and stamps what it has.
func (t turn) healShard() bool {
	c, s := t.c, t.c.shard
	if !t.salted(s) {
		return true
	}
	host := t.host(s)
	if host.lock != 0 {
		return t.meet(host.lock)
	}
	if token := t.stamp(t.w, host, s, c.known); token != 0 {
		return t.meet(token)
	}
	if host.tail > t.w.seq.ordered[s] {
		c.tails[s] = host.tail
		if t.Acks && s == fallible {
			c.afterWait = stepHealOrder
			return c.to(stepWait, s)
		}
		return c.to(stepHealOrder, s)
	}
	if host.stamped < host.tail {
		return c.to(stepHeal, home)
	}
	if s == fallible && t.Failover && t.w.seq.trimmed < host.stamped {
		c.position = host.stamped
		if t.Acks && t.Broken != TrimUnreplicated {
			c.afterWait = stepTrim
			return c.to(stepWait, s)
		}
		return c.to(stepTrim, s)
	}
	return t.healNext()
}

// healNext goes on to the next shard.
func (t turn) healNext() bool {
	if s := t.c.shard + 1; s < t.shards {
		return t.c.to(stepHealShard, s)
	}
	return t.end()
}

// trim forgets the cuts that a shard, and with acknowledgements its replica, has stamped.
func (t turn) trim() bool {
	c, w := t.c, t.w
	if c.salt != w.seq.salt {
		return c.to(stepHeal, home)
	}
	w.seq.trimmed = max(w.seq.trimmed, c.position)
	return t.healNext()
}
