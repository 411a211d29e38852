package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// workspace is a copy of what terraform reads, in which everything runs.
type workspace struct {
	root      string
	terraform string
	provider  provider
}

// copied are the folders of the repository that modules read.
func copied() []string { return []string{"terraform", "deploy", "docs"} }

// newWorkspace copies the repository's folders to a temporary one; close removes it.
func newWorkspace(at settings, terraform string, p provider) (*workspace, error) {
	root, err := os.MkdirTemp("", "tierd-terraform")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the copy: %w", err)
	}
	w := &workspace{root: root, terraform: terraform, provider: p}
	for _, name := range copied() {
		if err := copyTree(filepath.Join(at.root, name), filepath.Join(root, name)); err != nil {
			w.close()
			return nil, fmt.Errorf("copy %s: %w", name, err)
		}
	}
	return w, nil
}

func (w *workspace) close() { os.RemoveAll(w.root) }

// copyTree copies regular files, without what terraform leaves behind.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		name := entry.Name()
		switch {
		case entry.IsDir() && relative != "." && strings.HasPrefix(name, "."):
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, relative), 0o755)
		case !entry.Type().IsRegular() || strings.Contains(name, ".tfstate") || name == "terraform.tfvars":
			return nil
		}
		info, err := entry.Info() // its mode: modules have scripts
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, relative), text, info.Mode().Perm())
	})
}

// run runs terraform in a folder of the copy and returns what it said.
func (w *workspace) run(ctx context.Context, folder string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, w.terraform, arguments...)
	cmd.Dir = filepath.Join(w.root, folder)
	cmd.Env = append(neutralEnvironment(), "TF_CLI_CONFIG_FILE="+w.provider.config, "TF_IN_AUTOMATION=1", "TF_INPUT=0", "CHECKPOINT_DISABLE=1",
		// Most of the time goes into schemas that are read, used and thrown away: half of it is the
		// collector's, unless it waits until memory is short.
		"GOGC=off", "GOMEMLIMIT=1GiB")
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// neutralEnvironment is this process' environment without what would make the outcome that
// of one machine: accounts, regions, variables' values.
func neutralEnvironment() []string {
	var kept []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "TF_") && !strings.HasPrefix(entry, "AWS_") {
			kept = append(kept, entry)
		}
	}
	return kept
}

// initialise makes a folder of the copy ready. The lock file is respected; only checksums of the
// real provider are left out where the stand-in, which has others, takes its place.
func (w *workspace) initialise(ctx context.Context, folder string) (string, error) {
	arguments := []string{"init", "-backend=false", "-input=false", "-no-color"}
	file := filepath.Join(w.root, folder, lockFile)
	text, err := os.ReadFile(file)
	if err == nil && hasHashes(string(text)) {
		if w.provider.real {
			arguments = append(arguments, "-lockfile=readonly")
		} else if err := os.WriteFile(file, []byte(withoutHashes(string(text))), 0o644); err != nil {
			return "", fmt.Errorf("leave the checksums out: %w", err)
		}
	}
	return w.run(ctx, folder, arguments...)
}
