package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Binary returns the path of a tierd built from this repository. It is built once
// for each test process into bin/test, which Go's build cache makes quick; race
// adds the race detector. TIERD_TEST_BINARY names a binary to use instead.
func Binary(tb testing.TB, race bool) string {
	tb.Helper()
	if path := os.Getenv("TIERD_TEST_BINARY"); path != "" {
		return path
	}
	build := builds[race]
	path, err := build()
	if err != nil {
		tb.Fatalf("build tierd: %v", err)
	}
	return path
}

// builds remembers the outcome of building, the same for the whole process: the
// source does not change while tests run.
var builds = map[bool]func() (string, error){
	false: sync.OnceValues(func() (string, error) { return build("tierd") }),
	true:  sync.OnceValues(func() (string, error) { return build("tierd-race", "-race") }),
}

// build compiles cmd/tierd under a name of its own and renames it into place, so
// that test processes that build at the same time never run half a file.
func build(name string, flags ...string) (string, error) {
	root, err := RepositoryRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "bin", "test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the folder for binaries: %w", err)
	}
	partial := filepath.Join(dir, fmt.Sprintf("%s.%d", name, os.Getpid()))
	args := append([]string{"build", "-o", partial}, flags...)
	cmd := exec.Command("go", append(args, "./cmd/tierd")...)
	cmd.Dir = root
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/tierd: %w\n%s", err, output)
	}
	path := filepath.Join(dir, name)
	if err := os.Rename(partial, path); err != nil {
		return "", fmt.Errorf("put the binary in place: %w", err)
	}
	return path, nil
}

// RepositoryRoot is the folder of go.mod above the working folder, which for a
// test is the folder of its package.
func RepositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the repository: no go.mod above the working folder")
		}
		dir = parent
	}
}
