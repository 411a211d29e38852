// Package objectstore gives tests an object tier that can fail.
//
// Start runs a real S3 server process, versitygw, built from its Go module and kept in the
// cache folder. Faults stand between a client and a server as an HTTP proxy, or between a
// caller and any object.Store, lose, cut and refuse what a plan tells them to, and count that.
//
// versitygw keeps objects as files: no object's name may be the beginning of another one up
// to a slash, and it ignores what it is asked about server-side encryption: tests of
// that look at the requests.
//
// Environment:
//
//	TIERD_TEST_CACHE  where the built program is kept (default: the user's cache folder)
package objectstore

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// version is the release of versitygw that is run.
const version = "1.8.0"

// Build returns the path of versitygw, built when it is not in the cache yet. That takes
// up to four minutes, longer than a package's tests may: `make objectstore` does it before.
func Build(tb testing.TB) string {
	tb.Helper()
	path, err := buildOnce()
	if err != nil {
		tb.Fatalf("build versitygw %s: %v", version, err)
	}
	return path
}

// buildOnce remembers the outcome for the whole process.
var buildOnce = sync.OnceValues(func() (string, error) {
	root := os.Getenv("TIERD_TEST_CACHE")
	if root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder: %w", err)
		}
		root = filepath.Join(user, "tierd")
	}
	dir := filepath.Join(root, "versitygw-"+version)
	path := filepath.Join(dir, "versitygw")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, buildInto(dir)
})

// buildInto builds in a throw-away module, whose dependencies are not this project's. The
// program is renamed into place: processes that build at once put the same there.
func buildInto(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	work, err := os.MkdirTemp(dir, "build")
	if err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(work)
	module := fmt.Sprintf("module objectstore\n\ngo 1.26.0\n\nrequire github.com/versity/versitygw v%s\n", version)
	if err := os.WriteFile(filepath.Join(work, "go.mod"), []byte(module), 0o600); err != nil {
		return fmt.Errorf("write the module: %w", err)
	}
	cmd := exec.Command("go", "build", "-mod=mod", "-o", "./", "github.com/versity/versitygw/cmd/versitygw")
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output)
	}
	if err := os.Rename(filepath.Join(work, "versitygw"), filepath.Join(dir, "versitygw")); err != nil {
		return fmt.Errorf("put versitygw in place: %w", err)
	}
	return nil
}
