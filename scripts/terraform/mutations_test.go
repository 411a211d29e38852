package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMutationChangesEveryPlace(t *testing.T) {
	t.Parallel()
	folder := write(t, map[string]string{"main.tf": "encrypted = true\nalso_encrypted = true\n"})
	m := mutation{File: "main.tf", Replace: "encrypted = true", With: "encrypted = false"}
	if err := m.apply(folder); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "main.tf"))
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != "encrypted = false\nalso_encrypted = false\n" {
		t.Errorf("got %q", text)
	}
	if err := m.apply(folder); err == nil {
		t.Error("a mutation of what is not there says nothing")
	}
}

func TestOnlyAnAssertionNotices(t *testing.T) {
	t.Parallel()
	const failed = "Error: Test assertion failed\n\n  on tests/a.tftest.hcl line 9, in run \"a\":\n   9:     condition = false\n\nthe bucket is encrypted\n"
	if got := noticedBy(failed); got != "the bucket is encrypted" {
		t.Errorf("got %q", got)
	}
	if got := noticedBy("Error: Missing required argument\n\nx\n"); got != "" {
		t.Errorf("got %q for an error that is no assertion's", got)
	}
}

func TestWaiversHaveReasons(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"misconfigurations: []\n":                                                  true,
		"misconfigurations:\n  - id: AVD-AWS-0001\n":                               false,
		"misconfigurations:\n  - id: AVD-AWS-0001\n    statement: it is a test.\n": true,
		"misconfigurations:\n  - id: AVD-AWS-0001\n    statement:\n  - id: B\n":    false,
	} {
		folder := write(t, map[string]string{"waivers.yaml": text})
		if err := checkWaivers(filepath.Join(folder, "waivers.yaml")); (err == nil) != ok {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
