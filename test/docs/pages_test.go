//go:build e2e

package docs

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// pageBound ends a page that hangs.
const pageBound = 10 * time.Minute

// TestPage tries the page that DOCS_PAGE names, on the machine that run.sh makes for it.
func TestPage(t *testing.T) {
	file := os.Getenv("DOCS_PAGE")
	if file == "" {
		t.Skip("DOCS_PAGE is not set: run.sh sets it")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := parse(string(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(steps) == 0 {
		t.Fatalf("%s has no steps", file)
	}
	ctx, cancel := context.WithTimeout(context.Background(), pageBound)
	defer cancel()
	shell, err := startSession(ctx, os.Getenv("DOCS_REPOSITORY"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		began := time.Now()
		try(t, shell, file, s)
		t.Logf("%s:%d: %v", file, s.line, time.Since(began).Round(time.Millisecond))
	}
	if err := shell.close(); err != nil {
		t.Errorf("end bash: %v", err)
	}
}

// try does one step; the page ends where a command fails, as those behind build on it.
func try(t *testing.T, shell *session, file string, s step) {
	t.Helper()
	if s.path != "" {
		if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.path, []byte(s.content), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	printed, err := shell.run(s.script)
	if err != nil {
		t.Fatalf("%s:%d: %v\n$ %s\n%s", file, s.line, err, s.script, printed)
	}
	if s.compared && !matches(s.output, printed) {
		t.Errorf("%s:%d:\n$ %s\nprints\n%s\nand not as the page says\n%s", file, s.line, s.script, printed, s.output)
	}
}
