package travel

import (
	"context"
	"fmt"
	"slices"

	"github.com/tierd/tierd/backup"
	"github.com/tierd/tierd/router"
)

// Diff finds the keys that are different at two moments of one timeline, the first not after the second.
func Diff(ctx context.Context, a *backup.Archive, c *backup.Catalog, from, to backup.Plan, keys Keys) ([]Change, error) {
	if from.Revision > to.Revision {
		return nil, fmt.Errorf("revision %d is not before %d", from.Revision, to.Revision)
	}
	whole, connected, err := connect(ctx, a, c, from, to)
	if err != nil {
		return nil, err
	}
	if !connected {
		return compare(ctx, a, from, to, keys)
	}
	found := make(changing)
	_, err = changes(ctx, a, whole, keys, func(v *router.Version) {
		if v.Main > from.Revision {
			found.of(v.KV.Key).New = value(v)
		}
	})
	if err != nil {
		return nil, err
	}
	return fill(ctx, a, from, keys, found, func(change *Change, kv *KeyValue) { change.Old = kv })
}

// connect plans to read the later state from the base of the earlier one, if the log is there.
func connect(ctx context.Context, a *backup.Archive, c *backup.Catalog, from, to backup.Plan) (backup.Plan, bool, error) {
	i := slices.IndexFunc(c.Bases, func(b backup.Base) bool { return b.Name() == from.Base.Name() })
	if i < 0 {
		return backup.Plan{}, false, nil
	}
	trimmed := *c
	trimmed.Bases = c.Bases[i : i+1]
	plan, err := a.Plan(ctx, &trimmed, backup.Target{Revision: to.Revision})
	if isOutside(err) {
		return backup.Plan{}, false, nil
	}
	return plan, err == nil, err
}

// value is what a key has after a version: nil if it was deleted.
func value(v *router.Version) *KeyValue {
	if v.Tombstone {
		return nil
	}
	kv := own(v)
	return &kv
}

// fill reads one state of the keys that were found.
func fill(ctx context.Context, a *backup.Archive, plan backup.Plan, keys Keys, found changing, set func(*Change, *KeyValue)) ([]Change, error) {
	_, err := changes(ctx, a, plan, keys, func(v *router.Version) {
		if change := found[hashOf(v.KV.Key)]; change != nil {
			set(change, value(v))
		}
	})
	if err != nil {
		return nil, err
	}
	return found.sorted(), nil
}

// compare finds the differences of two states that no log connects.
func compare(ctx context.Context, a *backup.Archive, from, to backup.Plan, keys Keys) ([]Change, error) {
	before, err := mods(ctx, a, from, keys)
	if err != nil {
		return nil, err
	}
	after, err := mods(ctx, a, to, keys)
	if err != nil {
		return nil, err
	}
	differ := make(map[hash]bool)
	for key, mod := range before {
		if after[key] != mod {
			differ[key] = true
		}
	}
	for key, mod := range after {
		if before[key] != mod {
			differ[key] = true
		}
	}
	found := make(changing, len(differ))
	for _, side := range []struct {
		plan backup.Plan
		set  func(*Change, *KeyValue)
	}{
		{from, func(change *Change, kv *KeyValue) { change.Old = kv }},
		{to, func(change *Change, kv *KeyValue) { change.New = kv }},
	} {
		_, err := changes(ctx, a, side.plan, keys, func(v *router.Version) {
			if differ[hashOf(v.KV.Key)] {
				side.set(found.of(v.KV.Key), value(v))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return found.sorted(), nil
}

// mods are the revisions of the keys alive at a moment.
func mods(ctx context.Context, a *backup.Archive, plan backup.Plan, keys Keys) (map[hash]router.Revision, error) {
	alive := make(map[hash]router.Revision)
	_, err := changes(ctx, a, plan, keys, func(v *router.Version) {
		if v.Tombstone {
			delete(alive, hashOf(v.KV.Key))
		} else {
			alive[hashOf(v.KV.Key)] = v.Main
		}
	})
	return alive, err
}
