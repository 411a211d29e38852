package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// waiversFile lists findings that are accepted, each with its reason.
const waiversFile = "scripts/terraform/trivyignore.yaml"

// choicesFile sets variables otherwise than their defaults.
const choicesFile = "scripts/terraform/scan.tfvars"

// scan looks for insecure settings with the checks that are built into trivy. A finding above
// low fails, unless it is waived.
func scan(ctx context.Context, at settings) error {
	trivy, err := install(ctx, at, "trivy")
	if err != nil {
		return err
	}
	waivers := filepath.Join(at.root, waiversFile)
	if err := checkWaivers(waivers); err != nil {
		return err
	}
	w, err := newWorkspace(at, "", provider{})
	if err != nil {
		return err
	}
	defer w.close()
	for _, choices := range [][]string{nil, {"--tf-vars", filepath.Join(at.root, choicesFile)}} {
		arguments := append([]string{"config", "--quiet", "--skip-check-update", "--misconfig-scanners", "terraform",
			"--severity", "MEDIUM,HIGH,CRITICAL", "--ignorefile", waivers, "--exit-code", "1",
			"--cache-dir", filepath.Join(at.cache, "trivy-cache")}, choices...)
		cmd := exec.CommandContext(ctx, trivy, append(arguments, "terraform")...)
		cmd.Dir = w.root
		cmd.Env = neutralEnvironment()
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("trivy found what is neither mended nor waived in %s: %w", waiversFile, err)
		}
	}
	fmt.Println("terraform scan: no finding above low that is not waived with a reason")
	return nil
}

// checkWaivers: nothing is waived without a reason.
func checkWaivers(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the waivers: %w", err)
	}
	waived := regexp.MustCompile(`(?m)^ *- id:`).FindAllIndex(text, -1)
	reasons := regexp.MustCompile(`(?m)^ *statement: *\S`).FindAllIndex(text, -1)
	if len(waived) != len(reasons) {
		return fmt.Errorf("%s waives %d findings and gives %d reasons", waiversFile, len(waived), len(reasons))
	}
	return nil
}
