// Package travel looks at the past of a keyspace by its archive: the versions of a key, the state at a
// moment, what is different between two. It needs no live server, and compaction hides nothing from it.
//
// Memory grows with what is returned, and for the comparison of two states that the log does not connect with
// the number of keys compared (some 60 bytes for each), never with the archive.
package travel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/router"
)

// KeyValue is a version of a key. Its memory is its own.
type KeyValue struct {
	Key, Value []byte
	// Create and Mod are the revisions in which the key was made and got this version.
	Create, Mod router.Revision
	// Version counts the versions since the key was made, Lease is the one attached, 0 for none.
	Version, Lease int64
}

// own copies what an item shares with its neighbours.
func own(v *router.Version) KeyValue {
	return KeyValue{
		Key: bytes.Clone(v.KV.Key), Value: bytes.Clone(v.KV.Value), Create: router.Revision(v.KV.CreateRevision), Mod: v.Main,
		Version: v.KV.Version, Lease: v.KV.Lease,
	}
}

// Keys chooses keys: one, or all that begin so.
type Keys struct {
	Key    []byte
	Prefix bool
}

func (k Keys) have(key []byte) bool {
	if k.Prefix {
		return bytes.HasPrefix(key, k.Key)
	}
	return bytes.Equal(key, k.Key)
}

// Get reads the keys as they were at a moment, in order.
func Get(ctx context.Context, a *backup.Archive, plan backup.Plan, keys Keys) ([]KeyValue, backup.End, error) {
	state := make(map[string]KeyValue)
	end, err := changes(ctx, a, plan, keys, func(v *router.Version) {
		if v.Tombstone {
			delete(state, string(v.KV.Key))
		} else {
			state[string(v.KV.Key)] = own(v)
		}
	})
	if err != nil {
		return nil, end, err
	}
	found := make([]KeyValue, 0, len(state))
	for _, kv := range state {
		found = append(found, kv)
	}
	slices.SortFunc(found, func(a, b KeyValue) int { return bytes.Compare(a.Key, b.Key) })
	return found, end, nil
}

// changes yields the versions of some keys that a plan reads, in order.
func changes(ctx context.Context, a *backup.Archive, plan backup.Plan, keys Keys, yield func(*router.Version)) (backup.End, error) {
	end, err := a.Read(ctx, plan, func(it backup.Item) error {
		if it.Kind == backup.KindChange && keys.have(it.Version.KV.Key) {
			yield(&it.Version)
		}
		return nil
	})
	if err != nil {
		return end, fmt.Errorf("look back: %w", err)
	}
	return end, nil
}

// hash stands for bytes; two of one hash are taken for impossible.
type hash [16]byte

func hashOf(text []byte) hash {
	sum := sha256.Sum256(text)
	return hash(sum[:16])
}

// Change is a key that is different in two states: nil where it is not there. They have different versions, which
// may have the same value.
type Change struct {
	Key      []byte
	Old, New *KeyValue
}

// Rewritten tells whether value and lease are the same all the same.
func (c Change) Rewritten() bool {
	return c.Old != nil && c.New != nil && bytes.Equal(c.Old.Value, c.New.Value) && c.Old.Lease == c.New.Lease
}

// changing collects changes by key.
type changing map[hash]*Change

func (c changing) of(key []byte) *Change {
	h := hashOf(key)
	if c[h] == nil {
		c[h] = &Change{Key: bytes.Clone(key)}
	}
	return c[h]
}

// all are the changes in order of their keys.
func (c changing) all() []Change {
	all := make([]Change, 0, len(c))
	for _, change := range c {
		all = append(all, *change)
	}
	slices.SortFunc(all, func(a, b Change) int { return bytes.Compare(a.Key, b.Key) })
	return all
}

// sorted leaves out what is the same version in both states.
func (c changing) sorted() []Change {
	return slices.DeleteFunc(c.all(), func(change Change) bool {
		return change.Old == nil && change.New == nil || change.Old != nil && change.New != nil && change.Old.Mod == change.New.Mod
	})
}
