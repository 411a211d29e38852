// Command sbom writes a bill of materials of a Go binary, in CycloneDX 1.5 JSON: the modules
// that the binary itself says it was built from, with their checksums, and the Go it was built
// with. It promises the same bytes for the same binary.
//
//	sbom BINARY > sbom.json
package main

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
)

// document is the part of CycloneDX that is used.
type document struct {
	Format      string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Version     int         `json:"version"`
	Metadata    metadata    `json:"metadata"`
	Components  []component `json:"components"`
	// Dependencies has one entry: a binary says what it is made of, not which module needs which.
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Reference  string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	PURL       string     `json:"purl"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Reference string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(arguments []string, out io.Writer) error {
	if len(arguments) != 1 {
		return fmt.Errorf("usage: sbom BINARY")
	}
	info, err := buildinfo.ReadFile(arguments[0])
	if err != nil {
		return fmt.Errorf("read what %s was built from: %w", arguments[0], err)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(describe(info)); err != nil {
		return fmt.Errorf("write the bill: %w", err)
	}
	return nil
}

// describe makes the bill.
func describe(info *debug.BuildInfo) document {
	program := moduleOf(&info.Main)
	program.Type = "application"
	for _, setting := range info.Settings {
		switch setting.Key {
		case "CGO_ENABLED", "GOARCH", "GOOS", "-trimpath", "-ldflags", "vcs.revision", "vcs.modified":
			program.Properties = append(program.Properties, property{"build:" + setting.Key, setting.Value})
		}
	}
	library := component{
		Type: "library", Name: "std", Version: strings.TrimPrefix(info.GoVersion, "go"),
		Reference: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"),
	}
	library.PURL = library.Reference
	components, references := []component{library}, []string{library.Reference}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		c := moduleOf(module)
		components, references = append(components, c), append(references, c.Reference)
	}
	return document{
		Format: "CycloneDX", SpecVersion: "1.5", Version: 1, Metadata: metadata{program}, Components: components,
		Dependencies: []dependency{{program.Reference, references}},
	}
}

// moduleOf describes a module. Its hash is Go's own: a SHA-256 over the list of its files' hashes.
func moduleOf(module *debug.Module) component {
	purl := "pkg:golang/" + module.Path
	if module.Version != "" && module.Version != "(devel)" {
		purl += "@" + module.Version
	}
	c := component{Type: "library", Name: module.Path, Version: module.Version, PURL: purl, Reference: purl}
	if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(module.Sum, "h1:")); err == nil && len(sum) > 0 {
		c.Hashes = []hash{{"SHA-256", hex.EncodeToString(sum)}}
		c.Properties = []property{{"go:sum", module.Sum}}
	}
	return c
}
