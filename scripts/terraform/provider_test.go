package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A provider that was built from something else is not taken for the real one, and does not stay.
func TestOthersAreNotTheRealProvider(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ program, want string }{
		"another program": {self, "was built from github.com/tierd/tierd/scripts/terraform"},
		"no program":      {"", "there are 0"},
		"no Go program":   {"/bin/sh", "read what the provider was built from"},
	} {
		folder := filepath.Join(t.TempDir(), "linux_amd64")
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if c.program != "" {
			put(t, c.program, filepath.Join(folder, "terraform-provider-aws_v"+providerVersion+"_x5"))
		}
		if err := checkReal(folder); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if _, err := os.Stat(folder); !os.IsNotExist(err) {
			t.Errorf("%s: it stays in the cache: %v", name, err)
		}
	}
}

func put(t *testing.T, from, to string) {
	t.Helper()
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}
}
