package model

// step names the call that a client makes next.
type step num

const (
	stepBegin step = iota
	stepAppend
	stepFind
	stepWait
	stepOrder
	stepOrderOthers
	stepLook
	stepRead
	stepTicket
	stepLock
	stepOrderTails
	stepEvaluate
	stepPlan
	stepPlanFind
	stepApply
	stepForget
	stepResolve
	stepUnlock
	stepMoveRecord
	stepMoveClean
	stepCopyLook
	stepCopyRead
	stepLoad
	stepMapCommit
	stepAdopt
	stepRecover
	stepCorrupt
	stepHeal
	stepHealShard
	stepHealOrder
	stepTrim
	stepEnd
)

// client is what one frontend knows of the operation it runs.
type client struct {
	// id is from 1; 0 is no client. done counts the operations of its program that are over.
	id, done num
	step     step
	dead     bool
	// promoted says that it reaches the new primary.
	promoted bool
	// known is the revision up to which it knows the cuts, epoch its map's, salt the
	// incarnation that it calls the fallible shard with.
	known, epoch, salt num
	// floor is the highest revision answered to anyone before the operation began.
	floor num
	// last is the mod revision it was last told, for compares.
	last num
	lane num
	// shard is where the next call goes, position what append answered.
	shard, position num
	// at is the revision it reads at; got are the keys it has read, and seen what.
	at, got num
	seen    [keysMax]version
	// token is its own ticket, lockSalt the incarnation under which it locked.
	token, lockSalt num
	tails           [shardsMax]num
	// move is the number of its move; cleans is what it cleans up, before again.
	move, cleans num
	// met is the token that it resolves, before it goes back.
	met       num
	back      step
	backShard num
	// need is the position that a recovered shard must have, roll the plan to roll
	// forward there, gate the gate to set, trimmed what it must have stamped; again is the call that follows.
	need, roll, gate, trimmed num
	again                     step
	// afterWait follows a WAIT.
	afterWait step
}

// turn is one client about to make one call, in a world that it may change.
type turn struct {
	*Model
	w *World
	c *client
	// stray says that nobody waits for the answer.
	stray bool
}

// call makes the client's next call. It answers false if it has to wait.
func (t turn) call() bool {
	switch t.c.step {
	case stepAppend:
		return t.append()
	case stepFind:
		return t.find()
	case stepWait:
		return t.wait()
	case stepOrder, stepOrderOthers:
		return t.orderTail()
	case stepLook:
		return t.look()
	case stepRead:
		return t.read()
	case stepTicket, stepLock, stepOrderTails, stepEvaluate, stepPlan, stepPlanFind:
		return t.callTransaction()
	case stepResolve, stepApply, stepForget, stepUnlock:
		return t.callResolve()
	case stepMoveRecord, stepMoveClean, stepCopyLook, stepCopyRead, stepLoad, stepMapCommit:
		return t.callMove()
	case stepAdopt, stepRecover, stepCorrupt:
		return t.callRecover()
	case stepHeal, stepHealShard, stepHealOrder, stepTrim:
		return t.callHeal()
	}
	panic("no such call")
}

// begin takes the client's next operation up: its first call follows at once.
func (t turn) begin() {
	t.c.floor = t.w.acked
	t.c.step = t.op().first()
}

// op is the operation that the client runs.
func (t turn) op() *Operation { return &t.operations[t.opID()] }

func (t turn) opID() num { return t.programs[t.c.id][t.c.done] }

// keys of the operation.
func (t turn) keys() num { return t.op().Keys }

// host is the Redis that the client reaches a shard at.
func (t turn) host(s num) *shard {
	if s == fallible && t.c.promoted {
		return &t.w.shards[replica]
	}
	return &t.w.shards[s]
}

// salted tells whether a shard knows the script that the client calls; if not, the
// client recovers the shard and comes back.
func (t turn) salted(s num) bool {
	if s != fallible || t.host(s).salt == t.c.salt {
		return true
	}
	t.c.again, t.c.step = t.c.step, stepAdopt
	return false
}

// expect is what the operation's compare asks for.
func (t turn) expect() num {
	if t.op().Chained {
		return t.c.last
	}
	return 0
}

// written answers a write to the client.
func (t turn) written(revision num) {
	if t.stray {
		return
	}
	if revision <= t.c.floor {
		t.fault("a write took revision %d, %d was answered before it began", revision, t.c.floor)
	}
	if got := t.w.seq.history[revision].op; got != t.opID() {
		t.fault("operation %d was told revision %d, which is operation %d's", t.opID(), revision, got)
	}
	t.w.acked = max(t.w.acked, revision)
	t.c.last = revision
}

// answered gives what was read to the client.
func (t turn) answered() {
	c := t.c
	if t.stray {
		return
	}
	if c.at < c.floor && t.op().Back == 0 {
		t.fault("a read at revision %d, %d was answered before it began", c.at, c.floor)
	}
	for key := range num(keysMax) {
		if c.got&(1<<key) == 0 {
			continue
		}
		if truth := t.truth(t.w, key, c.at); c.seen[key] != truth {
			t.fault("key %d at revision %d is operation %d's of revision %d; the client was told operation %d's of revision %d",
				key, c.at, truth.op, truth.revision, c.seen[key].op, c.seen[key].revision)
		}
		c.last = c.seen[key].revision
	}
	if t.op().Back == 0 {
		t.w.acked = max(t.w.acked, c.at)
	}
}

// end forgets all that belongs to the operation.
func (t turn) end() bool {
	c := t.c
	*c = client{id: c.id, done: c.done + 1, known: c.known, epoch: c.epoch, salt: c.salt, promoted: c.promoted, last: c.last, lane: c.lane}
	if int(c.done) == len(t.programs[c.id]) {
		*c = client{id: c.id, done: c.done, step: stepEnd}
	}
	return true
}

// die ends the client; what it told others stays.
func die(c *client) { *c = client{id: c.id, step: stepEnd, dead: true} }

// to makes the client's next call one at a shard.
func (c *client) to(next step, s num) bool {
	c.step, c.shard = next, s
	return true
}

// owned tells whether a live client still uses a token.
func (w *World) owned(token num) bool {
	for i := range w.clients {
		if c := &w.clients[i]; c.token == token && !c.dead {
			return true
		}
	}
	return false
}

// meet is what a client does that meets a lock, a ticket, or a plan that is not applied.
// It waits for an owner that lives, unless it takes it for dead.
func (t turn) meet(token num) bool {
	if t.stray {
		return true
	}
	if !t.w.seq.plans[token].live && t.w.owned(token) {
		if t.w.suspicions == 0 {
			return false
		}
		t.w.suspicions--
	}
	t.c.met, t.c.back, t.c.backShard = token, t.c.step, t.c.shard
	t.c.step = stepResolve
	return true
}
