package model

// Mutation takes one rule of the protocol away.
type Mutation num

// The mutations, each with the rule that it takes away.
const (
	None Mutation = iota
	// NoAgain: what touches a key that is pending answers AGAIN.
	NoAgain
	// AppendIgnoresLock: a locked shard accepts no append.
	AppendIgnoresLock
	// LaneStaysOpen: a call that was looked up and had not run never runs.
	LaneStaysOpen
	// StampSkipsPlan: a plan's cut whose record is missing stops stamping, and is resolved.
	StampSkipsPlan
	// NoTicketCheck: a plan commits only while the ticket is the caller's.
	NoTicketCheck
	// ResolveKeepsTicket: the ticket is taken away before anything is unlocked.
	ResolveKeepsTicket
	// NoLocks: participants are locked.
	NoLocks
	// TailsNotOrdered: participants' tails are ordered before the plan.
	TailsNotOrdered
	// NoHomeConditions: home's keys are unchanged since the revision of evaluation.
	NoHomeConditions
	// ApplyTwice: a plan is applied once to its position.
	ApplyTwice
	// NoLastDelta: a move copies once more after it has locked.
	NoLastDelta
	// LoadOverwrites: what a copy finds that is newer stays.
	LoadOverwrites
	// GateNotRaised: a shard that gave keys away refuses older maps before it is unlocked.
	GateNotRaised
	// HomeIgnoresEpoch: the same on the home shard.
	HomeIgnoresEpoch
	// ReadsByNewestMap: a read goes by the map of its revision.
	ReadsByNewestMap
	// MoveGivenUpCommits: a map commits only while its move is recorded.
	MoveGivenUpCommits
	// CommittedMoveGivenUp: a move that has committed is not given up.
	CommittedMoveGivenUp
	// MoveNumberReused: each record of a move has a new number, given by the sequencer.
	MoveNumberReused
	// OrderAnyIncarnation: order is refused under a replaced incarnation.
	OrderAnyIncarnation
	// PlanAnyIncarnation: so is a plan whose participant was locked under one.
	PlanAnyIncarnation
	// ReadAnyIncarnation: a read calls the incarnation that look told it.
	ReadAnyIncarnation
	// ReadIgnoresLength: a shard that has stamped less than look told refuses the read.
	ReadIgnoresLength
	// AdoptKeepsIncarnation: another Redis has another incarnation.
	AdoptKeepsIncarnation
	// AdoptTakesBack: a Redis that was replaced is not adopted again.
	AdoptTakesBack
	// RecoverIgnoresTail: a tail below the ordered position is a loss.
	RecoverIgnoresTail
	// RecoverIgnoresTrim: so is a stamped position whose next cuts are trimmed.
	RecoverIgnoresTrim
	// RecoverSkipsPlan: a live plan is rolled forward before the tail is judged.
	RecoverSkipsPlan
	// RecoverForgetsGate: a recovered shard has the gate of the last map change.
	RecoverForgetsGate
	// RefillForgetsLanes: the lane of a record that is written again knows of it.
	RefillForgetsLanes
	// OrderUnreplicated: with acknowledgements, order follows WAIT.
	OrderUnreplicated
	// OrderOthersUnreplicated: so it does if others appended what is ordered.
	OrderOthersUnreplicated
	// PlanUnreplicatedLock: so do the locks' tails.
	PlanUnreplicatedLock
	// ForgetUnreplicated: a plan is forgotten after WAIT.
	ForgetUnreplicated
	// TrimUnreplicated: cuts are trimmed after WAIT.
	TrimUnreplicated
)
