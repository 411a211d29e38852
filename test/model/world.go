package model

// num is every small number of a state: states are many, and compared as bytes.
type num = int8

// The bounds of a state. A scenario that exceeds one panics: nothing is cut silently.
const (
	shardsMax    = 6
	keysMax      = 3
	positionsMax = 6
	revisionsMax = 9
	tokensMax    = 8
	clientsMax   = 3
	movesMax     = 4
	saltsMax     = 5
)

// home is the shard that shares the sequencer's Redis.
const home = 0

// fallible is the shard that may fail over; its replica is kept as one more shard.
const (
	fallible = 1
	replica  = 5
)

// record is what one operation wrote on one shard. expect is the mod revision that its
// compare asked for; unlisted says that the lane has no record of it.
type record struct {
	op, expect num
	unlisted   bool
}

// version is a value of a key: values are told apart by who wrote them.
type version struct{ revision, op num }

// shard is one shard's data on one Redis.
type shard struct {
	records   [positionsMax + 1]record
	revisions [positionsMax + 1]num
	// base is what a move copied here.
	base [keysMax]version
	// lanes are, by client, the first lane that is not closed.
	lanes         [clientsMax + 1]num
	tail, stamped num
	lock, gate    num
	// salt is the incarnation its scripts were loaded with; 0: NOSCRIPT.
	salt num
}

// entry says what took a revision: a position of a shard, or a plan.
type entry struct {
	shard, position, token num
	record
}

// plan is a decided transaction over several shards, or the commit of a move. It stays
// here after it was forgotten, for the checks and for calls that are on their way.
type plan struct {
	op, expect, revision num
	// at is its position on each shard that it writes. locked are the shards to apply it
	// on and to unlock, as bits; of a move those whose gates are to be raised.
	at     [shardsMax]num
	locked num
	live   bool
	// epoch is the map's after a move, and move its number; 0 for a transaction.
	epoch, move num
}

// mapVersion gives keys to a shard from a revision on.
type mapVersion struct{ from, keys, to num }

// sequencer is the Redis that orders.
type sequencer struct {
	revision num
	history  [revisionsMax + 2]entry
	ordered  [shardsMax]num
	// salt is the incarnation of the shard that may fail over, replicaOf which ones were
	// of the replica.
	salt      num
	replicaOf [saltsMax + 1]bool
	corrupt   bool
	// trimmed is the position of that shard up to which the cuts are gone.
	trimmed num
	ticket  num
	tokens  num
	plans   [tokensMax + 1]plan
	maps    [movesMax + 1]mapVersion
	epoch   num
	// move is the number of the move under way, 0 for none; moves were recorded so far,
	// each with the new shard in target.
	move, moves num
	target      [movesMax + 1]num
}

// World is one state: every Redis, every client, every call on its way, and what may
// still go wrong.
type World struct {
	seq     sequencer
	shards  [shardsMax]shard
	clients [clientsMax]client
	// stray is a call on its way whose sender no longer waits for it.
	stray client
	// promoted says that the replica was made the primary; the old one still answers.
	promoted bool
	// acked is the highest revision that any client was told.
	acked                                           num
	crashes, losses, delays, suspicions, promotions num
}

// cut is the revision of a shard's position by the cuts up to a revision, and the plan
// if it is a plan's; 0 if they have none.
func (w *World) cut(s, position, known num) (revision, token num) {
	if s == fallible && position <= w.seq.trimmed {
		return 0, 0
	}
	for r := num(2); r <= known; r++ {
		e := &w.seq.history[r]
		if e.token != 0 && w.seq.plans[e.token].at[s] == position {
			return r, e.token
		}
		if e.token == 0 && e.shard == s && e.position == position {
			return r, 0
		}
	}
	return 0, 0
}

// stamp turns a shard's positions into revisions by the cuts up to a revision. It
// answers the token of a plan whose record is not here yet, or 0.
func (m *Model) stamp(w *World, host *shard, s, known num) num {
	for {
		revision, token := w.cut(s, host.stamped+1, known)
		if revision == 0 {
			return 0
		}
		if host.stamped+1 > host.tail {
			if token == 0 {
				m.fault("shard %d lacks position %d, which is ordered", s, host.stamped+1)
				return 0
			}
			if m.Broken != StampSkipsPlan {
				return token
			}
			return 0
		}
		host.stamped++
		host.revisions[host.stamped] = revision
	}
}

// get is a key's version on a shard at a revision.
func (m *Model) get(host *shard, key, at num) version {
	found := host.base[key]
	if found.revision > at {
		found = version{}
	}
	for p := num(1); p <= host.stamped; p++ {
		if r := host.revisions[p]; r <= at && r > found.revision && m.writes(host.records[p].op, key) {
			found = version{revision: r, op: host.records[p].op}
		}
	}
	return found
}

// add appends a record to a shard.
func (m *Model) add(host *shard, r record) {
	host.tail++
	if host.tail > positionsMax {
		panic(m.Name + ": positionsMax is too small")
	}
	host.records[host.tail] = r
}

// next takes the next revision for an entry.
func (m *Model) next(w *World, e entry) num {
	w.seq.revision++
	if w.seq.revision > revisionsMax {
		panic(m.Name + ": revisionsMax is too small")
	}
	e.unlisted = false
	w.seq.history[w.seq.revision] = e
	return w.seq.revision
}

// order gives all positions of a shard up to tail their revisions. host is where the
// caller saw them: what they hold is kept for the checks.
func (m *Model) order(w *World, host *shard, s, tail num) {
	for p := w.seq.ordered[s] + 1; p <= tail; p++ {
		if p > host.tail {
			m.fault("position %d of shard %d is ordered and does not exist", p, s)
			return
		}
		m.next(w, entry{shard: s, position: p, record: host.records[p]})
		w.seq.ordered[s] = p
	}
}

// owner is the shard of a key by the map of an epoch.
func (m *Model) owner(w *World, key, epoch num) num {
	s := m.Owner[key]
	for e := num(1); e <= epoch; e++ {
		if w.seq.maps[e].keys&(1<<key) != 0 {
			s = w.seq.maps[e].to
		}
	}
	return s
}

// epochAt is the epoch of the map that holds at a revision.
func (w *World) epochAt(at num) num {
	e := w.seq.epoch
	for e > 0 && w.seq.maps[e].from > at {
		e--
	}
	return e
}

// participants are the shards of some keys by a map, as bits.
func (m *Model) participants(w *World, keys, epoch num) num {
	var all num
	for key := range num(keysMax) {
		if keys&(1<<key) != 0 {
			all |= 1 << m.owner(w, key, epoch)
		}
	}
	return all
}

// after is the first of a set of shards above one; -1 if there is none.
func after(set, s num) num {
	for s++; s < shardsMax; s++ {
		if set&(1<<s) != 0 {
			return s
		}
	}
	return -1
}
