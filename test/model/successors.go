package model

import "fmt"

// how tells what kind of thing happens between two states.
type how num

const (
	calls how = iota
	losesReply
	delaysCall
	crashes
	learns
	arrives
	replicates
	promotes
)

// event is one thing that happens: to a client, in the middle of a call.
type event struct {
	how    how
	client num
	step   step
}

// successors shows every state that can follow one, until told to stop.
func (m *Model) successors(w *World, show func(*World, event) bool) {
	for i := range w.clients {
		if c := &w.clients[i]; c.id != 0 && c.step != stepEnd && !m.turns(w, i, show) {
			return
		}
	}
	if c := w.stray; c.id != 0 {
		next := *w
		next.stray = client{}
		turn{Model: m, w: &next, c: &c, stray: true}.call()
		if !show(&next, event{arrives, c.id, w.stray.step}) {
			return
		}
	}
	m.failovers(w, show)
}

// turns shows what can follow if one client makes its next call.
func (m *Model) turns(w *World, i int, show func(*World, event) bool) bool {
	before := *w
	t := turn{Model: m, w: &before, c: &before.clients[i]}
	if t.c.step == stepBegin {
		t.begin()
	}
	by := event{calls, t.c.id, t.c.step}
	next := before
	ran := turn{Model: m, w: &next, c: &next.clients[i]}.call()
	if ran && !show(&next, by) {
		return false
	}
	if ran && w.losses > 0 && hasEffect(by.step) {
		next, unheard := before, before.clients[i]
		turn{Model: m, w: &next, c: &unheard, stray: true}.call()
		next.losses--
		m.unanswered(&next, &next.clients[i])
		if by.how = losesReply; !show(&next, by) {
			return false
		}
	}
	if w.delays > 0 && w.stray.id == 0 && hasEffect(by.step) {
		next := before
		next.stray = next.clients[i]
		next.delays--
		m.unanswered(&next, &next.clients[i])
		if by.how = delaysCall; !show(&next, by) {
			return false
		}
	}
	if w.crashes > 0 {
		next := *w
		die(&next.clients[i])
		next.crashes--
		if by.how = crashes; !show(&next, by) {
			return false
		}
	}
	if w.promoted && !w.clients[i].promoted {
		next := *w
		next.clients[i].promoted = true
		by.how = learns
		return show(&next, by)
	}
	return true
}

// hasEffect tells whether a call changes anything that its repetition could change again.
func hasEffect(s step) bool {
	switch s {
	case stepLook, stepRead, stepCopyLook, stepCopyRead, stepEvaluate, stepHeal, stepHealShard, stepWait:
		return false
	}
	return true
}

// unanswered makes a client go on that does not know whether its call ran: a decision is
// looked up, anything else is called again.
func (m *Model) unanswered(w *World, c *client) {
	switch c.step {
	case stepAppend:
		o := &m.operations[m.programs[c.id][c.done]]
		c.to(stepFind, m.owner(w, o.key(), c.epoch))
	case stepPlan, stepMapCommit:
		c.step = stepPlanFind
	}
}

// failovers shows how the replica catches up, and how it becomes the primary.
func (m *Model) failovers(w *World, show func(*World, event) bool) {
	if w.promotions == 0 {
		return
	}
	caughtUp := *w
	caughtUp.replicate()
	if caughtUp != *w && !show(&caughtUp, event{how: replicates}) {
		return
	}
	next := *w
	next.promoted = true
	next.promotions--
	show(&next, event{how: promotes})
}

// tell is an event in words, with what it has changed of the order.
func (by event) tell(m *Model, w, next *World) string {
	var text string
	switch by.how {
	case replicates:
		return "the replica catches up"
	case promotes:
		return "the replica becomes the primary; the old one still answers"
	case calls:
		text = "client %d: %s"
	case losesReply:
		text = "client %d: %s, reply lost"
	case delaysCall:
		text = "client %d: %s is delayed, the client gives up on it"
	case crashes:
		text = "client %d dies before: %s"
	case learns:
		return fmt.Sprintf("client %d reaches the new primary from now on", by.client)
	case arrives:
		text = "late call of client %d arrives: %s"
	}
	text = fmt.Sprintf(text, by.client, by.step)
	for r := w.seq.revision + 1; r <= next.seq.revision; r++ {
		e := &next.seq.history[r]
		text += fmt.Sprintf("; revision %d is operation %d", r, e.op)
	}
	if before, after := w.seq.ticket, next.seq.ticket; before != after {
		text += fmt.Sprintf("; ticket %d", after)
	}
	for s := range num(shardsMax) {
		if p := next.shards[s].tail; by.how != replicates && p > w.shards[s].tail {
			text += fmt.Sprintf("; shard %d position %d is operation %d", s, p, next.shards[s].records[p].op)
		}
		if lock := next.shards[s].lock; lock != w.shards[s].lock {
			text += fmt.Sprintf("; shard %d lock %d", s, lock)
		}
	}
	return text
}

// String is the name of a call.
func (s step) String() string {
	return [...]string{
		"begin", "append", "find", "WAIT", "order", "order others'", "look", "read", "ticket", "lock", "order tails",
		"evaluate", "plan", "find plan", "apply", "forget", "resolve", "unlock", "record move", "clean a move up", "look to copy", "copy", "load",
		"commit map", "adopt", "recover", "call corrupt", "heartbeat", "heartbeat of a shard",
		"order what was left", "trim cuts", "end",
	}[s]
}
