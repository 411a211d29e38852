// Package shards spreads the keys of a running cluster over shards and changes the
// map under load, for tests that want either: through the commands of tierd shard
// alone, as an operator does.
//
// Its own tests do so on real processes: what concerns several shards is whole
// however the frontend or the mover is killed, and clients notice nothing of splits,
// moves and merges.
//
//	go test ./test/shards                  20 changes of the map under load
//	make shards MOVES=100                  100
package shards
