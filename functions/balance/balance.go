// Package balance is the scheduled job that keeps the shards of a keyspace even: it
// splits ranges that are hot or large, moves ranges from an endpoint that is full or
// busy to one that is not, empties endpoints that drain, and merges small cold
// neighbours.
//
// Plan decides: a pure function of two looks at the shard map and of what was done
// lately, so that `tierd shard plan` and the tests see exactly what the job would do.
// Loop runs it on every frontend, and acts only on the one that leads. Two that both
// think they lead do no harm: the router takes one change of the map at a time and
// refuses the second.
//
// It promises to do nothing where there is nothing to gain: not with one endpoint,
// not below its thresholds, not where a move would leave the target nearly as full
// or busy as the source was, so that nothing ever moves back and forth. It never
// moves anything to an endpoint that drains or does not answer, makes one change at a
// time, and rests after each. What it knows dies with the process: a new leader first
// measures anew. A move that it began and did not live to finish is the router's to
// finish or undo.
package balance

import (
	"time"

	"github.com/tierd/tierd/router"
)

// Policy says when to act. Writes are transactions that wrote.
type Policy struct {
	// A range that takes more than RangeWritesHigh writes per second, or holds more
	// than RangeBytesHigh or RangeKeysHigh, is split.
	RangeWritesHigh float64
	RangeBytesHigh  int64
	RangeKeysHigh   int64
	// On an endpoint above MemoryShareHigh a range is large already if it takes
	// this share of the endpoint's memory.
	RangeShareHigh float64

	// Neighbours on one shard that together stay below these three, a fraction of
	// the thresholds above, are merged, but only while there are more ranges than
	// RangesKept: a few cost nothing, and may be an operator's own.
	MergedWritesMax float64
	MergedBytesMax  int64
	MergedKeysMax   int64
	RangesKept      int
	// RangesMax is the number of ranges at which nothing is split any more.
	RangesMax int

	// An endpoint that uses more than MemoryShareHigh of its memory, or takes more
	// than EndpointWritesHigh writes per second, gives ranges away.
	MemoryShareHigh    float64
	EndpointWritesHigh float64
	// MemoryShareMax is how full an endpoint may become by what a draining one
	// gives it.
	MemoryShareMax float64
	// MemoryAssumedBytes is what an endpoint is taken to hold that names no limit.
	MemoryAssumedBytes int64
	// LighterBy is how much lighter than the source is now, as a share of that, the
	// target must be with the range on it.
	LighterBy float64
	// ReliefMin is the least part of the source's load that is worth a move.
	ReliefMin float64

	// CoolDown is the least time between a move or a merge and the next one;
	// emptying an endpoint does not wait for it. After a failure everything does.
	CoolDown time.Duration
	// RestAfterMove is how long keys that were moved are not moved again, and keys
	// that were moved or split are not merged.
	RestAfterMove time.Duration
	// KeysPerMinute bounds what is copied, on average: a move of n keys is followed
	// by n/KeysPerMinute minutes without another.
	KeysPerMinute int64
}

// DefaultPolicy is made for machines of an ordinary size: nothing happens in a
// keyspace that one Redis carries with ease.
func DefaultPolicy() Policy {
	return Policy{
		RangeWritesHigh: 10_000, RangeBytesHigh: 1 << 30, RangeKeysHigh: 2_000_000, RangeShareHigh: 0.12,
		MergedWritesMax: 100, MergedBytesMax: 64 << 20, MergedKeysMax: 100_000, RangesKept: 16, RangesMax: 512,
		MemoryShareHigh: 0.6, EndpointWritesHigh: 20_000, MemoryShareMax: 0.85, MemoryAssumedBytes: 16 << 30,
		LighterBy: 0.2, ReliefMin: 0.02,
		CoolDown: 5 * time.Minute, RestAfterMove: 30 * time.Minute, KeysPerMinute: 600_000,
	}
}

// Sample is the shard map as it was at a time.
type Sample struct {
	At       time.Time
	Topology router.Topology
}

// Kind is what a decision changes.
type Kind string

// The kinds of decisions.
const (
	Split Kind = "split"
	Move  Kind = "move"
	Merge Kind = "merge"
)

// Decision is one change of the shard map, and why it is made.
type Decision struct {
	Kind Kind
	// From and To are the range that is split or moved, or the one that a merge
	// makes; At is the boundary that a split makes or a merge takes away.
	From, To, At []byte
	// Shard has the range now, on the endpoint Source; Target is where a move
	// brings it, otherwise the same.
	Shard, Source, Target int
	// Keys and Bytes are what a move copies; both are 0 otherwise.
	Keys, Bytes int64
	// Drain says that the decision empties an endpoint.
	Drain bool
	// Reason is a sentence with the numbers that decided.
	Reason string
}

// Action is a decision that was carried out, or failed.
type Action struct {
	Decision
	// Ended is when that was.
	Ended  time.Time
	Failed bool
}

// Outlook is what Plan found.
type Outlook struct {
	// Decisions are in the order of their urgency; at most one of them is a move.
	// After each, the map has to be looked at again.
	Decisions []Decision
	// Notes are sentences about what should happen and cannot.
	Notes []string
}

func (o *Outlook) moves() bool {
	for _, d := range o.Decisions {
		if d.Kind == Move {
			return true
		}
	}
	return false
}
