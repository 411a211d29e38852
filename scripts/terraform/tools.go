package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// tool is a program that the checks need. It is built from its Go module, at this very
// version, in a throw-away module, whose dependencies are not this project's.
type tool struct {
	name, version string
	// module is what has the program, at pkg (module if empty).
	module, pkg string
	// requires are more lines of the throw-away module.
	requires []string
	// flags are more arguments of go build.
	flags []string
	// takes says how long building takes on two cores.
	takes string
}

// tools are the programs by name.
func tools() map[string]tool {
	// terraform's own modules have no released versions: this is the commit of the release.
	const commit = "v0.0.0-20250409131005-35645b8fca68"
	var backends []string
	for _, name := range []string{"azure", "consul", "cos", "gcs", "kubernetes", "oss", "pg", "s3"} {
		backends = append(backends, "github.com/hashicorp/terraform/internal/backend/remote-state/"+name+" "+commit)
	}
	return map[string]tool{
		"terraform": {
			name: "terraform", version: "1.11.4", module: "github.com/hashicorp/terraform",
			requires: append(backends, "github.com/hashicorp/terraform/internal/legacy "+commit),
			flags:    []string{"-ldflags", "-s -w -X github.com/hashicorp/terraform/version.dev=no"}, takes: "ten minutes",
		},
		"tflint": {name: "tflint", version: "0.64.0", module: "github.com/terraform-linters/tflint", takes: "five minutes"},
		"trivy": {
			name: "trivy", version: "0.60.0", module: "github.com/aquasecurity/trivy", pkg: "github.com/aquasecurity/trivy/cmd/trivy",
			flags: []string{"-ldflags", "-s -w -X github.com/aquasecurity/trivy/pkg/version/app.ver=0.60.0"}, takes: "fifteen minutes",
		},
	}
}

// install returns the path of a tool, which it installs when it is not in the cache yet.
// A terraform of this machine is used if it is new enough.
func install(ctx context.Context, at settings, name string) (string, error) {
	wanted, known := tools()[name]
	if !known {
		return "", fmt.Errorf("install %s: no such tool", name)
	}
	if name == "terraform" {
		if path, ok := installedTerraform(ctx); ok {
			return path, nil
		}
	}
	dir := filepath.Join(at.cache, name+"-"+wanted.version)
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	if name == "terraform" {
		err := downloadTerraform(ctx, wanted.version, path)
		if err == nil {
			return path, nil
		}
		fmt.Fprintf(os.Stderr, "terraform %s cannot be downloaded: %v\n", wanted.version, err)
	}
	fmt.Fprintf(os.Stderr, "building %s %s from its Go module: once, about %s\n", name, wanted.version, wanted.takes)
	if err := wanted.buildInto(ctx, dir); err != nil {
		return "", fmt.Errorf("build %s %s: %w", name, wanted.version, err)
	}
	return path, nil
}

// installAll installs tools, all if none is named, and says where they are.
func installAll(ctx context.Context, at settings, names []string) error {
	if len(names) == 0 {
		names = []string{"terraform", "tflint", "trivy"}
	}
	for _, name := range names {
		path, err := install(ctx, at, name)
		if err != nil {
			return err
		}
		fmt.Println(path)
	}
	return nil
}

// buildInto builds the tool in a folder of its own and renames it into place: processes that
// build at once put the same there.
func (t tool) buildInto(ctx context.Context, dir string) error {
	work, err := os.MkdirTemp(dir, "build")
	if err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(work)
	lines := []string{"module tool", "go 1.26.0", "require " + t.module + " v" + t.version}
	for _, line := range t.requires {
		lines = append(lines, "require "+line)
	}
	if err := os.WriteFile(filepath.Join(work, "go.mod"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the module: %w", err)
	}
	pkg := t.pkg
	if pkg == "" {
		pkg = t.module
	}
	arguments := append([]string{"build", "-mod=mod", "-trimpath", "-o", t.name}, t.flags...)
	cmd := exec.CommandContext(ctx, "go", append(arguments, pkg)...)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output)
	}
	if err := os.Rename(filepath.Join(work, t.name), filepath.Join(dir, t.name)); err != nil {
		return fmt.Errorf("put it in place: %w", err)
	}
	return nil
}

// installedTerraform finds a terraform on the path that has what the tests need: mock
// providers and S3 locks without DynamoDB.
func installedTerraform(ctx context.Context) (string, bool) {
	path, err := exec.LookPath("terraform")
	if err != nil {
		return "", false
	}
	output, err := exec.CommandContext(ctx, path, "version").Output()
	if err != nil {
		return "", false
	}
	version := regexp.MustCompile(`Terraform v1\.(\d+)\.`).FindSubmatch(output)
	return path, version != nil && (len(version[1]) > 2 || string(version[1]) >= "11" && len(version[1]) == 2)
}

// checksums are the SHA-256 of the archives of terraform 1.11.4, by platform.
func checksums() map[string]string {
	return map[string]string{
		"linux_amd64":  "1ce994251c00281d6845f0f268637ba50c0005657eb3cf096b92f753b42ef4dc",
		"linux_arm64":  "a43d1d0da9b9bab214a8305a39db0e40869572594ccf50c416a7756499143633",
		"darwin_amd64": "a56d5002b9f7647291faccc3dd1a70350e60fb61e4c45037629508b8fdc2575b",
		"darwin_arm64": "867e0808fa971217043e25b7a792b10720c79b1546f8a68479b74f138be73e18",
	}
}

// downloadTerraform fetches HashiCorp's archive, whose checksum is pinned here.
func downloadTerraform(ctx context.Context, version, to string) error {
	platform := runtime.GOOS + "_" + runtime.GOARCH
	checksum, known := checksums()[platform]
	if !known {
		return fmt.Errorf("no checksum is known for %s", platform)
	}
	address := fmt.Sprintf("https://releases.hashicorp.com/terraform/%[1]s/terraform_%[1]s_%[2]s.zip", version, platform)
	archive, err := fetch(ctx, address)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(archive); hex.EncodeToString(sum[:]) != checksum {
		return fmt.Errorf("%s has another checksum than is known: %x", address, sum)
	}
	return unpack(archive, "terraform", to)
}

// fetch reads a whole file of the network. A server that does not answer soon is given up on.
func fetch(ctx context.Context, address string) ([]byte, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 10 * time.Second
	client := &http.Client{Transport: transport, Timeout: 10 * time.Minute}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", address, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch %s: %s", address, response.Status)
	}
	const sizeMax = 200 << 20
	body, err := io.ReadAll(io.LimitReader(response.Body, sizeMax))
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", address, err)
	}
	return body, nil
}

// unpack writes one program of an archive to a path, complete or not at all.
func unpack(archive []byte, name, to string) error {
	reader, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return fmt.Errorf("open the archive: %w", err)
	}
	file, err := reader.Open(name)
	if err != nil {
		return fmt.Errorf("find %s in the archive: %w", name, err)
	}
	defer file.Close()
	program, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	if err := os.WriteFile(to+".part", program, 0o755); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(to+".part", to); err != nil {
		return fmt.Errorf("put %s in place: %w", name, err)
	}
	return nil
}
