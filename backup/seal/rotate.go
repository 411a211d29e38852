package seal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/tierd/tierd/tiers/object"
)

// Rotate brings the wrapping keys of a keyspace from one master key to another, and adds a
// new wrapping key, for what is written from now on. No other object is touched, and all stay readable:
// by keyrings that were opened before for as long as these live (but for objects of the
// new key), and by those of the new master key. n is how many keys were encrypted anew. It may be cut
// short anywhere and called again; until it is done, either master key opens some of the keys.
// With old for new, it only adds a wrapping key.
//
// What was ever read with the old master key stays readable to whoever has it and copied the
// keys then: rotation takes away nothing that somebody already has.
func Rotate(ctx context.Context, store object.Store, old, new Master, keyspace string, random io.Reader) (n int, err error) {
	r := &rotation{
		from: &Keyring{store: store, master: old, keyspace: keyspace, random: random},
		to:   &Keyring{store: store, master: new, keyspace: keyspace, random: random},
	}
	stored, err := r.to.list(ctx)
	if err == nil && len(stored) == 0 {
		err = errNoKeys
	}
	if err == nil {
		err = r.add(ctx, stored)
	}
	for _, id := range slices.Sorted(maps.Keys(stored)) {
		if err == nil {
			err = r.bring(ctx, id, stored[id])
		}
	}
	if err != nil {
		return r.done, fmt.Errorf("rotate the keys of %s: %w", keyspace, err)
	}
	return r.done, nil
}

// rotation is one call of Rotate.
type rotation struct {
	from, to *Keyring
	done     int
}

// add makes a new wrapping key, unless a call that was cut short did: then the newest is
// of the new master key from its beginning.
func (r *rotation) add(ctx context.Context, stored map[KeyID][]int) error {
	newest := slices.Max(slices.Collect(maps.Keys(stored)))
	generations := stored[newest]
	if !sameMaster(r.from.master.ID(), r.to.master.ID()) && generations[len(generations)-1] == 1 {
		switch _, _, err := r.to.read(ctx, keyName{newest, 1}); {
		case err == nil:
			return nil
		case !errors.Is(err, ErrKey):
			return err
		}
	}
	// Before the new one is made, the old ones have to be readable: a wrong old master key
	// must change nothing.
	if err := r.readable(ctx, keyName{newest, generations[len(generations)-1]}); err != nil {
		return err
	}
	err := r.to.make(ctx, newest+1)
	if errors.Is(err, object.ErrExists) {
		// This call's own, whose reply was lost, or that of another one at the same time.
		_, _, err = r.to.read(ctx, keyName{newest + 1, 1})
	}
	return err
}

// readable tells why neither master key decrypts a wrapping key.
func (r *rotation) readable(ctx context.Context, name keyName) error {
	_, _, err := r.from.read(ctx, name)
	if errors.Is(err, ErrKey) {
		if _, _, again := r.to.read(ctx, name); again == nil {
			return nil
		}
	}
	return err
}

// bring encrypts one key anew and then removes its former generations.
func (r *rotation) bring(ctx context.Context, id KeyID, generations []int) error {
	last := keyName{id, generations[len(generations)-1]}
	former := generations[:len(generations)-1]
	switch _, _, err := r.to.read(ctx, last); {
	case err == nil:
		return r.forget(ctx, id, former)
	case !errors.Is(err, ErrKey):
		return err
	}
	key, _, err := r.from.read(ctx, last)
	if err != nil {
		return err
	}
	next := keyName{id, last.generation + 1}
	if next.generation > generationMax {
		return fmt.Errorf("the key %s was encrypted anew %d times, as often as can be", id, last.generation)
	}
	err = r.to.write(ctx, next, key)
	if errors.Is(err, object.ErrExists) {
		_, _, err = r.to.read(ctx, next)
	}
	if err != nil {
		return err
	}
	r.done++
	return r.forget(ctx, id, generations)
}

func (r *rotation) forget(ctx context.Context, id KeyID, generations []int) error {
	if len(generations) == 0 {
		return nil
	}
	names := make([]string, 0, len(generations))
	for _, generation := range generations {
		names = append(names, r.to.object(keyName{id, generation}))
	}
	return r.to.store.Remove(ctx, names...)
}
