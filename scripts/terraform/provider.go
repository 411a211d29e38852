package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// providerVersion is the release of hashicorp/aws that the lock files name.
const providerVersion = "6.25.0"

// providerSource is the provider's address.
const providerSource = "registry.terraform.io/hashicorp/aws"

// provider is what terraform takes for hashicorp/aws.
type provider struct {
	// label says what it is.
	label string
	// config is the file that makes terraform use it.
	config string
	// real is false for the stand-in, which knows names and types alone.
	real bool
}

// chooseProvider takes the real provider if it is in the cache or can be downloaded, else the
// stand-in. A registry that does not answer within seconds cannot be reached.
func chooseProvider(ctx context.Context, at settings, terraform string) (provider, error) {
	mirror := filepath.Join(at.cache, "terraform-providers")
	found := filepath.Join(mirror, providerSource, providerVersion, runtime.GOOS+"_"+runtime.GOARCH)
	var refusal error
	if _, err := os.Stat(found); err != nil {
		refusal = downloadProvider(ctx, terraform, mirror)
	}
	if refusal == nil {
		refusal = checkReal(found)
	}
	if refusal == nil {
		config := filepath.Join(mirror, "terraformrc")
		if err := writeMirrorConfig(config, mirror); err != nil {
			return provider{}, err
		}
		return provider{label: "the real hashicorp/aws " + providerVersion, config: config, real: true}, nil
	}
	standIn, err := layStandIn(ctx, at)
	if err != nil {
		return provider{}, fmt.Errorf("there is no AWS provider: %w", errors.Join(refusal, err))
	}
	return standIn, nil
}

// checkReal says whether the provider in a folder was built from the real one's source, as its binary says. Terraform may
// be set to take one from elsewhere; what is another one does not stay in the cache.
func checkReal(folder string) error {
	const source = "github.com/hashicorp/terraform-provider-aws"
	programs, err := filepath.Glob(filepath.Join(folder, "terraform-provider-aws_*"))
	if err != nil || len(programs) != 1 {
		return errors.Join(fmt.Errorf("find the provider: there are %d in %s", len(programs), folder), os.RemoveAll(folder))
	}
	info, err := buildinfo.ReadFile(programs[0])
	switch {
	case err != nil:
		return errors.Join(fmt.Errorf("read what the provider was built from: %w", err), os.RemoveAll(folder))
	case info.Main.Path != source:
		return errors.Join(fmt.Errorf("what terraform is set to take for the provider was built from %s", info.Main.Path), os.RemoveAll(folder))
	default:
		return nil
	}
}

// downloadProvider asks the registry that this machine's terraform is set to for the provider.
func downloadProvider(ctx context.Context, terraform, mirror string) error {
	const timeout = 5 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	work, err := os.MkdirTemp("", "tierd-provider")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(work)
	if err := os.MkdirAll(mirror, 0o755); err != nil {
		return fmt.Errorf("make the providers' cache: %w", err)
	}
	text := fmt.Sprintf("terraform {\n  required_providers {\n    aws = {\n      source  = \"hashicorp/aws\"\n      version = %q\n    }\n  }\n}\n", providerVersion)
	if err := os.WriteFile(filepath.Join(work, "main.tf"), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write a configuration: %w", err)
	}
	cmd := exec.CommandContext(ctx, terraform, "init", "-backend=false", "-input=false", "-no-color")
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "TF_PLUGIN_CACHE_DIR="+mirror, "TF_REGISTRY_DISCOVERY_RETRY=0", "TF_REGISTRY_CLIENT_TIMEOUT=5")
	output, err := cmd.CombinedOutput()
	if err != nil {
		reason := regexp.MustCompile(`could not\s+connect[^:]*|Error: [^\n]*`).Find(output)
		return fmt.Errorf("download the real provider: %w: %s", err, strings.Join(strings.Fields(string(reason)), " "))
	}
	return nil
}

// layStandIn runs the program that lays the stand-in, which prints "export NAME=FILE".
func layStandIn(ctx context.Context, at settings) (provider, error) {
	if _, err := os.Stat(at.schema); err != nil {
		return provider{}, fmt.Errorf("find the schema-only stand-in, which AWS_SCHEMA names: %w", err)
	}
	cmd := exec.CommandContext(ctx, at.schema, filepath.Join(at.cache, "aws-schema"))
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	if err != nil {
		return provider{}, fmt.Errorf("lay the schema-only stand-in: %w", err)
	}
	_, config, found := strings.Cut(strings.TrimSpace(string(output)), "TF_CLI_CONFIG_FILE=")
	if !found {
		return provider{}, fmt.Errorf("lay the schema-only stand-in: %s printed %q", at.schema, output)
	}
	return provider{label: "a schema-only stand-in for hashicorp/aws (the real one cannot be downloaded here)", config: config}, nil
}

// writeMirrorConfig makes terraform take providers from a folder, and from nowhere else.
func writeMirrorConfig(file, mirror string) error {
	text := fmt.Sprintf("disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror)
	if err := os.WriteFile(file+".part", []byte(text), 0o600); err != nil {
		return fmt.Errorf("write terraform's settings: %w", err)
	}
	if err := os.Rename(file+".part", file); err != nil {
		return fmt.Errorf("put terraform's settings in place: %w", err)
	}
	return nil
}
