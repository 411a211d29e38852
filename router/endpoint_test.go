package router_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tierd/tierd/router"
)

// An endpoint is forgotten when it was drained and nothing is left there, not even history; the keys stay.
func TestRemoveEndpoint(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	other, _ := startRedis(t)
	k := openFleet(t, server, 1, nil)
	put(t, k, "key", "1")
	id, err := k.AddEndpoint(t.Context(), other.URL())
	if err != nil {
		t.Fatal(err)
	}
	refused := func(when string, endpoint int) {
		t.Helper()
		if err := k.RemoveEndpoint(t.Context(), endpoint); !errors.Is(err, router.ErrMap) {
			t.Errorf("remove endpoint %d %s: %v", endpoint, when, err)
		}
	}
	refused("that is not known", id+1)
	refused("that is home", 0)
	refused("that may be used", id)
	move := func(endpoint int) {
		t.Helper()
		if err := k.Move(t.Context(), nil, nil, endpoint, nil); err != nil {
			t.Fatal(err)
		}
	}
	move(id)
	last := put(t, k, "key", "2")
	if err := k.SetDraining(t.Context(), id, true); err != nil {
		t.Fatal(err)
	}
	refused("that has all keys", id)
	move(0)
	refused("that has history", id)
	last = max(last, put(t, k, "key", "3"))
	if _, err := k.Compact(t.Context(), last, true); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := k.RemoveEndpoint(t.Context(), id)
		if err == nil {
			break
		}
		if !errors.Is(err, router.ErrMap) || time.Now().After(deadline) {
			t.Fatalf("remove what is empty: %v", err)
		}
	}
	topology, err := k.Topology(t.Context())
	if err != nil || len(topology.Endpoints) != 1 {
		t.Errorf("endpoints %+v, %v", topology.Endpoints, err)
	}
	if err := other.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got := get(t, k, "key", "", 0); len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "3" {
		t.Errorf("the key is %v", got)
	}
	put(t, k, "key", "4")
}

// A move that looked at its endpoint before that was removed does not go there.
func TestRemoveEndpointBeneathAMove(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	other, _ := startRedis(t)
	remover := openFleet(t, server, 1, nil)
	var id atomic.Int64
	removed := errors.New("not removed")
	mover := openFleet(t, server, 2, func(step string) {
		if step == "move-look" {
			removed = errors.Join(remover.SetDraining(t.Context(), int(id.Load()), true), remover.RemoveEndpoint(t.Context(), int(id.Load())))
		}
	})
	put(t, mover, "key", "1")
	added, err := mover.AddEndpoint(t.Context(), other.URL())
	if err != nil {
		t.Fatal(err)
	}
	id.Store(int64(added))
	if err := mover.Move(t.Context(), nil, nil, added, nil); !errors.Is(err, router.ErrMap) {
		t.Errorf("a move to what was removed: %v", err)
	}
	if removed != nil {
		t.Error(removed)
	}
	topology, err := remover.Topology(t.Context())
	if err != nil || len(topology.Endpoints) != 1 || topology.Move != nil || len(topology.Shards) != 1 {
		t.Errorf("afterwards %+v, %v", topology, err)
	}
	put(t, remover, "key", "2")
}

// An endpoint is not removed while a move goes there.
func TestRemoveEndpointDuringAMove(t *testing.T) {
	t.Parallel()
	server, _ := startRedis(t)
	other, _ := startRedis(t)
	remover := openFleet(t, server, 1, nil)
	var id atomic.Int64
	var refusal error
	mover := openFleet(t, server, 2, func(step string) {
		if step == "move-begin" {
			if err := remover.SetDraining(t.Context(), int(id.Load()), true); err != nil {
				t.Error(err)
			}
			refusal = remover.RemoveEndpoint(t.Context(), int(id.Load()))
		}
	})
	put(t, mover, "key", "1")
	added, err := mover.AddEndpoint(t.Context(), other.URL())
	if err != nil {
		t.Fatal(err)
	}
	id.Store(int64(added))
	if err := mover.Move(t.Context(), nil, nil, added, nil); err != nil {
		t.Error(err)
	}
	if !errors.Is(refusal, router.ErrBusy) {
		t.Errorf("removed during a move: %v", refusal)
	}
	if got := get(t, remover, "key", "", 0); len(got.Kvs) != 1 {
		t.Errorf("the key is %v", got)
	}
}
