package object_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"github.com/tierd/tierd/test/objectstore"
	"github.com/tierd/tierd/tiers/object"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// partBytes is where an S3 store begins to send an object in parts.
const partBytes = 8 << 20

func openFiles(t testing.TB) object.Store {
	t.Helper()
	store, err := object.Open(t.Context(), object.Location{Kind: object.KindFile, Dir: filepath.Join(t.TempDir(), "a", "b")}, object.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// onStores runs a test on each kind of store.
func onStores(t *testing.T, test func(t *testing.T, store object.Store)) {
	t.Helper()
	t.Parallel()
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		test(t, openFiles(t))
	})
	t.Run("s3", func(t *testing.T) {
		t.Parallel()
		test(t, objectstore.Open(t, objectstore.Start(t).Location("some/prefix")))
	})
}

func create(t testing.TB, store object.Store, name string, content []byte) {
	t.Helper()
	if err := store.Create(t.Context(), name, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, store object.Store, name string, from int64) []byte {
	t.Helper()
	body, err := store.Open(t.Context(), name, from)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func names(t testing.TB, list iter.Seq2[object.Info, error]) []string {
	t.Helper()
	found := []string{}
	for info, err := range list {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, info.Name)
	}
	return found
}

func TestCreateNeverOverwrites(t *testing.T) {
	onStores(t, func(t *testing.T, store object.Store) {
		create(t, store, "a/b/c", []byte("first"))
		err := store.Create(t.Context(), "a/b/c", strings.NewReader("second"))
		if !errors.Is(err, object.ErrExists) || !strings.Contains(err.Error(), "a/b/c") {
			t.Fatalf("got %v", err)
		}
		if err := store.Create(t.Context(), "a/b/c", bytes.NewReader(make([]byte, partBytes+1))); !errors.Is(err, object.ErrExists) {
			t.Fatalf("a large one: got %v", err)
		}
		if got := read(t, store, "a/b/c", 0); string(got) != "first" {
			t.Fatalf("got %q", got)
		}
		for range 2 {
			if err := store.Replace(t.Context(), "a/b/c", []byte("third")); err != nil {
				t.Fatal(err)
			}
		}
		if got := read(t, store, "a/b/c", 0); string(got) != "third" {
			t.Fatalf("got %q", got)
		}
	})
}

// Of many that create a name at once, exactly one does, and its content is there.
func TestOneOfManyCreates(t *testing.T) {
	onStores(t, func(t *testing.T, store object.Store) {
		for round := range 5 {
			name := fmt.Sprintf("race/%d", round)
			var won atomic.Int32
			var winner atomic.Value
			var wait sync.WaitGroup
			for i := range 8 {
				wait.Go(func() {
					content := strings.Repeat(fmt.Sprint(i), 10_000)
					switch err := store.Create(t.Context(), name, strings.NewReader(content)); {
					case err == nil:
						won.Add(1)
						winner.Store(content)
					case !errors.Is(err, object.ErrExists):
						t.Errorf("got %v", err)
					}
				})
			}
			wait.Wait()
			if won.Load() != 1 || string(read(t, store, name, 0)) != winner.Load() {
				t.Fatalf("%d created it", won.Load())
			}
		}
	})
}

func TestSizesAndOffsets(t *testing.T) {
	onStores(t, func(t *testing.T, store object.Store) {
		for _, size := range []int64{0, 1, partBytes - 1, partBytes, partBytes + 1, 2*partBytes + 5} {
			content := make([]byte, size)
			for i := range content {
				content[i] = byte(i * 7 / 3)
			}
			name := fmt.Sprintf("size/%d", size)
			if err := store.Create(t.Context(), name, iotest.HalfReader(bytes.NewReader(content))); err != nil {
				t.Fatal(err)
			}
			for _, from := range []int64{0, 1, size / 2, size - 1, size, size + 3} {
				if from < 0 {
					continue
				}
				if got := read(t, store, name, from); !bytes.Equal(got, content[min(from, size):]) {
					t.Errorf("%d bytes from %d: got %d", size, from, len(got))
				}
			}
		}
		for info, err := range store.List(t.Context(), "size/", "") {
			if err != nil || fmt.Sprintf("size/%d", info.Size) != info.Name || info.Modified.IsZero() {
				t.Errorf("listed %+v, %v", info, err)
			}
		}
	})
}

func TestList(t *testing.T) {
	onStores(t, func(t *testing.T, store object.Store) {
		all := []string{"a-b", "a.b", "a/x", "a/y-1", "a/y/z", "a0", "b/c/d/e", "c"}
		for _, name := range []string{"c", "a/y/z", "a0", "a.b", "b/c/d/e", "a/x", "a-b", "a/y-1"} {
			create(t, store, name, []byte(name))
		}
		for _, c := range []struct {
			prefix, after string
			want          []string
		}{
			{"", "", all}, {"", "a/x", all[3:]}, {"", "a/", all[2:]}, {"", "a/y-1", all[4:]}, {"", "c", nil}, {"", "a/y/", all[4:]},
			{"a", "", all[:6]}, {"a/", "", all[2:5]}, {"a/y", "", all[3:5]}, {"a/y", "a/y-1", all[4:5]},
			{"b/c/d/", "", all[6:7]}, {"b/c/d/e", "", all[6:7]}, {"b/x", "", nil}, {"a/", "b", nil}, {"b/", "a", all[6:7]},
		} {
			if got := names(t, store.List(t.Context(), c.prefix, c.after)); !slices.Equal(got, c.want) {
				t.Errorf("prefix %q after %q: got %v, want %v", c.prefix, c.after, got, c.want)
			}
		}
		for range store.List(t.Context(), "", "") {
			break
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, err := range store.List(ctx, "", "") {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: got %v", err)
			}
		}
	})
}

func TestRemove(t *testing.T) {
	onStores(t, func(t *testing.T, store object.Store) {
		var all []string
		for i := range 30 {
			all = append(all, fmt.Sprintf("dir/%02d", i))
			create(t, store, all[i], nil)
		}
		if err := store.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := store.Remove(t.Context(), all[0]); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.Remove(t.Context(), append([]string{"none", "dir/none"}, all[:20]...)...); err != nil {
			t.Fatal(err)
		}
		if got := names(t, store.List(t.Context(), "", "")); !slices.Equal(got, all[20:]) {
			t.Fatalf("left: %v", got)
		}
		create(t, store, all[0], []byte("again"))
	})
}

func TestRefusals(t *testing.T) {
	onStores(t, func(t *testing.T, store object.Store) {
		for _, name := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", ".hidden", "a/.b", "a b", "ä", strings.Repeat("x", 600)} {
			if err := store.Create(t.Context(), name, strings.NewReader("")); err == nil {
				t.Errorf("%q: created", name)
			}
			if _, err := store.Open(t.Context(), name, 0); err == nil {
				t.Errorf("%q: opened", name)
			}
			if err := store.Remove(t.Context(), name); err == nil {
				t.Errorf("%q: removed", name)
			}
		}
		create(t, store, "a/b", nil)
		for _, name := range []string{"none", "a", "a/none", "x/y/z"} {
			if _, err := store.Open(t.Context(), name, 0); !errors.Is(err, object.ErrNotFound) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		broken := errors.New("broken")
		for _, size := range []int{10, partBytes + 10, 2*partBytes + 10} {
			body := io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(broken))
			if err := store.Create(t.Context(), "broken", body); !errors.Is(err, broken) || errors.Is(err, object.ErrUnknown) {
				t.Errorf("%d bytes: got %v", size, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := store.Create(ctx, "cancelled", strings.NewReader("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: got %v", err)
		}
		if got := names(t, store.List(t.Context(), "", "")); !slices.Equal(got, []string{"a/b"}) {
			t.Fatalf("there is %v", got)
		}
	})
}

func TestProbe(t *testing.T) {
	onStores(t, func(t *testing.T, store object.Store) {
		if err := object.Probe(t.Context(), store, "ks/", rand.Reader); err != nil {
			t.Fatal(err)
		}
		if got := names(t, store.List(t.Context(), "", "")); len(got) > 0 {
			t.Fatalf("left: %v", got)
		}
	})
}

// pretender does one thing wrong.
type pretender struct {
	object.Store
	overwrites, forgets, listsNone, keeps bool
}

func (p pretender) Create(ctx context.Context, name string, body io.Reader) error {
	content, err := io.ReadAll(body)
	switch {
	case err != nil:
		return err
	case p.overwrites:
		return p.Replace(ctx, name, content)
	}
	err = p.Store.Create(ctx, name, bytes.NewReader(content))
	if p.forgets && errors.Is(err, object.ErrExists) {
		return errors.Join(err, p.Replace(ctx, name, content))
	}
	return err
}

func (p pretender) List(ctx context.Context, prefix, after string) iter.Seq2[object.Info, error] {
	if p.listsNone {
		return func(func(object.Info, error) bool) {}
	}
	return p.Store.List(ctx, prefix, after)
}

func (p pretender) Remove(ctx context.Context, names ...string) error {
	if p.keeps {
		return nil
	}
	return p.Store.Remove(ctx, names...)
}

func TestProbeFindsPretenders(t *testing.T) {
	t.Parallel()
	for want, store := range map[string]pretender{
		"If-None-Match":     {overwrites: true},
		"other bytes":       {forgets: true},
		"does not list":     {listsNone: true},
		"which was removed": {keeps: true},
	} {
		store.Store = openFiles(t)
		err := object.Probe(t.Context(), store, "", rand.Reader)
		if !errors.Is(err, object.ErrUnfit) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want something about %q", err, want)
		}
	}
}

// A probe works through faults that pass, and never takes them for a store that pretends.
func TestProbeThroughFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		faults := &objectstore.Faults{Delay: time.Millisecond}
		faults.Set(objectstore.Random(seed, 0.3, objectstore.All()...))
		if err := object.Probe(t.Context(), faults.Wrap(openFiles(t)), "", rand.Reader); errors.Is(err, object.ErrUnfit) {
			t.Fatalf("seed %d, %s: got %v", seed, faults, err)
		}
	}
}

