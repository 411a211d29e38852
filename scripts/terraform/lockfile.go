package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// lockFile is terraform's name for it.
const lockFile = ".terraform.lock.hcl"

// platforms are those whose checksums the lock files hold.
func platforms() []string {
	return []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64"}
}

func hashes() *regexp.Regexp { return regexp.MustCompile(`(?ms)^  hashes = \[.*?\]\n`) }

func hasHashes(text string) bool       { return hashes().MatchString(text) }
func withoutHashes(text string) string { return hashes().ReplaceAllString(text, "") }
func usesAWS(c configuration) bool     { return c.providers["aws"] != "" }
func isLive(folder string) bool        { return strings.HasPrefix(folder, "terraform/live/") }

// checkLock finds what is wrong with a live configuration's lock file. Modules have none: who
// uses them chooses the release.
func checkLock(root, folder string) []string {
	text, err := os.ReadFile(filepath.Join(root, folder, lockFile))
	if err != nil {
		return []string{fmt.Sprintf("has no %s: copy that of terraform/live/aws-small", lockFile)}
	}
	locked := regexp.MustCompile(`(?m)^provider "([^"]+)" \{\n  version     = "([^"]+)"\n  constraints = "([^"]+)"\n`).FindStringSubmatch(string(text))
	if locked == nil || locked[1] != providerSource || locked[2] != providerVersion || !strings.Contains(locked[3], "~> 6.20") {
		return []string{fmt.Sprintf("%s does not pin %s to %s with constraints ~> 6.20", lockFile, providerSource, providerVersion)}
	}
	return nil
}

// lock records the provider's checksums for all platforms in every lock file.
func lock(ctx context.Context, at settings) error {
	terraform, err := install(ctx, at, "terraform")
	if err != nil {
		return err
	}
	folders, err := at.folders()
	if err != nil {
		return err
	}
	w, err := newWorkspace(at, terraform, provider{config: os.Getenv("TF_CLI_CONFIG_FILE")})
	if err != nil {
		return err
	}
	defer w.close()
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(at.root, folder, lockFile)); err != nil {
			continue
		}
		if output, err := w.run(ctx, folder, "get", "-no-color"); err != nil {
			return fmt.Errorf("%s: terraform get: %w\n%s", folder, err, output)
		}
		arguments := []string{"providers", "lock", "-no-color"}
		for _, platform := range platforms() {
			arguments = append(arguments, "-platform="+platform)
		}
		if output, err := w.run(ctx, folder, arguments...); err != nil {
			return fmt.Errorf("%s: terraform providers lock: %w\n%s", folder, err, output)
		}
		text, err := os.ReadFile(filepath.Join(w.root, folder, lockFile))
		if err != nil {
			return fmt.Errorf("%s: read the lock file: %w", folder, err)
		}
		if err := os.WriteFile(filepath.Join(at.root, folder, lockFile), text, 0o644); err != nil {
			return fmt.Errorf("%s: write the lock file: %w", folder, err)
		}
		fmt.Println("locked", folder)
	}
	return nil
}
