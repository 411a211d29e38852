// Package packages checks what tierd is brought elsewhere by: the container image, the release archives, the
// packages of Linux distributions and the Helm chart, each with the programs that people use for them.
//
// Those programs are built from their Go modules, at pinned versions, and kept in the cache folder; the first time that
// takes some minutes each, which is why the tests that need them run by `make test-packages` alone. What can be checked
// without them is checked by `go test ./...`.
//
// Environment:
//
//	TIERD_TEST_CACHE  where the built programs are kept (default: the user's cache folder)
package packages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Tool is a program that is built from a Go module.
type Tool struct {
	Name, Module, Package, Version string
}

// Helm renders charts.
func Helm() Tool { return Tool{"helm", "helm.sh/helm/v3", "helm.sh/helm/v3/cmd/helm", "3.22.0"} }

// Goreleaser builds releases. It is the newest whose dependencies go without go-msix, which module proxies do not have.
func Goreleaser() Tool {
	return Tool{"goreleaser", "github.com/goreleaser/goreleaser/v2", "github.com/goreleaser/goreleaser/v2", "2.16.0"}
}

// Crane brings images into registries, and is a registry itself.
func Crane() Tool {
	return Tool{"crane", "github.com/google/go-containerregistry", "github.com/google/go-containerregistry/cmd/crane", "0.22.1"}
}

// Path is where the program is, built if it is not in the cache yet.
func (t Tool) Path() (string, error) {
	root := os.Getenv("TIERD_TEST_CACHE")
	if root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder: %w", err)
		}
		root = filepath.Join(user, "tierd")
	}
	dir := filepath.Join(root, t.Name+"-"+t.Version)
	path := filepath.Join(dir, t.Name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := t.build(dir); err != nil {
		return "", fmt.Errorf("build %s %s: %w", t.Name, t.Version, err)
	}
	return path, nil
}

// build builds in a throw-away module, whose dependencies are not this project's. The
// program is renamed into place: processes that build at once put the same there.
func (t Tool) build(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	work, err := os.MkdirTemp(dir, "build")
	if err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(work)
	module := fmt.Sprintf("module packages\n\ngo 1.26.3\n\nrequire %s v%s\n", t.Module, t.Version)
	if err := os.WriteFile(filepath.Join(work, "go.mod"), []byte(module), 0o600); err != nil {
		return fmt.Errorf("write the module: %w", err)
	}
	cmd := exec.Command("go", "build", "-mod=mod", "-trimpath", "-o", t.Name, t.Package)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output)
	}
	if err := os.Rename(filepath.Join(work, t.Name), filepath.Join(dir, t.Name)); err != nil {
		return fmt.Errorf("put it in place: %w", err)
	}
	return nil
}
