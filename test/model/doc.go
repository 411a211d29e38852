// Package model is an exhaustive model of how revisions are made: append, order and
// stamp, transactions over several shards, moves of a range, and failovers. Explore
// walks every interleaving of a small scenario and checks each state it meets.
//
// It promises what a random test cannot: within a scenario's bounds (clients and their
// operations, crashes, lost replies, delayed calls, wrong suspicions, one failover)
// there is no schedule that breaks an invariant. It knows nothing of Redis, of Go's
// concurrency or of the real code: it checks the protocol, not its implementation.
//
// # What is one step
//
// A step is one script on one Redis. The words are the scripts' own:
//
//	append        stepAppend   decide and append on a remote shard; commit on the home shard
//	find          stepFind     what became of an append whose reply was lost; closes its lane
//	order         stepOrder, stepOrderOthers (what others left, after AGAIN)
//	stamp         part of every call to a shard: Model.stamp
//	look, read    stepLook, stepRead
//	ticket, lock  stepTicket, stepLock, stepOrderTails, stepEvaluate
//	plan          stepPlan, stepMapCommit: the commit points
//	apply, forget stepApply (for a move: raise the gate), stepForget
//	resolve       stepResolve, then stepApply or stepUnlock
//	move          stepMoveRecord, stepCopyLook, stepCopyRead, stepLoad, then ticket to forget
//	adopt         stepAdopt at the sequencer, stepRecover on the shard (with refill), stepCorrupt
//	WAIT          stepWait: the replica has all that the primary has
//	heartbeat     stepHeal, stepHealShard, stepHealOrder
//
// Between any two steps any other client may run, and this one may die. A reply may be
// lost after the script ran; a call may be delayed, its sender giving up on it, and run
// at any later time. A lock or ticket that was met may be taken from an owner that
// lives. Time is not modelled: whatever waits may be overtaken for ever.
//
// # What is checked
//
// When an operation is answered: a write owns its revision, a read is the state at its
// revision, and neither is older than what was answered before it began. In every
// state: each revision has one record, no operation has two, each compare held just
// before its revision. From every state: if all clients die, one fresh client that
// does what a heartbeat does ends with nothing locked, every plan applied, all tails
// ordered, and every key at every revision where the map says it is. While a client has
// work to do and nothing is blocking it for good, some step is possible; and from every
// state an end can be reached.
//
// A Mutation takes one rule away. The tests show that the rules are needed, and that
// the model would notice: each mutation must break an invariant.
package model
