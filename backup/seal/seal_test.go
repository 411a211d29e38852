package seal_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"github.com/tierd/tierd/backup/seal"
	"github.com/tierd/tierd/tiers/object"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newStore(t testing.TB) object.Store {
	t.Helper()
	store, err := object.Open(t.Context(), object.Location{Kind: object.KindFile, Dir: t.TempDir()}, object.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func newMaster(t testing.TB) seal.Master {
	t.Helper()
	master, err := seal.OpenKeyFile(filepath.Join(t.TempDir(), "master.key"), true, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return master
}

func newKeyring(t testing.TB, store object.Store, master seal.Master) *seal.Keyring {
	t.Helper()
	keyring, err := seal.OpenKeyring(t.Context(), store, master, "ks", rand.Reader, true)
	if err != nil {
		t.Fatal(err)
	}
	return keyring
}

// sealed is what Seal makes of a content.
func sealed(t testing.TB, keyring *seal.Keyring, name string, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := keyring.Seal(name, &out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// opened reads what Open makes of an object.
func opened(keyring *seal.Keyring, name string, r io.Reader) ([]byte, error) {
	plain, err := keyring.Open(name, r)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(plain)
}

// noise does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = mathrand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	keyring := newKeyring(t, newStore(t), newMaster(t))
	for _, content := range [][]byte{
		{}, []byte("x"), bytes.Repeat([]byte("a line\n"), 100_000), noise(1<<20 - 200), noise(3<<20 + 7),
	} {
		object := sealed(t, keyring, "ks/log/1", content)
		got, err := opened(keyring, "ks/log/1", iotest.HalfReader(bytes.NewReader(object)))
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%d bytes: got %d, %v", len(content), len(got), err)
		}
	}
}

func TestContentIsCompressedAndHidden(t *testing.T) {
	t.Parallel()
	keyring := newKeyring(t, newStore(t), newMaster(t))
	content := bytes.Repeat([]byte("/registry/secrets/default/password"), 30_000)
	object := sealed(t, keyring, "ks/log/1", content)
	if bytes.Contains(object, []byte("registry")) || len(object) > len(content)/50 {
		t.Fatalf("%d bytes became %d", len(content), len(object))
	}
	if again := sealed(t, keyring, "ks/log/1", content); bytes.Equal(again, object) {
		t.Fatal("two objects are equal")
	}
}

// keyField is where the id of the wrapping key lies: with another one, the key is not found.
const keyFieldFrom, keyFieldTo = 9, 17

func TestAlteredBytesAreFound(t *testing.T) {
	t.Parallel()
	keyring := newKeyring(t, newStore(t), newMaster(t))
	object := sealed(t, keyring, "ks/log/1", []byte("a content of some length"))
	for at := range object {
		altered := bytes.Clone(object)
		altered[at] ^= 0x20
		want := seal.ErrAltered
		if at >= keyFieldFrom && at < keyFieldTo {
			want = seal.ErrKey
		}
		_, err := opened(keyring, "ks/log/1", bytes.NewReader(altered))
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "ks/log/1") {
			t.Errorf("byte %d: got %v, want %v with the name", at, err, want)
		}
	}
}

// The ends that deserve a look: around the borders of the stream's segments, where what is
// left looks most like a whole object.
func TestTruncationIsFound(t *testing.T) {
	t.Parallel()
	keyring := newKeyring(t, newStore(t), newMaster(t))
	object := sealed(t, keyring, "ks/log/1", noise(3<<20))
	const head, segment = 8 + 1 + 8 + 2 + 60, 1 << 20
	ends := []int{len(object) - 1, len(object) - 16, len(object) - 17}
	for end := range 400 {
		ends = append(ends, end)
	}
	for border := head + segment; border < len(object); border += segment {
		for end := border - 20; end <= border+20; end++ {
			ends = append(ends, end)
		}
	}
	for _, end := range ends {
		if _, err := opened(keyring, "ks/log/1", bytes.NewReader(object[:end])); !errors.Is(err, seal.ErrAltered) {
			t.Errorf("the first %d bytes of %d: got %v", end, len(object), err)
		}
	}
	if _, err := opened(keyring, "ks/log/1", bytes.NewReader(append(bytes.Clone(object), 'x'))); !errors.Is(err, seal.ErrAltered) {
		t.Errorf("a byte more: got %v", err)
	}
}

// Every shorter form of a small object, whose content is a prefix of compressed bytes or nothing.
func TestTruncationOfSmallObjects(t *testing.T) {
	t.Parallel()
	keyring := newKeyring(t, newStore(t), newMaster(t))
	for _, content := range []string{"", "x", "some words"} {
		object := sealed(t, keyring, "ks/log/1", []byte(content))
		for end := range object {
			if got, err := opened(keyring, "ks/log/1", bytes.NewReader(object[:end])); !errors.Is(err, seal.ErrAltered) {
				t.Errorf("%q, the first %d bytes of %d: got %q, %v", content, end, len(object), got, err)
			}
		}
	}
}

func TestSwappedObjectsAreFound(t *testing.T) {
	t.Parallel()
	store, master := newStore(t), newMaster(t)
	keyring := newKeyring(t, store, master)
	object := sealed(t, keyring, "ks/log/1", []byte("content"))
	if _, err := opened(keyring, "ks/log/2", bytes.NewReader(object)); !errors.Is(err, seal.ErrAltered) {
		t.Errorf("under another name: got %v", err)
	}
	other, err := seal.OpenKeyring(t.Context(), store, master, "other", rand.Reader, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opened(other, "ks/log/1", bytes.NewReader(object)); !errors.Is(err, seal.ErrAltered) {
		t.Errorf("in another keyspace: got %v", err)
	}
	if _, err := opened(newKeyring(t, newStore(t), newMaster(t)), "ks/log/1", bytes.NewReader(object)); !errors.Is(err, seal.ErrAltered) {
		t.Errorf("with other keys: got %v", err)
	}
}

// What the source fails with is not taken for an altered object.
func TestErrorsOfTheSource(t *testing.T) {
	t.Parallel()
	keyring := newKeyring(t, newStore(t), newMaster(t))
	object := sealed(t, keyring, "ks/log/1", noise(2<<20))
	for _, cause := range []error{errors.New("broken"), fmt.Errorf("short: %w", io.ErrUnexpectedEOF), io.ErrUnexpectedEOF} {
		for _, at := range []int{0, 5, 60, 100, 1 << 20, len(object) - 1} {
			r := io.MultiReader(bytes.NewReader(object[:at]), iotest.ErrReader(cause))
			if _, err := opened(keyring, "ks/log/1", r); !errors.Is(err, cause) || errors.Is(err, seal.ErrAltered) {
				t.Errorf("%v at %d: got %v", cause, at, err)
			}
		}
	}
}

func TestCreateAndGet(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	keyring := newKeyring(t, store, newMaster(t))
	content := noise(3 << 20)
	write := func(w io.Writer) error { _, err := w.Write(content); return err }
	if err := keyring.Create(t.Context(), "ks/log/1", write); err != nil {
		t.Fatal(err)
	}
	if err := keyring.Create(t.Context(), "ks/log/1", write); !errors.Is(err, object.ErrExists) {
		t.Fatalf("again: got %v", err)
	}
	body, err := keyring.Get(t.Context(), "ks/log/1")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	broken := errors.New("broken")
	err = keyring.Create(t.Context(), "ks/log/2", func(w io.Writer) error { return errors.Join(write(w), broken) })
	if _, gone := store.Open(t.Context(), "ks/log/2", 0); !errors.Is(err, broken) || !errors.Is(gone, object.ErrNotFound) {
		t.Fatalf("after a failure to write: got %v, %v", err, gone)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	keyring := newKeyring(t, newStore(t), newMaster(t))
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 10 {
				name, content := fmt.Sprintf("ks/log/%d-%d", i, j), noise(100_000+i)
				got, err := opened(keyring, name, bytes.NewReader(sealed(t, keyring, name, content)))
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s: got %d bytes, %v", name, len(got), err)
				}
			}
		})
	}
	wait.Wait()
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys", "master.key")
	if _, err := seal.OpenKeyFile(path, false, rand.Reader); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("without a file: got %v", err)
	}
	ids := make([]string, 8)
	var wait sync.WaitGroup
	for i := range ids {
		wait.Go(func() {
			master, err := seal.OpenKeyFile(path, true, rand.Reader)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = master.ID()
		})
	}
	wait.Wait()
	for _, id := range ids {
		if id != ids[0] || !strings.HasPrefix(id, "file:") {
			t.Fatalf("processes that begin at once have different keys: %v", ids)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("got %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Fatalf("the folder holds %v, %v", entries, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.OpenKeyFile(path, true, rand.Reader); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Fatalf("readable by the group: got %v", err)
	}
}

func TestBadKeyFiles(t *testing.T) {
	t.Parallel()
	key := "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	for text, good := range map[string]bool{
		key: true, "# a comment\n\n" + key + "\n": true,
		"": false, "# " + key: false, key + "\n" + key: false, key[:20]: false, "secret words": false, strings.Repeat("#\n", 5000) + key: false,
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := seal.OpenKeyFile(path, true, rand.Reader)
		if (err == nil) != good {
			t.Errorf("%.40q: got %v", text, err)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), key[:20])) {
			t.Errorf("the error repeats the file: %v", err)
		}
	}
}

