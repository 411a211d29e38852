package vault_test

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/tierd/tierd/backup/seal"
)

var writeGolden = flag.Bool("write-golden", false, "write what is stored anew, after a change of format")

// golden is what a release has stored: its setting, and a sealed value. The key file beside it is of no
// other use.
type golden struct {
	Keyspace, Key, Value string
	Setting              string
	Sealed               string // hex
}

// TestGolden: what earlier releases have sealed opens, byte for byte as docs/formats.md says.
func TestGolden(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text, err := os.ReadFile(filepath.Join("testdata", "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "master.key")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := seal.OpenKeyFile(path, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "golden.json")
	if *writeGolden {
		g := golden{Keyspace: "golden", Key: "key\x00", Value: "a value", Setting: setting(t, "golden", m)}
		g.Sealed = hex.EncodeToString(sealed(t, configured(t, g.Keyspace, m, g.Setting), g.Key, g.Value))
		encoded, err := json.MarshalIndent(g, "", "  ")
		if err == nil {
			err = os.WriteFile(file, append(encoded, '\n'), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(stored, &g); err != nil {
		t.Fatal(err)
	}
	value, err := hex.DecodeString(g.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	got, err := configured(t, g.Keyspace, m, g.Setting).Open(t.Context(), []byte(g.Key), value)
	if err != nil || string(got) != g.Value {
		t.Errorf("%q, error %v, want %q", got, err, g.Value)
	}
}
