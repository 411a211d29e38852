//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tierd/tierd/test/cluster"
)

// peer is a server of etcd's API that another project makes. It is built from its
// module; this one does not require it.
type peer struct {
	name, module, version, pkg string
	// args is its command line for a folder and an address to listen on. It makes
	// the server sync before it answers.
	args func(dir, address string) []string
}

func peers() []peer {
	return []peer{{
		// Syncs its log once for each batch of writes, before it answers them. Without
		// a bucket nothing is uploaded.
		name: "t4", module: "github.com/t4db/t4", version: "v1.1.17", pkg: "github.com/t4db/t4/cmd/t4",
		args: func(dir, address string) []string {
			return []string{"run", "--data-dir", dir, "--listen", address, "--metrics-addr", "127.0.0.1:0", "--log-level", "error"}
		},
	}, {
		// Its defaults but for synchronous=FULL: with the default, NORMAL, SQLite does
		// not sync its log before a transaction is answered.
		name: "kine", module: "github.com/k3s-io/kine", version: "v0.17.5", pkg: "github.com/k3s-io/kine",
		args: func(dir, address string) []string {
			return []string{"--listen-address", address, "--metrics-bind-address", "0", "--endpoint", "sqlite://" + filepath.Join(dir, "state.db") +
				"?_journal_mode=WAL&_busy_timeout=30000&_synchronous=FULL&_txlock=immediate&_stmt_cache_size=20&cache=shared"}
		},
	}}
}

// start returns what starts the peer; it is built now if it never was.
func (p peer) starter(t *testing.T) starter {
	t.Helper()
	path, err := p.build()
	if err != nil {
		t.Fatalf("build %s %s: %v", p.name, p.version, err)
	}
	return starter{p.name, func(tb testing.TB) *system {
		tb.Helper()
		address := freeAddress(tb)
		s := startProgram(tb, p.name, address, path, p.args(cluster.Folder(tb), address)...)
		s.peer = true
		return s
	}}
}

// build returns the path of the program, in the cache that outlives runs.
func (p peer) build() (string, error) {
	root := os.Getenv("TIERD_TEST_CACHE")
	if root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder: %w", err)
		}
		root = filepath.Join(user, "tierd")
	}
	dir := filepath.Join(root, p.name+"-"+p.version)
	path := filepath.Join(dir, filepath.Base(p.pkg))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make %s: %w", dir, err)
	}
	return path, p.buildInto(path)
}

// buildInto builds in a throw-away module that requires nothing but the peer, so that
// it gets the versions that its own module chooses.
func (p peer) buildInto(path string) error {
	work, err := os.MkdirTemp(filepath.Dir(path), "build")
	if err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(work)
	module := fmt.Sprintf("module peer\n\ngo 1.26.0\n\nrequire %s %s\n", p.module, p.version)
	if err := os.WriteFile(filepath.Join(work, "go.mod"), []byte(module), 0o600); err != nil {
		return fmt.Errorf("write the module: %w", err)
	}
	cmd := exec.Command("go", "build", "-mod=mod", "-trimpath", "-o", "./", p.pkg)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output)
	}
	if err := os.Rename(filepath.Join(work, filepath.Base(path)), path); err != nil {
		return fmt.Errorf("put the program in place: %w", err)
	}
	return nil
}
