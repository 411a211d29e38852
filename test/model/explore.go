package model

import (
	"fmt"
	"strings"
)

// Result is what an exploration found.
type Result struct {
	// States are different states, Steps the steps between them.
	States, Steps int
	// Healed are the different states that all clients' deaths can leave behind.
	Healed int
	// Finished are states in which every client has been answered all, Corrupt those in
	// which a loss has been found: an exploration that never comes there shows little.
	Finished, Corrupt int
	// Failure is the first thing found wrong, empty if nothing is; Trace is a shortest
	// way there.
	Failure string
	Trace   []string
}

// String is the trace, a step a line, and what is wrong then.
func (r Result) String() string {
	return strings.Join(r.Trace, "\n") + "\n=> " + r.Failure
}

// node is how a state was reached: from which one, by which of its successors.
type node struct {
	parent int32
	nth    int32
}

// exploration is one search, in breadth, so that a trace is a shortest one.
type exploration struct {
	*Model
	hash   hasher
	seen   map[sum]int32
	healed map[sum]struct{}
	nodes  []node
	// from and to are the steps that need no fault, of which an end must be reachable.
	from, to []int32
	ends     []int32
	frontier []World
	ids      []int32
	result   Result
}

// Explore visits every state of a scenario, up to statesMax of them; more is a failure.
func Explore(s Scenario, broken Mutation, statesMax int) Result {
	e := &exploration{Model: New(s, broken), hash: newHasher(), seen: make(map[sum]int32), healed: make(map[sum]struct{})}
	start := e.start()
	e.visit(&start, node{parent: -1})
	for len(e.frontier) > 0 && e.failure == "" {
		frontier, ids := e.frontier, e.ids
		e.frontier, e.ids = nil, nil
		for i := range frontier {
			if e.expand(&frontier[i], ids[i]); e.failure != "" {
				break
			}
		}
		if len(e.nodes) > statesMax {
			e.fault("there are more than %d states", statesMax)
		}
	}
	if e.failure == "" {
		e.checkEnds()
	}
	e.result.States, e.result.Healed, e.result.Failure = len(e.nodes), len(e.healed), e.failure
	return e.result
}

// visit adds a state, if it is a new one, and checks it; it answers its number.
func (e *exploration) visit(w *World, how node) int32 {
	sum := e.hash.of(w)
	if id, known := e.seen[sum]; known && e.failure == "" {
		return id
	}
	id := int32(len(e.nodes))
	e.seen[sum] = id
	e.nodes = append(e.nodes, how)
	e.checkHistory(w)
	if e.failure == "" {
		left := e.mourn(w)
		sum := e.hash.of(&left)
		if _, done := e.healed[sum]; !done {
			e.healed[sum] = struct{}{}
			e.heal(left)
		}
	}
	if e.failure != "" {
		e.result.Trace = e.trace(id)
		return id
	}
	if w.seq.corrupt {
		e.result.Corrupt++
	}
	if w.over() {
		e.ends = append(e.ends, id)
		if !w.dead() {
			e.result.Finished++
		}
	}
	e.frontier, e.ids = append(e.frontier, *w), append(e.ids, id)
	return id
}

// expand visits all successors of a state.
func (e *exploration) expand(w *World, id int32) {
	var nth int32
	moved := false
	e.successors(w, func(next *World, by event) bool {
		e.result.Steps++
		to := e.visit(next, node{parent: id, nth: nth})
		if by.how == calls || by.how == learns {
			moved = moved || by.how == calls
			e.from, e.to = append(e.from, id), append(e.to, to)
		}
		nth++
		return e.failure == ""
	})
	if !moved && !w.over() && e.failure == "" {
		e.fault("nobody can go on")
		e.result.Trace = e.trace(id)
	}
}

// over tells whether every client is done or dead.
func (w *World) over() bool {
	for i := range w.clients {
		if c := &w.clients[i]; c.id != 0 && c.step != stepEnd {
			return false
		}
	}
	return true
}

// dead tells whether any client died.
func (w *World) dead() bool {
	for i := range w.clients {
		if w.clients[i].dead {
			return true
		}
	}
	return false
}

// checkEnds checks that from every state an end can be reached without any fault.
func (e *exploration) checkEnds() {
	back := make([][]int32, len(e.nodes))
	for i := range e.from {
		back[e.to[i]] = append(back[e.to[i]], e.from[i])
	}
	reached := make([]bool, len(e.nodes))
	queue := e.ends
	for _, id := range queue {
		reached[id] = true
	}
	for len(queue) > 0 {
		id := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, from := range back[id] {
			if !reached[from] {
				reached[from] = true
				queue = append(queue, from)
			}
		}
	}
	for id := range reached {
		if !reached[id] {
			e.fault("no end can be reached any more")
			e.result.Trace = e.trace(int32(id))
			return
		}
	}
}

// trace walks from the start to a state again, and tells each step.
func (e *exploration) trace(id int32) []string {
	var way []int32
	for ; e.nodes[id].parent >= 0; id = e.nodes[id].parent {
		way = append(way, e.nodes[id].nth)
	}
	again := New(e.Scenario, e.Broken)
	w := again.start()
	var lines []string
	for i := len(way) - 1; i >= 0; i-- {
		var nth int32
		var then World
		again.failure = ""
		again.successors(&w, func(next *World, by event) bool {
			if nth == way[i] {
				then = *next
				lines = append(lines, fmt.Sprintf("%3d. %s", len(lines)+1, by.tell(again, &w, next)))
			}
			nth++
			return nth <= way[i]
		})
		w = then
	}
	return lines
}
