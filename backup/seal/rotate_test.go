package seal_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tierd/tierd/backup/seal"
	"github.com/tierd/tierd/test/objectstore"
	"github.com/tierd/tierd/tiers/object"
)

// keyObjects are the names of the wrapping keys, without their folder.
func keyObjects(t testing.TB, store object.Store) []string {
	t.Helper()
	var names []string
	for info, err := range store.List(t.Context(), "ks/keys/", "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name[len("ks/keys/"):])
	}
	return names
}

func rotate(t testing.TB, store object.Store, from, to seal.Master) int {
	t.Helper()
	n, err := seal.Rotate(t.Context(), store, from, to, "ks", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRotate(t *testing.T) {
	t.Parallel()
	store, first, second := newStore(t), newMaster(t), newMaster(t)
	if _, err := seal.Rotate(t.Context(), store, first, second, "ks", rand.Reader); !errors.Is(err, seal.ErrKey) {
		t.Fatalf("without keys: got %v", err)
	}
	before := newKeyring(t, store, first)
	object := sealed(t, before, "ks/log/1", []byte("old"))
	if n := rotate(t, store, first, second); n != 1 {
		t.Fatalf("%d keys were brought", n)
	}
	if got := keyObjects(t, store); !slices.Equal(got, []string{"0000000000000001.000002", "0000000000000002.000001"}) {
		t.Fatalf("keys: %v", got)
	}
	// A second call finds nothing to do.
	if n := rotate(t, store, first, second); n != 0 || len(keyObjects(t, store)) != 2 {
		t.Fatalf("again: %d keys were brought, there are %v", n, keyObjects(t, store))
	}
	after := newKeyring(t, store, second)
	for name, keyring := range map[string]*seal.Keyring{"before": before, "after": after} {
		if got, err := opened(keyring, "ks/log/1", bytes.NewReader(object)); err != nil || string(got) != "old" {
			t.Errorf("the keyring opened %s: got %q, %v", name, got, err)
		}
	}
	newer := sealed(t, after, "ks/log/2", []byte("new"))
	if _, err := opened(before, "ks/log/2", bytes.NewReader(newer)); !errors.Is(err, seal.ErrKey) {
		t.Errorf("with the keys of before: got %v", err)
	}
	if _, err := seal.OpenKeyring(t.Context(), store, first, "ks", rand.Reader, true); !errors.Is(err, seal.ErrKey) {
		t.Errorf("with the former master key: got %v", err)
	}
	if _, err := seal.Rotate(t.Context(), store, first, newMaster(t), "ks", rand.Reader); !errors.Is(err, seal.ErrKey) || len(keyObjects(t, store)) != 2 {
		t.Errorf("from a wrong master key: got %v, keys %v", err, keyObjects(t, store))
	}
	// There and back: a key that was brought here before is no new one.
	rotate(t, store, second, first)
	if n := rotate(t, store, first, second); n != 3 || len(keyObjects(t, store)) != 4 {
		t.Errorf("there and back: %d, %v", n, keyObjects(t, store))
	}
}

// With the same master key, only a wrapping key is added, which a keyring learns of.
func TestRotateToTheSame(t *testing.T) {
	t.Parallel()
	store, master := newStore(t), newMaster(t)
	before := newKeyring(t, store, master)
	if n := rotate(t, store, master, master); n != 0 {
		t.Fatalf("%d keys were brought", n)
	}
	object := sealed(t, newKeyring(t, store, master), "ks/log/1", []byte("new"))
	if _, err := opened(before, "ks/log/1", bytes.NewReader(object)); !errors.Is(err, seal.ErrKey) {
		t.Fatalf("before it is told: got %v", err)
	}
	if err := before.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := opened(before, "ks/log/1", bytes.NewReader(object)); err != nil || string(got) != "new" {
		t.Fatalf("got %q, %v", got, err)
	}
}

// TestRotateUnderFaults: a rotation that fails anywhere, in any way, loses nothing, and is
// completed by calling it again.
func TestRotateUnderFaults(t *testing.T) {
	t.Parallel()
	master := newMaster(t)
	for seed := range uint64(60) {
		store, next := newStore(t), newMaster(t)
		var objects [][]byte
		for i := range 3 {
			keyring := newKeyring(t, store, master)
			objects = append(objects, sealed(t, keyring, fmt.Sprintf("ks/log/%d", i), []byte("content")))
			rotate(t, store, master, master)
		}
		faults := &objectstore.Faults{Delay: time.Microsecond}
		faults.Set(objectstore.Random(seed, 0.25, objectstore.All()...))
		struck := faults.Wrap(store)
		const calls = 200
		err := errors.New("never called")
		for range calls {
			if _, err = seal.Rotate(t.Context(), struck, master, next, "ks", rand.Reader); err == nil {
				break
			}
			if errors.Is(err, seal.ErrKey) || errors.Is(err, seal.ErrAltered) {
				t.Fatalf("seed %d, %s: %v", seed, faults, err)
			}
		}
		if err != nil {
			t.Fatalf("seed %d, %s: %v", seed, faults, err)
		}
		keyring, err := seal.OpenKeyring(t.Context(), store, next, "ks", rand.Reader, false)
		if err != nil {
			t.Fatalf("seed %d, %s: %v", seed, faults, err)
		}
		for i, object := range objects {
			if _, err := opened(keyring, fmt.Sprintf("ks/log/%d", i), bytes.NewReader(object)); err != nil {
				t.Errorf("seed %d, %s: %v", seed, faults, err)
			}
		}
		if got := keyObjects(t, store); len(got) != 5 {
			t.Errorf("seed %d, %s: keys %v", seed, faults, got)
		}
	}
}
