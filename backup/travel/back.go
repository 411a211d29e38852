package travel

import (
	"context"
	"errors"
	"slices"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/router"
)

func isOutside(err error) bool { return errors.Is(err, backup.ErrOutside) }

// Live yields the keys of a keyspace in service.
type Live func(ctx context.Context, yield func(KeyValue) error) error

// Back finds what has to be written so that the values of the keys are those of a moment again: Old is what is there, New
// what was. Keys with the same value are no changes, whatever else of them is different.
func Back(ctx context.Context, a *backup.Archive, plan backup.Plan, keys Keys, live Live) ([]Change, error) {
	past := make(map[hash]hash)
	_, err := changes(ctx, a, plan, keys, func(v *router.Version) {
		if v.Tombstone {
			delete(past, hashOf(v.KV.Key))
		} else {
			past[hashOf(v.KV.Key)] = hashOf(v.KV.Value)
		}
	})
	if err != nil {
		return nil, err
	}
	found := make(changing)
	err = live(ctx, func(kv KeyValue) error {
		key := hashOf(kv.Key)
		value, was := past[key]
		if was && value == hashOf(kv.Value) {
			delete(past, key)
			return nil
		}
		found[key] = &Change{Key: kv.Key, Old: &kv}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// What is left in past is to be written.
	_, err = changes(ctx, a, plan, keys, func(v *router.Version) {
		if _, wanted := past[hashOf(v.KV.Key)]; wanted {
			found.of(v.KV.Key).New = value(v)
		}
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found.all(), func(c Change) bool { return c.Old == nil && c.New == nil }), nil
}
