package objectstore_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/tierd/tierd/test/objectstore"
	"github.com/tierd/tierd/tiers/object"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestBuild has the server built, which `make objectstore` does outside other tests' bounds.
func TestBuild(t *testing.T) {
	t.Parallel()
	if info, err := os.Stat(objectstore.Build(t)); err != nil || info.Mode()&0o100 == 0 {
		t.Fatalf("got %v, %v", info, err)
	}
}

func TestServerKeepsObjectsOverARestart(t *testing.T) {
	t.Parallel()
	server := objectstore.Start(t)
	store := objectstore.Open(t, server.Location("p"))
	if err := store.Create(t.Context(), "a", bytes.NewReader([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	server.Process.Kill()
	if _, err := store.Open(t.Context(), "a", 0); !errors.Is(err, object.ErrUnavailable) {
		t.Fatalf("without a server: got %v", err)
	}
	if err := store.Create(t.Context(), "b", bytes.NewReader(nil)); !errors.Is(err, object.ErrUnavailable) || errors.Is(err, object.ErrUnknown) {
		t.Fatalf("without a server: got %v", err)
	}
	server.Restart(t)
	body, err := store.Open(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || string(got) != "x" {
		t.Fatalf("got %q, %v", got, err)
	}
}

// TestWrap: each fault of a wrapped store is done, or not, and reported, as it says.
func TestWrap(t *testing.T) {
	t.Parallel()
	for fault, want := range map[objectstore.Fault]struct {
		done bool
		err  error
	}{
		objectstore.None: {done: true}, objectstore.Slow: {done: true},
		objectstore.Lost:       {err: object.ErrUnknown},
		objectstore.Unanswered: {done: true, err: object.ErrUnknown}, objectstore.DoneButFailed: {done: true, err: object.ErrUnknown},
		objectstore.Failed: {err: object.ErrUnavailable}, objectstore.Busy: {err: object.ErrUnavailable},
		objectstore.Denied: {err: object.ErrDenied}, objectstore.Truncated: {err: object.ErrUnknown},
	} {
		store, err := object.Open(t.Context(), object.Location{Kind: object.KindFile, Dir: t.TempDir()}, object.Options{})
		if err != nil {
			t.Fatal(err)
		}
		faults := &objectstore.Faults{}
		faults.Set(objectstore.Sequence(fault))
		err = faults.Wrap(store).Create(t.Context(), "a", bytes.NewReader([]byte("x")))
		if !errors.Is(err, want.err) {
			t.Errorf("%s: got %v", fault, err)
		}
		if _, err := store.Open(t.Context(), "a", 0); (err == nil) != want.done {
			t.Errorf("%s: the object: %v", fault, err)
		}
		if faults.Count(fault) != 1 || faults.Calls() != 1 {
			t.Errorf("%s: counted %s", fault, faults)
		}
	}
}
