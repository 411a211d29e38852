package model

// The operations of the scenarios. The chained ones compare with what their client was
// told last, as a client does that counts up.

func put(key num) Operation   { return Operation{Kind: Put, Keys: 1 << key} }
func putIf(key num) Operation { return Operation{Kind: Put, Keys: 1 << key, If: true, Chained: true} }
func read(keys num) Operation { return Operation{Kind: Read, Keys: keys} }
func txn(keys num) Operation  { return Operation{Kind: Transaction, Keys: keys} }
func txnIf(keys num) Operation {
	return Operation{Kind: Transaction, Keys: keys, If: true, Chained: true}
}
func txnReads(keys, reads num) Operation {
	return Operation{Kind: Transaction, Keys: keys, Reads: reads, If: true, Chained: true}
}
func readBack(keys, back num) Operation { return Operation{Kind: Read, Keys: keys, Back: back} }
func move(keys, to num) Operation       { return Operation{Kind: Move, Keys: keys, To: to} }
func heartbeat() Operation              { return Operation{Kind: Heartbeat} }

// Sets of keys. Key 0 is on the shard that the scenario is about.
const (
	key0      = 1
	key1      = 2
	keys01    = 1 | 2
	keys02    = 1 | 4
	allOfKeys = 1 | 2 | 4
)

type ops = []Operation

// Where the keys are: key 2 or key 0 at home and the others each on a shard of its own,
// key 0 alone elsewhere, keys 0 and 1 on one shard, or all at home.
func spread() [keysMax]num   { return [keysMax]num{1, 2, home} }
func oneFar() [keysMax]num   { return [keysMax]num{1, home, home} }
func together() [keysMax]num { return [keysMax]num{1, 1, home} }
func firstAtHome() [keysMax]num {
	return [keysMax]num{home, 1, 2}
}
func atHome() [keysMax]num { return [keysMax]num{} }

