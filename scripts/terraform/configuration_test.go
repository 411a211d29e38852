package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write makes a folder with files.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

const example = `
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.20"
    }
  }
}

variable "name" {
  type = string
}

variable "tags" {
  type    = map(string)
  default = {}
}

output "bucket" {
  value = var.name
}
`

func TestReadmeTellsWhatIsDeclared(t *testing.T) {
	t.Parallel()
	const complete = "# x\n## Inputs\n| a | b |\n|---|---|\n| `name` | . |\n| `tags` | . |\n## Outputs\n| `bucket` | . |\n"
	for name, test := range map[string]struct {
		readme string
		wrong  int
	}{
		"complete":       {complete, 0},
		"a row too few":  {strings.Replace(complete, "| `tags` | . |\n", "", 1), 1},
		"a row too many": {strings.Replace(complete, "| `tags`", "| `more` | . |\n| `tags`", 1), 1},
		"a wrong place":  {strings.Replace(complete, "## Outputs", "## Others", 1), 1},
		"no tables":      {"# x\n", 3},
	} {
		folder := write(t, map[string]string{"main.tf": example, "README.md": test.readme})
		parsed, err := parse(folder)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := checkReadme(folder, parsed); len(wrong) != test.wrong {
			t.Errorf("%s: %d complaints are expected, got %q", name, test.wrong, wrong)
		}
	}
}

func TestVersionsAreTheSameEverywhere(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		old, new string
		wrong    int
	}{
		"as they are":       {"", "", 0},
		"another terraform": {">= 1.11", ">= 1.5", 1},
		"another release":   {"~> 6.20", ">= 5.0", 1},
		"another provider":  {"aws = {", "random = {", 1},
	} {
		parsed, err := parse(write(t, map[string]string{"main.tf": strings.Replace(example, test.old, test.new, 1)}))
		if err != nil {
			t.Fatal(err)
		}
		if wrong := checkVersions(parsed); len(wrong) != test.wrong {
			t.Errorf("%s: %d complaints are expected, got %q", name, test.wrong, wrong)
		}
	}
}

func TestExampleSetsWhatHasToBeSet(t *testing.T) {
	t.Parallel()
	for text, wanted := range map[string][]string{
		"name = \"x\"\n":              nil,
		"tags = {}\n":                 {"terraform.tfvars.example does not set name, which has no default"},
		"name = \"x\"\nmore = true\n": {"terraform.tfvars.example sets more, which is no variable"},
	} {
		folder := write(t, map[string]string{"main.tf": example, exampleFile: text})
		parsed, err := parse(folder)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := checkExample(folder, parsed); !slices.Equal(wrong, wanted) {
			t.Errorf("%q: expected %q, got %q", text, wanted, wrong)
		}
	}
}

func TestLockFilePinsTheProvider(t *testing.T) {
	t.Parallel()
	const good = "provider \"" + providerSource + "\" {\n  version     = \"" + providerVersion + "\"\n  constraints = \"~> 6.20\"\n}\n"
	for name, test := range map[string]struct {
		text string
		ok   bool
	}{
		"as it should be":   {good, true},
		"with checksums":    {strings.Replace(good, "}", "  hashes = [\n    \"zh:00\",\n  ]\n}", 1), true},
		"another release":   {strings.Replace(good, providerVersion, "5.1.0", 1), false},
		"another provider":  {strings.Replace(good, "hashicorp/aws", "someone/aws", 1), false},
		"other constraints": {strings.Replace(good, "~> 6.20", ">= 5", 1), false},
	} {
		folder := write(t, map[string]string{lockFile: test.text})
		if wrong := checkLock(filepath.Dir(folder), filepath.Base(folder)); (len(wrong) == 0) != test.ok {
			t.Errorf("%s: got %q", name, wrong)
		}
	}
	const locked = "provider \"x\" {\n  version = \"1\"\n  hashes = [\n    \"zh:00\",\n  ]\n}\n"
	if !hasHashes(locked) || hasHashes(withoutHashes(locked)) || !strings.HasSuffix(withoutHashes(locked), "\"1\"\n}\n") {
		t.Errorf("the checksums were not left out: %q", withoutHashes(locked))
	}
}
