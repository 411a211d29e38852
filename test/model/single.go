package model

import "math/bits"

// append decides a put on the stamped state and appends it; on the home shard it is
// commit, which orders as well.
func (t turn) append() bool {
	c, w := t.c, t.w
	s := t.owner(w, num(bits.TrailingZeros8(uint8(t.keys()))), c.epoch)
	c.shard = s
	if s == home {
		return t.commit()
	}
	if !t.salted(s) {
		return true
	}
	host := t.host(s)
	if c.lane < host.lanes[c.id] && t.Broken != LaneStaysOpen {
		return true
	}
	if host.gate > c.epoch {
		return t.stale()
	}
	if host.lock != 0 && t.Broken != AppendIgnoresLock {
		return t.meet(host.lock)
	}
	if token := t.stamp(w, host, s, c.known); token != 0 {
		return t.meet(token)
	}
	if t.Broken != NoAgain && t.pending(host) {
		c.tails[s] = host.tail
		if t.Acks && s == fallible && t.Broken != OrderOthersUnreplicated {
			c.afterWait = stepOrderOthers
			return c.to(stepWait, s)
		}
		return c.to(stepOrderOthers, s)
	}
	if t.op().If && t.get(host, t.op().key(), revisionsMax).revision != t.expect() {
		return c.to(stepLook, s)
	}
	t.add(host, record{op: t.opID(), expect: t.expect()})
	c.position = host.tail
	return t.appended()
}

// appended goes on to order, with a replica after WAIT.
func (t turn) appended() bool {
	if t.Acks && t.c.shard == fallible && t.Broken != OrderUnreplicated {
		t.c.afterWait = stepOrder
		return t.c.to(stepWait, t.c.shard)
	}
	return t.c.to(stepOrder, t.c.shard)
}

// pending tells whether an operation touches what is appended and not stamped.
func (t turn) pending(host *shard) bool {
	for p := host.stamped + 1; p <= host.tail; p++ {
		if t.operations[host.records[p].op].Keys&t.keys() != 0 {
			return true
		}
	}
	return false
}

// stale loads the map anew, and begins again.
func (t turn) stale() bool {
	t.c.epoch, t.c.known = t.w.seq.epoch, t.w.seq.revision
	return true
}

// commit is append, order and stamp in one script: home is the sequencer's Redis.
func (t turn) commit() bool {
	c, w, host := t.c, t.w, &t.w.shards[home]
	if c.lane < host.lanes[c.id] && t.Broken != LaneStaysOpen {
		return true
	}
	if c.epoch != w.seq.epoch && t.Broken != HomeIgnoresEpoch {
		return t.stale()
	}
	if t.op().If {
		if v := t.get(host, t.op().key(), revisionsMax); v.revision != t.expect() {
			c.at, c.got, c.seen[t.op().key()] = w.seq.revision, t.keys(), v
			t.answered()
			return t.end()
		}
	}
	r := record{op: t.opID(), expect: t.expect()}
	t.add(host, r)
	host.stamped = host.tail
	host.revisions[host.tail] = t.next(w, entry{shard: home, position: host.tail, record: r})
	c.known = w.seq.revision
	t.written(w.seq.revision)
	return t.end()
}

// find asks the lane's record what became of an append. What never ran never will.
func (t turn) find() bool {
	c, s := t.c, t.c.shard
	if !t.salted(s) {
		return true
	}
	host := t.host(s)
	for p := num(1); p <= host.tail; p++ {
		if host.records[p].op != t.opID() || host.records[p].unlisted {
			continue
		}
		if s == home {
			t.written(host.revisions[p])
			return t.end()
		}
		c.position = p
		return t.appended()
	}
	c.lane++
	host.lanes[c.id] = max(host.lanes[c.id], c.lane)
	return c.to(stepAppend, s)
}

// wait is WAIT: what this client wrote is on the replica. An old primary has none.
func (t turn) wait() bool {
	c, w := t.c, t.w
	switch {
	case !w.promoted:
		w.replicate()
	case t.saltHost(fallible) != &w.shards[replica]:
		// Whether it is there is not known: it asks the new primary.
		c.promoted = true
		return t.doubt()
	}
	next := c.afterWait
	c.afterWait = 0
	return c.to(next, c.shard)
}

