package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// deployedFiles are the files below folders, relative to the repository, that set up frontends and jobs.
func deployedFiles(t *testing.T, suffixes []string, folders ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join("..", "..", folder), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			for _, suffix := range suffixes {
				if strings.HasSuffix(name, suffix) {
					text, err := os.ReadFile(name)
					found[name] = string(text)
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) == 0 {
		t.Fatalf("there is nothing in %v: this test looks in the wrong place", folders)
	}
	return found
}

// allFlags are the flags of all commands, and which of them have variables: the prefix of those, and the flag.
func allFlags(root *cobra.Command) (flags, variables map[string]bool) {
	flags, variables = map[string]bool{}, map[string]bool{environmentPrefix + "HOT_TIER_PASSWORD": true}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		prefix := environmentPrefix
		switch {
		case cmd.Name() == "health":
			prefix = healthPrefix
		case cmd.HasParent() && cmd.Parent().Name() == "pki":
			prefix = pkiPrefix
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			flags[f.Name] = true
			if cmd.Name() == "serve" || prefix != environmentPrefix {
				variables[prefix+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))] = true
			}
		})
		for _, below := range cmd.Commands() {
			walk(below)
		}
	}
	walk(root)
	return flags, variables
}

// TestDeploymentsSetWhatExists: each variable and each flag that Terraform, the runbooks and the packages name is one.
// An unknown variable would only be warned about, and an unknown flag be found when a job first runs.
func TestDeploymentsSetWhatExists(t *testing.T) {
	t.Parallel()
	flags, variables := allFlags(newRootCommand(nil))
	for file, text := range deployedFiles(t, []string{".tf", ".hcl", ".example", "runbooks.md", ".service"}, "terraform", "docs", "deploy") {
		for _, variable := range regexp.MustCompile(`\bTIERD_[A-Z0-9_]*[A-Z0-9]\b`).FindAllString(text, -1) {
			if !variables[variable] {
				t.Errorf("%s sets %s, which is no variable of tierd", file, variable)
			}
		}
		if !strings.HasSuffix(file, ".tf") {
			continue
		}
		for _, match := range regexp.MustCompile(`"--([a-z][a-z-]*)"`).FindAllStringSubmatch(text, -1) {
			if !flags[match[1]] {
				t.Errorf("%s gives --%s, which is no flag of tierd", file, match[1])
			}
		}
	}
}

// TestRunbooksGiveCommandsThatExist: what an operator is told to type is taken by the command line.
func TestRunbooksGiveCommandsThatExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	jobs := regexp.MustCompile(`(?m)(?:` + "`" + `|^ {4})(?:job (?:shard-apply|archive-verify|archive-prune|restore-drill|pki-renew)|tierd) ([a-z][^` + "`" + `\n]*)`)
	commands := jobs.FindAllStringSubmatch(string(text), -1)
	if len(commands) < 10 {
		t.Fatalf("only %d commands were found: this test looks for the wrong thing", len(commands))
	}
	for _, match := range commands {
		root := newRootCommand(nil)
		cmd, rest, err := root.Find(strings.Fields(match[1]))
		if err != nil || cmd == root {
			t.Errorf("%q is no command of tierd: %v", match[1], err)
			continue
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Errorf("%q: %v", match[1], err)
		}
	}
}
