package model

// callMove makes a call of a move. It copies, takes the ticket, locks, copies what has
// changed, and commits the map; then it goes on as a plan does.
func (t turn) callMove() bool {
	switch t.c.step {
	case stepMoveRecord:
		return t.moveRecord()
	case stepMoveClean:
		return t.moveClean()
	case stepCopyLook:
		return t.copyLook()
	case stepCopyRead:
		return t.copyRead()
	case stepLoad:
		return t.load()
	}
	return t.mapCommit()
}

// moveRecord says at the sequencer that a move is under way; there is one at a time. It
// has a new number and a new shard each time, so that nobody takes the record of a late
// call for his own.
func (t turn) moveRecord() bool {
	c, w := t.c, t.w
	if w.seq.move != 0 {
		return t.giveMoveUp()
	}
	if w.seq.moves++; t.Broken == MoveNumberReused {
		w.seq.moves = 1
	}
	if w.seq.moves > movesMax || t.op().To+w.seq.moves > shardsMax {
		panic(t.Name + ": movesMax or shardsMax is too small")
	}
	w.seq.move = w.seq.moves
	w.seq.target[w.seq.move] = t.op().To + w.seq.move - 1
	c.move = w.seq.move
	return c.to(stepCopyLook, home)
}

// giveMoveUp forgets the recorded move, if its owner is dead or thought so; its commit is
// refused from now on. Its shard is cleaned then. A move that is committed goes on.
func (t turn) giveMoveUp() bool {
	c, w := t.c, t.w
	if t.stray {
		return true
	}
	for token := range num(tokensMax + 1) {
		if p := &w.seq.plans[token]; p.live && p.move == w.seq.move && t.Broken != CommittedMoveGivenUp {
			return t.meet(token)
		}
	}
	for i := range w.clients {
		if owner := &w.clients[i]; owner.move != w.seq.move || owner.dead {
			continue
		}
		if w.suspicions == 0 {
			return false
		}
		w.suspicions--
	}
	c.cleans, w.seq.move = w.seq.move, 0
	return c.to(stepMoveClean, home)
}

// moveClean empties the shard of a move that was given up.
func (t turn) moveClean() bool {
	t.w.shards[t.w.seq.target[t.c.cleans]].base = [keysMax]version{}
	t.c.cleans = 0
	return t.c.to(t.op().first(), home)
}

// copyLook begins the first copy, at a revision.
func (t turn) copyLook() bool {
	c, w := t.c, t.w
	c.known, c.at, c.epoch, c.salt = w.seq.revision, w.seq.revision, w.seq.epoch, w.seq.salt
	return c.to(stepCopyRead, after(t.participants(w, t.keys(), c.epoch), -1))
}

// copyRead reads the keys to move from one of their shards.
func (t turn) copyRead() bool {
	c, w, s := t.c, t.w, t.c.shard
	if s != home && !t.salted(s) {
		return true
	}
	host := t.host(s)
	if token := t.stamp(w, host, s, c.known); token != 0 {
		return t.meet(token)
	}
	for key := range num(keysMax) {
		if t.keys()&(1<<key) != 0 && t.owner(w, key, c.epoch) == s {
			c.seen[key] = t.get(host, key, c.at)
		}
	}
	if s = after(t.participants(w, t.keys(), c.epoch), s); s >= 0 {
		return c.to(stepCopyRead, s)
	}
	return c.to(stepLoad, home)
}

// load writes the keys to the new shard; what it has that is newer stays.
func (t turn) load() bool {
	c, host := t.c, &t.w.shards[t.w.seq.target[t.c.move]]
	for key := range num(keysMax) {
		if c.seen[key].revision > host.base[key].revision || t.Broken == LoadOverwrites && t.keys()&(1<<key) != 0 {
			host.base[key] = c.seen[key]
		}
	}
	if c.token == 0 {
		return c.to(stepTicket, home)
	}
	return c.to(stepMapCommit, home)
}

// mapCommit is the commit point of a move: the keys are the new shard's from the next
// revision on.
func (t turn) mapCommit() bool {
	c, w := t.c, t.w
	ours, unchanged := t.holds()
	if w.seq.move != c.move && t.Broken != MoveGivenUpCommits {
		return t.giveUp()
	}
	if !ours {
		return t.restart()
	}
	if !unchanged {
		return c.to(stepOrderTails, home)
	}
	p := plan{op: t.opID(), live: true, move: c.move, locked: t.remotes()}
	w.seq.epoch++
	if w.seq.epoch > movesMax {
		panic(t.Name + ": movesMax is too small")
	}
	p.epoch, p.revision = w.seq.epoch, w.seq.revision
	w.seq.maps[w.seq.epoch] = mapVersion{from: w.seq.revision + 1, keys: t.keys(), to: w.seq.target[c.move]}
	w.seq.plans[c.token] = p
	t.freeTicket()
	return t.applyOwn()
}