// Reading changes nothing: not where there is nothing, nor where it is not allowed.
func TestReadingFilesChangesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "none")
	store, err := object.Open(t.Context(), object.Location{Kind: object.KindFile, Dir: dir}, object.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, store.List(t.Context(), "", "")); len(got) > 0 {
		t.Errorf("listed %v", got)
	}
	if _, err := store.Open(t.Context(), "a", 0); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("open: got %v", err)
	}
	if err := store.Remove(t.Context(), "a"); err != nil {
		t.Errorf("remove: got %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

func TestFilesLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	location := object.Location{Kind: object.KindFile, Dir: dir}
	now := time.Now()
	options := object.Options{Now: func() time.Time { return now }}
	store, err := object.Open(t.Context(), location, options)
	if err != nil {
		t.Fatal(err)
	}
	create(t, store, "a/b", []byte("x"))
	_ = store.Create(t.Context(), "a/b", strings.NewReader("y"))
	unfinished := filepath.Join(dir, ".unfinished")
	if entries, err := os.ReadDir(unfinished); err != nil || len(entries) > 0 {
		t.Fatalf("left: %v, %v", entries, err)
	}
	for _, c := range []struct {
		path string
		want os.FileMode
	}{{"a", 0o700}, {"a/b", 0o600}, {".unfinished", 0o700}} {
		if info, err := os.Stat(filepath.Join(dir, c.path)); err != nil || info.Mode().Perm() != c.want {
			t.Errorf("%s: got %v, %v", c.path, info.Mode(), err)
		}
	}
	for _, name := range []string{"old", "new"} {
		if err := os.WriteFile(filepath.Join(unfinished, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(unfinished, "old"), now, now.Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := object.Open(t.Context(), location, options); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(unfinished); err != nil || len(entries) != 1 || entries[0].Name() != "new" {
		t.Fatalf("left: %v, %v", entries, err)
	}
}