// doubt is what follows a WAIT that failed, or an order that was refused because the
// incarnation is another one: what the call was to make sure of is looked up again.
func (t turn) doubt() bool {
	c, next := t.c, t.c.step
	if next == stepWait {
		next = c.afterWait
	}
	c.afterWait = 0
	switch next {
	case stepOrder:
		return c.to(stepFind, fallible)
	case stepOrderOthers:
		return c.to(stepAppend, fallible)
	case stepOrderTails:
		return t.restart()
	case stepHealOrder, stepTrim:
		return c.to(stepHeal, home)
	}
	return c.to(stepResolve, home)
}

// replicate brings the replica to where the primary is; scripts are not replicated.
func (w *World) replicate() {
	w.shards[replica] = w.shards[fallible]
	w.shards[replica].salt = 0
}

// orderTail orders what the client appended, or all that it saw on the shard.
func (t turn) orderTail() bool {
	c, w, s := t.c, t.w, t.c.shard
	if s == fallible && c.salt != w.seq.salt && t.Broken != OrderAnyIncarnation {
		c.salt, c.promoted = w.seq.salt, w.seq.replicaOf[w.seq.salt]
		return t.doubt()
	}
	tail := c.tails[s]
	if c.step == stepOrder {
		tail = c.position
	}
	t.order(w, t.saltHost(s), s, tail)
	c.known = w.seq.revision
	if c.step == stepOrderOthers {
		return c.to(stepAppend, s)
	}
	for r := num(2); r <= w.seq.revision; r++ {
		if e := &w.seq.history[r]; e.token == 0 && e.shard == s && e.position == c.position {
			t.written(r)
		}
	}
	return t.end()
}

// saltHost is where the client saw the positions that it orders.
func (t turn) saltHost(s num) *shard {
	if s == fallible && t.w.seq.replicaOf[t.c.salt] {
		return &t.w.shards[replica]
	}
	return &t.w.shards[s]
}

// look asks the sequencer at what revision to read, where, and how much each shard must
// have stamped.
func (t turn) look() bool {
	c, w := t.c, t.w
	c.known, c.epoch, c.tails = w.seq.revision, w.seq.epoch, w.seq.ordered
	if t.Broken != ReadAnyIncarnation {
		c.salt = w.seq.salt
	}
	c.at, c.got = max(1, c.known-t.op().Back), 0
	return c.to(stepRead, after(t.participants(w, t.keys(), t.readEpoch()), -1))
}

// readEpoch is the epoch of the map that a read goes by: the one of its revision.
func (t turn) readEpoch() num {
	if t.Broken == ReadsByNewestMap {
		return t.c.epoch
	}
	return min(t.c.epoch, t.w.epochAt(t.c.at))
}

// read reads the keys of one shard at the revision; after the last one it answers. A put
// comes here whose compare failed: if it holds at that revision, it tries again.
func (t turn) read() bool {
	c, w, s := t.c, t.w, t.c.shard
	if !t.salted(s) {
		return true
	}
	host := t.host(s)
	if token := t.stamp(w, host, s, c.known); token != 0 {
		return t.meet(token)
	}
	if s != home && host.stamped < c.tails[s] && t.Broken != ReadIgnoresLength && t.Broken != StampSkipsPlan {
		return c.to(stepLook, s)
	}
	for key := range num(keysMax) {
		if t.keys()&(1<<key) != 0 && t.owner(w, key, t.readEpoch()) == s {
			c.got |= 1 << key
			c.seen[key] = t.get(host, key, c.at)
		}
	}
	if s = after(t.participants(w, t.keys(), t.readEpoch()), s); s >= 0 {
		return c.to(stepRead, s)
	}
	if t.op().Kind == Put && c.seen[t.op().key()].revision == t.expect() {
		c.got, c.at, c.seen = 0, 0, [keysMax]version{}
		return c.to(stepAppend, c.shard)
	}
	t.answered()
	return t.end()
}
