// Package etcdctl runs etcd's own command line programs, unmodified, and compares
// what they print on tierd with what they print on real etcd.
//
// The comparison is one script: tables of commands, in the files *_script_test.go,
// run on both, step by step. What cannot be equal (ids, ports, durations, sizes,
// raft's counters) is replaced by names before comparing; revisions, counts,
// values, hashes, errors and exit codes must be equal.
//
// Environment:
//
//	TIERD_TEST_TARGET=etcd  compares etcd with another etcd, which shows that the
//	                        script itself is deterministic
//	TIERD_TEST_CACHE        where the built programs are kept (default: the
//	                        user's cache folder)
package etcdctl

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// version is the release whose programs are run.
const version = "3.7.3"

// Tools are the paths of etcd's command line programs.
type Tools struct {
	Etcdctl string
	Etcdutl string
}

// Build returns the programs, built when they are not in the cache yet. That takes
// about a minute; the cache is kept between runs.
func Build(tb testing.TB) Tools {
	tb.Helper()
	tools, err := buildOnce()
	if err != nil {
		tb.Fatalf("build etcdctl %s: %v", version, err)
	}
	return tools
}

// buildOnce remembers the outcome for the whole process.
var buildOnce = sync.OnceValues(func() (Tools, error) {
	root, err := cacheRoot()
	if err != nil {
		return Tools{}, err
	}
	dir := filepath.Join(root, "etcdctl-"+version)
	tools := Tools{Etcdctl: filepath.Join(dir, "etcdctl"), Etcdutl: filepath.Join(dir, "etcdutl")}
	if present(tools.Etcdctl) && present(tools.Etcdutl) {
		return tools, nil
	}
	return tools, buildInto(dir)
})

func cacheRoot() (string, error) {
	root := os.Getenv("TIERD_TEST_CACHE")
	if root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder: %w", err)
		}
		root = filepath.Join(user, "tierd")
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	return root, nil
}

func present(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// buildInto builds in a throw-away module that requires both programs: `go
// install` refuses modules with replace lines, which count for nothing here. Each
// file is renamed into place, so that processes that build at the same time
// overwrite each other with the same whole files.
func buildInto(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	work, err := os.MkdirTemp(dir, "build")
	if err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(work)
	module := fmt.Sprintf("module etcdclients\n\ngo 1.26.0\n\nrequire (\n"+
		"\tgo.etcd.io/etcd/etcdctl/v3 v%[1]s\n\tgo.etcd.io/etcd/etcdutl/v3 v%[1]s\n)\n", version)
	if err := os.WriteFile(filepath.Join(work, "go.mod"), []byte(module), 0o600); err != nil {
		return fmt.Errorf("write the module: %w", err)
	}
	cmd := exec.Command("go", "build", "-mod=mod", "-o", "./",
		"go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdutl/v3")
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output)
	}
	for _, program := range []string{"etcdctl", "etcdutl"} {
		if err := os.Rename(filepath.Join(work, program), filepath.Join(dir, program)); err != nil {
			return fmt.Errorf("put %s in place: %w", program, err)
		}
	}
	return nil
}
