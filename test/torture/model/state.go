// Package model is what an etcd-like store has to do, written down as plainly as
// possible: a state is a value, a transaction makes another one of it. It knows
// nothing of tierd. Keys, revisions, versions, leases and compaction are in it;
// time is not: a lease ends when the caller says so.
//
// A State is never changed once it is made, so states may be kept and shared; each
// knows the one at the revision before its own.
package model

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// Why a request is refused.
var (
	ErrCompacted     = errors.New("compacted")
	ErrFuture        = errors.New("future revision")
	ErrLeaseNotFound = errors.New("lease not found")
	ErrLeaseExists   = errors.New("lease exists")
	ErrKeyNotFound   = errors.New("key not found")
)

// State is the store at one moment.
type State struct {
	// Revision is the current one; Compacted is -1 before the first compaction.
	Revision, Compacted int64
	// leases are those that exist; with anyLease all do.
	leases   map[int64]struct{}
	anyLease bool
	keys     map[string]*mvccpb.KeyValue
	// previous is the state at Revision-1; nil at the first one.
	previous *State
}

// Empty is a new store.
func Empty() *State { return &State{Revision: 1, Compacted: -1} }

// AnyLease is a new store in which every lease exists: for checking what happened to
// keys where the life of leases is checked otherwise.
func AnyLease() *State { return &State{Revision: 1, Compacted: -1, anyLease: true} }

// At is the state as it was at a revision. The error is ErrCompacted or ErrFuture.
func (s *State) At(revision int64) (*State, error) {
	switch {
	case revision > s.Revision:
		return nil, ErrFuture
	case revision < s.Compacted:
		return nil, ErrCompacted
	}
	past := s
	for past != nil && past.Revision > revision {
		past = past.previous
	}
	if past == nil {
		return nil, ErrCompacted
	}
	return past, nil
}

// Key is a key's value now; nil if it does not exist. It must not be changed.
func (s *State) Key(key []byte) *mvccpb.KeyValue { return s.keys[string(key)] }

// Keys are the keys of a range, in order, as etcd reads (key, range_end).
func (s *State) Keys(key, end []byte) []*mvccpb.KeyValue {
	if len(end) == 0 {
		if kv := s.Key(key); kv != nil {
			return []*mvccpb.KeyValue{kv}
		}
		return nil
	}
	var found []*mvccpb.KeyValue
	for _, kv := range s.keys {
		if Within(kv.Key, key, end) {
			found = append(found, kv)
		}
	}
	slices.SortFunc(found, func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
	return found
}

// Within says whether a key lies in a range, as etcd reads (from, end).
func Within(key, from, end []byte) bool {
	switch {
	case len(end) == 0:
		return bytes.Equal(key, from)
	case len(end) == 1 && end[0] == 0:
		return bytes.Compare(key, from) >= 0
	}
	return bytes.Compare(key, from) >= 0 && bytes.Compare(key, end) < 0
}

// Attached are the keys of a lease, in order.
func (s *State) Attached(lease int64) [][]byte {
	var found [][]byte
	for _, kv := range s.keys {
		if kv.Lease == lease {
			found = append(found, kv.Key)
		}
	}
	slices.SortFunc(found, bytes.Compare)
	return found
}

// HasLease says whether a lease exists.
func (s *State) HasLease(id int64) bool {
	_, exists := s.leases[id]
	return exists || s.anyLease
}

// Grant makes a lease.
func (s *State) Grant(id int64) (*State, error) {
	if s.HasLease(id) {
		return s, ErrLeaseExists
	}
	next := *s
	next.leases = maps.Clone(s.leases)
	if next.leases == nil {
		next.leases = make(map[int64]struct{})
	}
	next.leases[id] = struct{}{}
	return &next, nil
}

// Revoke removes a lease and deletes its keys, in one revision if it has any.
func (s *State) Revoke(id int64) (*State, []*mvccpb.Event, error) {
	if !s.HasLease(id) {
		return s, nil, ErrLeaseNotFound
	}
	w := s.write()
	for _, key := range s.Attached(id) {
		w.delete(key)
	}
	next := *w.finish()
	next.leases = maps.Clone(s.leases)
	delete(next.leases, id)
	return &next, w.events, nil
}

// Compact makes the revisions below one unreadable.
func (s *State) Compact(revision int64) (*State, error) {
	switch {
	case revision <= s.Compacted:
		return s, ErrCompacted
	case revision > s.Revision:
		return s, ErrFuture
	}
	next := *s
	next.Compacted = revision
	return &next, nil
}

// Apply is the state after events that have happened, whatever made them: the next
// revision with those keys.
func (s *State) Apply(events []*mvccpb.Event) *State {
	next := s.next()
	for _, e := range events {
		if e.Type == mvccpb.Event_DELETE {
			delete(next.keys, string(e.Kv.Key))
		} else {
			next.keys[string(e.Kv.Key)] = e.Kv
		}
	}
	return next
}

// next is the state at the next revision, with keys of its own to be changed.
func (s *State) next() *State {
	next := *s
	next.Revision, next.previous, next.keys = s.Revision+1, s, maps.Clone(s.keys)
	if next.keys == nil {
		next.keys = make(map[string]*mvccpb.KeyValue)
	}
	return &next
}

// Equal says whether two states answer every request at their revision alike.
func (s *State) Equal(other *State) bool {
	if s == other {
		return true
	}
	return s.Revision == other.Revision && s.Compacted == other.Compacted && maps.Equal(s.leases, other.leases) &&
		maps.EqualFunc(s.keys, other.keys, func(a, b *mvccpb.KeyValue) bool { return a == b || proto.Equal(a, b) })
}

// Leases are those that exist, in order.
func (s *State) Leases() []int64 {
	return slices.SortedFunc(maps.Keys(s.leases), cmp.Compare[int64])
}
