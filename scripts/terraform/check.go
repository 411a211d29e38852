package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// parallel is how many folders are checked at once: each runs a terraform and a provider.
const parallel = 2

// outcome is what checking a folder found.
type outcome struct {
	folder string
	// failures are what is wrong, each with its tool's own words.
	failures []string
	// tests says what terraform test counted.
	tests string
	took  time.Duration
}

// check runs every check on every folder.
func check(ctx context.Context, at settings) error {
	terraform, err := install(ctx, at, "terraform")
	if err != nil {
		return err
	}
	tflint, err := install(ctx, at, "tflint")
	if err != nil {
		return err
	}
	folders, err := at.folders()
	if err != nil {
		return err
	}
	format := exec.CommandContext(ctx, terraform, "fmt", "-check", "-recursive", filepath.Join(at.root, "terraform"))
	format.Env = neutralEnvironment()
	if output, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("terraform fmt has to run on:\n%s", output)
	}
	chosen, err := chooseProvider(ctx, at, terraform)
	if err != nil {
		return err
	}
	fmt.Println("terraform checks: provider:", chosen.label)
	w, err := newWorkspace(at, terraform, chosen)
	if err != nil {
		return err
	}
	defer w.close()
	config := filepath.Join(at.root, "scripts/terraform/tflint.hcl")
	outcomes := each(folders, func(folder string) outcome {
		return checkFolder(ctx, w, tflint, config, folder)
	})
	return report(outcomes)
}

// each runs a function for every folder, some at once, and keeps their order.
func each(folders []string, do func(string) outcome) []outcome {
	outcomes := make([]outcome, len(folders))
	slots := make(chan struct{}, parallel)
	var all sync.WaitGroup
	for i, folder := range folders {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			began := time.Now()
			outcomes[i] = do(folder)
			outcomes[i].took = time.Since(began)
		})
	}
	all.Wait()
	return outcomes
}

// report prints a line for each folder, and what failed.
func report(outcomes []outcome) error {
	failed := 0
	for _, o := range outcomes {
		state := "ok    "
		if len(o.failures) > 0 {
			state = "FAILED"
			failed++
		}
		fmt.Printf("%s %-40s %5.1fs  %s\n", state, o.folder, o.took.Seconds(), o.tests)
		for _, failure := range o.failures {
			fmt.Printf("    %s\n", strings.Join(shortened(failure), "\n    "))
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d folders failed", failed, len(outcomes))
	}
	return nil
}

// shortened are the first lines of what a tool said: what follows a first failure is rarely another one.
func shortened(text string) []string {
	const linesMax = 60
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > linesMax {
		return append(lines[:linesMax], fmt.Sprintf("... and %d more lines", len(lines)-linesMax))
	}
	return lines
}

// checkFolder runs what needs no provider first: its complaints are the easier ones.
func checkFolder(ctx context.Context, w *workspace, tflint, config, folder string) outcome {
	o := outcome{folder: folder}
	fail := func(words ...string) { o.failures = append(o.failures, words...) }

	parsed, err := parse(filepath.Join(w.root, folder))
	if err != nil {
		fail(err.Error())
		return o
	}
	fail(checkReadme(filepath.Join(w.root, folder), parsed)...)
	fail(checkVersions(parsed)...)
	if isLive(folder) {
		fail(checkExample(filepath.Join(w.root, folder), parsed)...)
		if usesAWS(parsed) {
			fail(checkLock(w.root, folder)...)
		}
	}
	lint := exec.CommandContext(ctx, tflint, "--config", config, "--no-color", "--format", "compact")
	lint.Dir = filepath.Join(w.root, folder)
	if output, err := lint.CombinedOutput(); err != nil {
		fail("tflint: " + string(output))
	}
	if output, err := w.initialise(ctx, folder); err != nil {
		fail("terraform init: " + output)
		return o
	}
	if output, err := w.run(ctx, folder, "validate", "-no-color"); err != nil {
		fail("terraform validate: " + output)
		return o
	}
	var failure error
	if o.tests, failure = runTests(ctx, w, folder); failure != nil {
		fail(failure.Error())
	}
	return o
}

// runTests runs a folder's own tests, those of a live configuration with the values of its
// example, and returns terraform's count of them.
func runTests(ctx context.Context, w *workspace, folder string) (string, error) {
	files, err := filepath.Glob(filepath.Join(w.root, folder, "tests/*.tftest.hcl"))
	if err != nil {
		return "", fmt.Errorf("list the tests: %w", err)
	}
	if len(files) == 0 {
		return "", errors.New("has no tests/*.tftest.hcl")
	}
	arguments := []string{"test", "-no-color"}
	if _, err := os.Stat(filepath.Join(w.root, folder, exampleFile)); err == nil {
		arguments = append(arguments, "-var-file="+exampleFile)
	}
	output, err := w.run(ctx, folder, arguments...)
	if err != nil {
		return "", fmt.Errorf("terraform test: %s", output)
	}
	count := regexp.MustCompile(`Success! (\d+) passed, 0 failed`).FindStringSubmatch(output)
	if count == nil || count[1] == "0" {
		return "", fmt.Errorf("terraform test ran no test: %s", output)
	}
	return count[1] + " tests", nil
}
