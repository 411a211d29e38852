package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsimple"
)

// mutation breaks one promise of the configuration, as a careless change would.
type mutation struct {
	Name string `hcl:"name,label"`
	// File is what it changes, from the repository.
	File string `hcl:"file"`
	// Promise says what holds no longer then.
	Promise string `hcl:"promise"`
	// Replace occurs in the file; each of its places becomes With.
	Replace string `hcl:"replace"`
	With    string `hcl:"with"`
	// Folder is whose tests have to fail: the file's own if it is empty.
	Folder string `hcl:"folder,optional"`
}

// mutationsFile holds all mutations.
const mutationsFile = "scripts/terraform/mutations.hcl"

// readMutations reads those whose folder is asked for.
func readMutations(at settings) ([]mutation, error) {
	var file struct {
		Mutations []mutation `hcl:"mutation,block"`
	}
	if err := hclsimple.DecodeFile(filepath.Join(at.root, mutationsFile), nil, &file); err != nil {
		return nil, fmt.Errorf("read the mutations: %w", err)
	}
	var chosen []mutation
	for _, m := range file.Mutations {
		if m.Folder == "" {
			m.Folder = path.Dir(m.File)
		}
		if at.only.MatchString(m.Folder + " " + m.Name) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no mutation matches %q", at.only)
	}
	return chosen, nil
}

// mutate makes each mutation in a copy of its own. A mutation that no test sees is a promise
// that nothing keeps.
func mutate(ctx context.Context, at settings) error {
	terraform, err := install(ctx, at, "terraform")
	if err != nil {
		return err
	}
	mutations, err := readMutations(at)
	if err != nil {
		return err
	}
	chosen, err := chooseProvider(ctx, at, terraform)
	if err != nil {
		return err
	}
	fmt.Println("terraform mutations: provider:", chosen.label)
	byName := make(map[string]mutation, len(mutations))
	names := make([]string, 0, len(mutations))
	for _, m := range mutations {
		byName[m.Name] = m
		names = append(names, m.Name)
	}
	return report(each(names, func(name string) outcome {
		seen, err := tryMutation(ctx, at, terraform, chosen, byName[name])
		o := outcome{folder: name, tests: seen}
		if err != nil {
			o.failures = []string{fmt.Sprintf("%s: %v", byName[name].File, err)}
		}
		return o
	}))
}

// tryMutation returns the words with which a test noticed it.
func tryMutation(ctx context.Context, at settings, terraform string, p provider, m mutation) (string, error) {
	w, err := newWorkspace(at, terraform, p)
	if err != nil {
		return "", err
	}
	defer w.close()
	if err := m.apply(w.root); err != nil {
		return "", err
	}
	if output, err := w.initialise(ctx, m.Folder); err != nil {
		return "", fmt.Errorf("terraform init: %s", output)
	}
	if output, err := w.run(ctx, m.Folder, "validate", "-no-color"); err != nil {
		return "", fmt.Errorf("the mutation is no valid configuration, so it shows nothing: %s", output)
	}
	passed, err := runTests(ctx, w, m.Folder)
	if err == nil {
		return "", fmt.Errorf("no test notices (%s passed) that this holds no longer: %s", passed, m.Promise)
	}
	if noticed := noticedBy(err.Error()); noticed != "" {
		return "noticed: " + noticed, nil
	}
	return "", errors.New("the tests fail, but no assertion of theirs does: " + err.Error())
}

// noticedBy is the message of the first assertion that failed, "" if none did.
func noticedBy(output string) string {
	assertion := regexp.MustCompile(`(?s)Error: (?:Test assertion failed|Resource precondition failed|Resource postcondition failed|Invalid value for variable)\n.*?\n\n([^\n]+)`)
	match := assertion.FindStringSubmatch(output)
	if match == nil {
		return ""
	}
	return match[1]
}

// apply changes the file in a copy.
func (m mutation) apply(root string) error {
	file := filepath.Join(root, m.File)
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read what is to be mutated: %w", err)
	}
	if !strings.Contains(string(text), m.Replace) {
		return fmt.Errorf("%q does not occur: the mutation is of an earlier state", m.Replace)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), m.Replace, m.With)), 0o644); err != nil {
		return fmt.Errorf("mutate: %w", err)
	}
	return nil
}
