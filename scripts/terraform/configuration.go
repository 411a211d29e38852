package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// exampleFile holds values with which a live configuration can be tried.
const exampleFile = "terraform.tfvars.example"

// configuration is what a folder declares.
type configuration struct {
	// variables tells of each whether it has to be set.
	variables map[string]bool
	outputs   map[string]bool
	// providers are the versions required, by local name.
	providers map[string]string
	// terraform is the version required.
	terraform string
}

// parse reads the *.tf files of a folder.
func parse(folder string) (configuration, error) {
	c := configuration{variables: map[string]bool{}, outputs: map[string]bool{}, providers: map[string]string{}}
	files, err := filepath.Glob(filepath.Join(folder, "*.tf"))
	if err != nil {
		return c, fmt.Errorf("list the files: %w", err)
	}
	parser := hclparse.NewParser()
	for _, file := range files {
		parsed, problems := parser.ParseHCLFile(file)
		if problems.HasErrors() {
			return c, fmt.Errorf("parse: %w", problems)
		}
		for _, block := range parsed.Body.(*hclsyntax.Body).Blocks {
			c.add(block)
		}
	}
	return c, nil
}

// add notes one block of a file.
func (c *configuration) add(block *hclsyntax.Block) {
	switch block.Type {
	case "variable":
		c.variables[block.Labels[0]] = block.Body.Attributes["default"] == nil
	case "output":
		c.outputs[block.Labels[0]] = true
	case "terraform":
		c.terraform = text(block.Body.Attributes["required_version"])
		for _, inner := range block.Body.Blocks {
			if inner.Type != "required_providers" {
				continue
			}
			for name, attribute := range inner.Body.Attributes {
				c.providers[name] = text(attribute)
			}
		}
	}
}

// text is an attribute's string, of an object that of its version; "" for anything else.
func text(attribute *hclsyntax.Attribute) string {
	if attribute == nil {
		return ""
	}
	value, problems := attribute.Expr.Value(&hcl.EvalContext{})
	if problems.HasErrors() {
		return ""
	}
	if value.Type().IsObjectType() && value.Type().HasAttribute("version") {
		value = value.GetAttr("version")
	}
	if value.Type().FriendlyName() != "string" {
		return ""
	}
	return value.AsString()
}

// checkVersions holds every folder to the same terraform and provider.
func checkVersions(c configuration) []string {
	var wrong []string
	if c.terraform != ">= 1.11" {
		wrong = append(wrong, fmt.Sprintf("required_version is %q, not %q", c.terraform, ">= 1.11"))
	}
	for name, version := range c.providers {
		if name != "aws" || version != "~> 6.20" {
			wrong = append(wrong, fmt.Sprintf("requires %s %q: only aws ~> 6.20 is used here", name, version))
		}
	}
	return wrong
}

// checkReadme holds the tables of a folder's README to what it declares.
func checkReadme(folder string, c configuration) []string {
	readme, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		return []string{"has no README.md"}
	}
	inputs, outputs := table(string(readme), "Inputs"), table(string(readme), "Outputs")
	return slices.Concat(
		compare("variables", inputs, slices.Sorted(maps.Keys(c.variables))),
		compare("outputs", outputs, slices.Sorted(maps.Keys(c.outputs))),
	)
}

// table is the first column of the table below a heading: names in backticks.
func table(readme, heading string) []string {
	row := regexp.MustCompile("^\\| *`([a-z0-9_]+)`")
	var names []string
	inside := false
	for _, line := range strings.Split(readme, "\n") {
		if strings.HasPrefix(line, "#") {
			inside = strings.EqualFold(strings.TrimLeft(line, "# "), heading)
		}
		if match := row.FindStringSubmatch(line); inside && match != nil {
			names = append(names, match[1])
		}
	}
	return names
}

// compare tells what is told and not declared, and the other way round.
func compare(what string, told, declared []string) []string {
	var wrong []string
	for _, name := range told {
		if !slices.Contains(declared, name) {
			wrong = append(wrong, fmt.Sprintf("README.md tells of %s, which is not among the %s", name, what))
		}
	}
	for _, name := range declared {
		if !slices.Contains(told, name) {
			wrong = append(wrong, fmt.Sprintf("README.md has no row for %s under the heading of the %s", name, what))
		}
	}
	return wrong
}

// checkExample: the example sets all that has to be set, and nothing that is not there.
func checkExample(folder string, c configuration) []string {
	file, problems := hclparse.NewParser().ParseHCLFile(filepath.Join(folder, exampleFile))
	if problems.HasErrors() {
		return []string{fmt.Sprintf("%s: %v", exampleFile, problems)}
	}
	attributes, problems := file.Body.JustAttributes()
	if problems.HasErrors() {
		return []string{fmt.Sprintf("%s: %v", exampleFile, problems)}
	}
	var wrong []string
	for name := range attributes {
		if _, declared := c.variables[name]; !declared {
			wrong = append(wrong, fmt.Sprintf("%s sets %s, which is no variable", exampleFile, name))
		}
	}
	for name, required := range c.variables {
		if _, set := attributes[name]; required && !set {
			wrong = append(wrong, fmt.Sprintf("%s does not set %s, which has no default", exampleFile, name))
		}
	}
	slices.Sort(wrong)
	return wrong
}
