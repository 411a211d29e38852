// Package torture runs many clients and watches on frontends of one keyspace while
// their processes are killed, paused and started again, writes down what everybody
// was told, and checks it: by the order of revisions and by porcupine, against a
// model of etcd's store, and in the end against a real etcd that was fed the same
// history.
//
// With -shards the keys are spread over shards on several databases of two servers, and
// ranges split, move and merge meanwhile, through movers that are killed, too.
//
// A run has rounds, each with a store of its own, so that each history can be
// checked in seconds. A seed decides on the requests and the faults; how the
// processes run beside each other is up to the machine, so that a seed repeats the
// plan and not the history. A history that fails is saved and can be checked again
// by itself.
//
//	go test ./test/torture                             one short round
//	make torture DURATION=10m                          rounds for ten minutes
//	make torture SHARDS=3                              over three shards
//	go test ./test/torture -seed 7                     the plan of seed 7
//	go test ./test/torture -run Saved -history f.json  a saved history again
//
// The packages below: history is the data, load makes it, model is what a store has
// to do, check compares the two.
package torture
