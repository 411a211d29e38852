package seal_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierd/tierd/backup/seal"
	"github.com/tierd/tierd/tiers/object"
)

// golden has what format 1 looks like: a master key, the store of a keyspace ks and objects in
// it. It is never written anew: every release reads what the first one wrote.
const golden = "testdata/v1"

// goldenID is the first 16 digits of what `(printf 'tierd master key\n'; base64 -d <<<KEY) | sha256sum`
// prints for its master key.
const goldenID = "file:ae3667bfddf3af40"

// openGolden copies the golden files, since reading a key file asks for its mode, which
// a checkout does not keep.
func openGolden(t testing.TB) (object.Store, *seal.Keyring) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(golden)); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "master.key")
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	master, err := seal.OpenKeyFile(key, false, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if master.ID() != goldenID {
		t.Errorf("the key's id is %s", master.ID())
	}
	store, err := object.Open(t.Context(), object.Location{Kind: object.KindFile, Dir: filepath.Join(dir, "store")}, object.Options{})
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := seal.OpenKeyring(t.Context(), store, master, "ks", rand.Reader, false)
	if err != nil {
		t.Fatal(err)
	}
	return store, keyring
}

func TestGolden(t *testing.T) {
	t.Parallel()
	_, keyring := openGolden(t)
	for name, want := range map[string]string{
		"ks/log/golden": strings.Repeat("what was sealed by the first release\n", 100),
		"ks/log/empty":  "",
	} {
		body, err := keyring.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

// FuzzOpen: no bytes make Open fail otherwise than by an error, and none but those that
// were sealed open to anything.
func FuzzOpen(f *testing.F) {
	_, keyring := openGolden(f)
	whole, err := os.ReadFile(filepath.Join(golden, "store/ks/log/golden"))
	if err != nil {
		f.Fatal(err)
	}
	for _, end := range []int{0, 8, 19, 79, 119, 120, len(whole) - 1, len(whole)} {
		f.Add(whole[:end])
	}
	for at := range whole[:130] {
		altered := bytes.Clone(whole)
		altered[at] ^= 0x81
		f.Add(altered)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := opened(keyring, "ks/log/golden", bytes.NewReader(data))
		switch {
		case bytes.Equal(data, whole):
			if err != nil {
				t.Fatal(err)
			}
		case err == nil:
			t.Fatalf("%d other bytes opened to %q", len(data), got)
		case !errors.Is(err, seal.ErrAltered) && !errors.Is(err, seal.ErrKey), len(got) > 0:
			t.Fatalf("got %q, %v", got, err)
		}
	})
}
