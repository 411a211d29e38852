package model

import (
	"fmt"
	"hash/maphash"
)

// fault notes the first thing found wrong.
func (m *Model) fault(format string, args ...any) {
	if m.failure == "" {
		m.failure = fmt.Sprintf(format, args...)
	}
}

// truth is a key's version at a revision by the order of all revisions.
func (m *Model) truth(w *World, key, at num) version {
	for r := at; r > 1; r-- {
		if m.writes(w.seq.history[r].op, key) {
			return version{revision: r, op: w.seq.history[r].op}
		}
	}
	return version{}
}

// checkHistory checks what must hold of the revisions in every state.
func (m *Model) checkHistory(w *World) {
	for r := num(2); r <= w.seq.revision; r++ {
		e := &w.seq.history[r]
		o := &m.operations[e.op]
		if e.op == 0 {
			m.fault("revision %d is nobody's", r)
		}
		for before := num(2); before < r; before++ {
			if w.seq.history[before].op == e.op {
				m.fault("operation %d has the revisions %d and %d", e.op, before, r)
			}
		}
		if o.If && m.truth(w, o.key(), r-1).revision != e.expect {
			m.fault("operation %d of revision %d compared key %d with %d, and it was %d",
				e.op, r, o.key(), e.expect, m.truth(w, o.key(), r-1).revision)
		}
	}
}

// mourn is a state after all clients have died: only what outlives them is left.
func (m *Model) mourn(w *World) World {
	left := *w
	left.clients, left.stray = [clientsMax]client{}, client{}
	left.acked, left.crashes, left.losses, left.delays, left.suspicions, left.promotions = 0, 0, 0, 0, 0, 0
	if m.Failover && !left.promoted {
		left.shards[replica] = shard{salt: left.shards[replica].salt}
	}
	return left
}

// healStepsMax is far more than a heartbeat needs.
const healStepsMax = 200

// heal lets one fresh client do what a heartbeat does, and checks what is left.
func (m *Model) heal(w World) {
	w.clients[0] = client{id: healer, salt: 1, promoted: w.promoted}
	t := turn{Model: m, w: &w, c: &w.clients[0]}
	t.begin()
	for range healStepsMax {
		if t.c.step == stepEnd {
			m.checkHealed(&w)
			return
		}
		if !t.call() {
			m.fault("all clients died, and a fresh one waits for ever (step %d)", t.c.step)
		}
		if m.failure != "" {
			return
		}
	}
	m.fault("all clients died, and a fresh one comes to no end")
}

// checkHealed checks a state that nobody is at work in.
func (m *Model) checkHealed(w *World) {
	m.checkHistory(w)
	if w.seq.corrupt {
		if !m.Failover || m.Acks {
			m.fault("shard %d is called corrupt, and nothing can be lost", fallible)
		}
		return
	}
	if w.seq.ticket != 0 || w.seq.move != 0 {
		m.fault("ticket %d and move %d are left for ever", w.seq.ticket, w.seq.move)
	}
	t := turn{Model: m, w: w, c: &client{promoted: w.promoted}}
	for s := num(1); s < m.shards; s++ {
		host := t.host(s)
		if host.lock != 0 {
			m.fault("shard %d stays locked", s)
		}
		if host.tail != w.seq.ordered[s] || host.tail != host.stamped {
			m.fault("shard %d has tail %d, ordered %d, stamped %d", s, host.tail, w.seq.ordered[s], host.stamped)
		}
	}
	for key := range num(keysMax) {
		// One revision more: what the next operation will find.
		for at := num(1); at <= w.seq.revision+1; at++ {
			s := m.owner(w, key, w.epochAt(at))
			if got, truth := m.get(t.host(s), key, at), m.truth(w, key, at); got != truth {
				m.fault("key %d at revision %d is operation %d's of revision %d; shard %d has operation %d's of revision %d",
					key, at, truth.op, truth.revision, s, got.op, got.revision)
			}
		}
	}
}

// sum is a state in 128 bits: what the set of visited states keeps of it.
type sum [2]uint64

// hasher sums states. Two states of one sum are taken for one; with two independent
// sums of 64 bits that is out of the question for the number of states here.
type hasher [2]maphash.Seed

func newHasher() hasher { return hasher{maphash.MakeSeed(), maphash.MakeSeed()} }

func (h hasher) of(w *World) sum {
	return sum{maphash.Comparable(h[0], *w), maphash.Comparable(h[1], *w)}
}