// scenarios are what `go test` explores.
func scenarios() []Scenario {
	return []Scenario{
		{Name: "puts", Owner: spread(), Clients: []ops{{put(0), putIf(0)}, {putIf(0), read(allOfKeys)}},
			Crashes: 1, Losses: 1, Delays: 1},
		{Name: "puts-home", Owner: oneFar(), Clients: []ops{{putIf(1), putIf(0)}, {putIf(1), read(keys01)}},
			Crashes: 1, Losses: 1, Delays: 1},
		{Name: "reads", Owner: spread(), Clients: []ops{{put(0), put(1)}, {put(1), put(2)}, {read(allOfKeys), read(allOfKeys)}},
			Crashes: 1},
		{Name: "transaction-put", Owner: spread(), Clients: []ops{{txn(keys01)}, {putIf(0), read(keys01)}},
			Crashes: 1, Losses: 1, Delays: 1, Suspicions: 1},
		{Name: "transactions", Owner: spread(), Clients: []ops{{txnIf(keys01)}, {txnIf(keys02), read(allOfKeys)}},
			Crashes: 1, Delays: 1, Suspicions: 1},
		{Name: "transaction-home", Owner: firstAtHome(), Clients: []ops{{txnIf(keys01)}, {putIf(0), putIf(1)}, {put(0), read(keys01)}},
			Crashes: 1, Suspicions: 1},
		{Name: "transactions-skew", Owner: spread(), Clients: []ops{{txnReads(keys01, key0)}, {txnReads(keys01, key1)}, {putIf(0), putIf(1)}},
			Crashes: 1, Suspicions: 1},
		{Name: "transaction-three", Owner: spread(), Clients: []ops{{txnIf(keys01)}, {put(0), putIf(0)}, {read(keys01), heartbeat()}},
			Crashes: 1, Suspicions: 1},
		{Name: "move", Owner: oneFar(), Before: ops{put(0)}, Clients: []ops{{move(key0, 2)}, {put(0), putIf(0)}, {read(key0), readBack(key0, 1)}},
			Crashes: 1, Losses: 1, Suspicions: 1},
		{Name: "move-late", Owner: together(), Before: ops{put(0)}, Clients: []ops{{move(key0, 2)}, {read(key0), putIf(0)}},
			Crashes: 1, Delays: 1, Suspicions: 1},
		{Name: "move-given-up", Owner: oneFar(), Before: ops{put(0)}, Clients: []ops{{move(key0, 2)}, {putIf(0)}, {heartbeat()}},
			Delays: 1, Suspicions: 1},
		{Name: "move-home", Owner: atHome(), Before: ops{put(0)}, Clients: []ops{{move(key0, 2)}, {putIf(0), put(0)}, {read(key0), put(1)}},
			Crashes: 1, Delays: 1, Suspicions: 1},
		{Name: "move-twice", Owner: oneFar(), Before: ops{put(0)}, Clients: []ops{{move(key0, 2), move(key0, 2)}, {put(0), putIf(0)}, {read(key0), put(1)}},
			Crashes: 1, Suspicions: 1},
		{Name: "movers", Owner: oneFar(), Before: ops{put(0)}, Clients: []ops{{move(key0, 2)}, {move(key0, 2)}, {put(0), putIf(0)}},
			Crashes: 1, Suspicions: 1},
		{Name: "move-transaction", Owner: oneFar(), Before: ops{put(0)}, Clients: []ops{{move(key0, 2)}, {txnIf(keys01)}, {read(keys01), put(1)}},
			Crashes: 1, Suspicions: 1},
		{Name: "failover-acks", Owner: oneFar(), Clients: []ops{{putIf(0), read(key0)}, {putIf(0), putIf(0)}},
			Failover: true, Acks: true, Crashes: 1, Losses: 1},
		{Name: "failover-loss", Owner: oneFar(), Clients: []ops{{putIf(0), read(key0)}, {put(0), putIf(0)}},
			Failover: true, Crashes: 1, Losses: 1},
		{Name: "failover-transaction-acks", Owner: spread(), Clients: []ops{{txnIf(keys01)}, {putIf(0), read(keys01)}},
			Failover: true, Acks: true, Crashes: 1, Suspicions: 1},
		{Name: "failover-transaction-loss", Owner: spread(), Clients: []ops{{txnIf(keys02)}, {putIf(0), read(key0)}},
			Failover: true, Crashes: 1, Suspicions: 1},
		{Name: "failover-move-acks", Owner: together(), Before: ops{put(0)}, Clients: []ops{{move(key0, 2)}, {putIf(0), read(key0)}},
			Failover: true, Acks: true, Crashes: 1, Suspicions: 1},
		{Name: "failover-move-loss", Owner: together(), Before: ops{put(0)}, Clients: []ops{{move(key0, 2)}, {put(0), put(1)}},
			Failover: true, Crashes: 1, Suspicions: 1},
		{Name: "failover-refill", Owner: oneFar(), Clients: []ops{{put(0), read(key0)}, {read(key0), putIf(0)}},
			Failover: true, Refill: true, Crashes: 1, Losses: 1},
		{Name: "failover-trim-acks", Owner: oneFar(), Clients: []ops{{put(0), heartbeat()}, {read(key0), put(0)}},
			Failover: true, Acks: true, Crashes: 1},
		{Name: "failover-trim-loss", Owner: oneFar(), Clients: []ops{{put(0), heartbeat()}, {read(key0), put(0)}},
			Failover: true, Crashes: 1},
	}
}

// largeScenarios are what `make model` explores as well: the same with more clients that
// die or are taken for dead, with more replies that are lost, and with late calls.
func largeScenarios() []Scenario {
	var all []Scenario
	for _, s := range scenarios() {
		deaths, lost, late := s, s, s
		deaths.Name += "/deaths"
		deaths.Crashes, deaths.Suspicions = 2, s.Suspicions+1
		lost.Name += "/lost"
		lost.Losses++
		late.Name += "/late"
		late.Delays++
		all = append(all, deaths, lost, late)
	}
	return all
}