func TestKeyrings(t *testing.T) {
	t.Parallel()
	store, master := newStore(t), newMaster(t)
	if _, err := seal.OpenKeyring(t.Context(), store, master, "ks", rand.Reader, false); !errors.Is(err, seal.ErrKey) {
		t.Fatalf("without keys: got %v", err)
	}
	// Those that find none at the same time agree on one.
	keyrings := make([]*seal.Keyring, 8)
	var wait sync.WaitGroup
	for i := range keyrings {
		wait.Go(func() {
			keyring, err := seal.OpenKeyring(context.Background(), store, master, "ks", rand.Reader, true)
			if err != nil {
				t.Error(err)
			}
			keyrings[i] = keyring
		})
	}
	wait.Wait()
	if t.Failed() {
		return
	}
	for _, keyring := range keyrings {
		if _, err := opened(keyrings[0], "ks/log/1", bytes.NewReader(sealed(t, keyring, "ks/log/1", nil))); err != nil {
			t.Fatal(err)
		}
	}
	other := newMaster(t)
	_, err := seal.OpenKeyring(t.Context(), store, other, "ks", rand.Reader, true)
	if !errors.Is(err, seal.ErrKey) || !strings.Contains(err.Error(), master.ID()) || !strings.Contains(err.Error(), other.ID()) {
		t.Fatalf("with another master key: got %v", err)
	}
}

func TestAlteredWrappingKey(t *testing.T) {
	t.Parallel()
	store, master := newStore(t), newMaster(t)
	newKeyring(t, store, master)
	const name = "ks/keys/0000000000000001.000001"
	body, err := store.Open(t.Context(), name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	whole, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		altered := bytes.Clone(whole)
		altered[at] ^= 1
		if err := store.Replace(t.Context(), name, altered); err != nil {
			t.Fatal(err)
		}
		_, err := seal.OpenKeyring(t.Context(), store, master, "ks", rand.Reader, true)
		if !errors.Is(err, seal.ErrAltered) && !errors.Is(err, seal.ErrKey) || !strings.Contains(err.Error(), name) {
			t.Errorf("byte %d: got %v", at, err)
		}
	}
}
