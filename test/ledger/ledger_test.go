package ledger_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/ledger"
)

var bugFlag = flag.String("bug", "", "bug to bring back, or all")

func load(t *testing.T) (root string, bugs []ledger.Bug) {
	t.Helper()
	root, err := cluster.RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	if bugs, err = ledger.Load("bugs"); err != nil {
		t.Fatal(err)
	}
	if len(bugs) == 0 {
		t.Fatal("there is no bug in the ledger")
	}
	return root, bugs
}

// TestBugsFitTheSource: what brings a bug back still fits the source that mended it.
func TestBugsFitTheSource(t *testing.T) {
	t.Parallel()
	root, bugs := load(t)
	for _, bug := range bugs {
		if _, err := bug.Apply(root); err != nil {
			t.Error(err)
		}
	}
}

// TestBugsComeBack undoes mends, and sees the test fail that stands for each.
func TestBugsComeBack(t *testing.T) {
	t.Parallel()
	if *bugFlag == "" {
		t.Skip("no bug is named with -bug")
	}
	root, bugs := load(t)
	known := false
	for _, bug := range bugs {
		if *bugFlag != "all" && *bugFlag != bug.Name {
			continue
		}
		known = true
		t.Run(bug.Name, func(t *testing.T) { bringBack(t, root, bug) })
	}
	if !known {
		t.Fatalf("the ledger has no bug %q", *bugFlag)
	}
}

// bringBack builds tierd and runs a test on source in which the mend is undone.
func bringBack(t *testing.T, root string, bug ledger.Bug) {
	t.Helper()
	dir := t.TempDir()
	overlay := overlay(t, root, dir, bug)
	binary := filepath.Join(dir, "tierd")
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", binary, "./cmd/tierd")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build tierd with the bug: %v\n%s", err, output)
	}
	args := append([]string{"test", "-count", "1", "-overlay", overlay}, bug.Run...)
	test := exec.CommandContext(t.Context(), "go", args...)
	test.Dir = root
	test.Env = append(os.Environ(), "TIERD_TEST_BINARY="+binary)
	output, err := test.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "--- FAIL: ") {
		t.Fatalf("go %s\ndoes not fail with the bug, error %v:\n%s", strings.Join(args, " "), err, output)
	}
	t.Logf("go %s\n%s", strings.Join(args, " "), firstFailure(string(output)))
}

// overlay writes the changed files, and the file that tells the go command of them.
func overlay(t *testing.T, root, dir string, bug ledger.Bug) string {
	t.Helper()
	texts, err := bug.Apply(root)
	if err != nil {
		t.Fatal(err)
	}
	replace := make(map[string]string)
	for file, text := range texts {
		changed := filepath.Join(dir, fmt.Sprintf("%d-%s", len(replace), filepath.Base(file)))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, filepath.FromSlash(file))] = changed
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// failureLines is how much of a failure is shown.
const failureLines = 12

func firstFailure(output string) string {
	lines := strings.Split(output, "\n")
	for i, line := range lines {
		if strings.Contains(line, "--- FAIL: ") {
			return strings.Join(lines[i:min(len(lines), i+failureLines)], "\n")
		}
	}
	return ""
}
