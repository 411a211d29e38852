package model

// Kind is what an operation does.
type Kind num

// The kinds. A heartbeat is what every live frontend does now and then.
const (
	Put Kind = iota
	Read
	Transaction
	Move
	Heartbeat
)

// Operation is one operation of a client.
type Operation struct {
	Kind Kind
	// Keys are its keys, as bits. A Put has one. Those in Reads a Transaction locks and
	// does not write.
	Keys, Reads num
	// If says that a Put or Transaction compares the mod revision of its lowest key:
	// with 0, or if it is Chained with the one that its client was told last.
	If, Chained bool
	// Back is how many revisions before the newest one a Read goes.
	Back num
	// To is the new shard of the first Move; another one has the next one.
	To num
}

// key is the lowest key.
func (o *Operation) key() num {
	for key := range num(keysMax) {
		if o.Keys&(1<<key) != 0 {
			return key
		}
	}
	return 0
}

// first is an operation's first call.
func (o *Operation) first() step {
	return [...]step{Put: stepAppend, Read: stepLook, Transaction: stepTicket, Move: stepMoveRecord, Heartbeat: stepHeal}[o.Kind]
}

// Scenario is what one exploration is about: who does what, and what may go wrong.
type Scenario struct {
	Name string
	// Owner are the shards of the keys at first.
	Owner [keysMax]num
	// Before are puts that are done before anyone begins.
	Before []Operation
	// Clients are the operations of each client, in order.
	Clients [][]Operation
	// Crashes, Losses of a reply, Delays of a call, and Suspicions of an owner that
	// lives: how many there may be.
	Crashes, Losses, Delays, Suspicions num
	// Failover lets shard 1 fail over to a replica that may lag. Acks makes clients wait
	// for the replica before they order and before they forget a plan.
	Failover, Acks bool
	// Refill lets a client that knows of the revisions that a failover lost write their
	// records again.
	Refill bool
}

// Model is a scenario under a mutation. It is not safe for use by several goroutines.
type Model struct {
	Scenario
	Broken Mutation
	// operations are all operations by number, from 1: those done before come first.
	operations []Operation
	// programs are the numbers of each client's operations, by client.
	programs [clientsMax + 2][]num
	// shards is how many there are, with home and those that moves may make.
	shards num
	// failure is the first thing found wrong.
	failure string
}

// healer is the client that cleans up when all others have died.
const healer = clientsMax + 1

// New makes a model.
func New(s Scenario, broken Mutation) *Model {
	m := &Model{Scenario: s, Broken: broken, operations: make([]Operation, 1), shards: 1}
	for _, owner := range s.Owner {
		m.shards = max(m.shards, owner+1)
	}
	m.operations = append(m.operations, s.Before...)
	for i, program := range append(s.Clients, []Operation{{Kind: Heartbeat}}) {
		id := i + 1
		if i == len(s.Clients) {
			id = healer
		}
		for _, o := range program {
			m.programs[id] = append(m.programs[id], num(len(m.operations)))
			m.operations = append(m.operations, o)
			if o.Kind == Move {
				m.shards = shardsMax
			}
		}
	}
	if s.Failover {
		m.shards = min(m.shards, replica)
	}
	return m
}

// writes tells whether an operation writes a key.
func (m *Model) writes(op, key num) bool {
	o := &m.operations[op]
	return (o.Kind == Put || o.Kind == Transaction) && (o.Keys&^o.Reads)&(1<<key) != 0
}

// start is the first state.
func (m *Model) start() World {
	w := World{crashes: m.Crashes, losses: m.Losses, delays: m.Delays, suspicions: m.Suspicions}
	if m.Failover {
		w.promotions = 1
	}
	w.seq.revision, w.seq.salt = 1, 1
	for i := range w.shards {
		w.shards[i].salt = 1
	}
	for i := range m.Before {
		op := num(i + 1)
		s := m.Owner[m.operations[op].key()]
		host := &w.shards[s]
		m.add(host, record{op: op})
		host.stamped = host.tail
		host.revisions[host.tail] = m.next(&w, entry{shard: s, position: host.tail, record: record{op: op}})
		w.seq.ordered[s] = host.tail
	}
	if m.Failover {
		w.replicate()
	} else {
		w.shards[replica].salt = 1
	}
	for i := range m.Clients {
		w.clients[i] = client{id: num(i + 1), salt: 1, known: w.seq.revision}
		if len(m.Clients[i]) == 0 {
			w.clients[i].step = stepEnd
		}
	}
	w.acked = w.seq.revision
	return w
}
