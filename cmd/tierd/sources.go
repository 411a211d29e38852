package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"
)

const (
	// environmentPrefix starts the variables that hold settings.
	environmentPrefix = "TIERD_"
	// testPrefix starts those that steer the project's own tests.
	testPrefix = "TIERD_TEST_"
	// configFileBytesMax bounds the settings file.
	configFileBytesMax = 1 << 20
)

// applySources sets the flags that the command line left alone: from the
// environment, or else from the settings file. (etcd ignores flags and
// environment once there is a file; here the sources are layers.) It returns
// warnings about variables that look like settings and are none.
func applySources(flags *pflag.FlagSet, environ []string) ([]string, error) {
	if err := refusePassword(flags); err != nil {
		return nil, err
	}
	settled := make(map[string]bool)
	flags.Visit(func(flag *pflag.Flag) { settled[flag.Name] = true })
	warnings, err := applyEnvironment(flags, environ, settled)
	if err != nil {
		return nil, err
	}
	path := flags.Lookup("config-file").Value.String()
	if path == "" {
		return warnings, nil
	}
	return warnings, applyFile(flags, path, settled)
}

// variableName is the environment variable of a flag.
func variableName(flag string) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// applyEnvironment sets flags from variables and adds them to settled. As etcd,
// it takes an empty variable for an absent one.
func applyEnvironment(flags *pflag.FlagSet, environ []string, settled map[string]bool) ([]string, error) {
	variables := make(map[string]string)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, environmentPrefix) && !foreign(name) && value != "" {
			variables[name] = value
		}
	}
	var failure error
	flags.VisitAll(func(flag *pflag.Flag) {
		name := variableName(flag.Name)
		value, found := variables[name]
		delete(variables, name)
		if !found || settled[flag.Name] || failure != nil {
			return
		}
		if err := flags.Set(flag.Name, value); err != nil {
			failure = valueError("the environment variable "+name, flag, value)
		}
		settled[flag.Name] = true
	})
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		warnings = append(warnings, fmt.Sprintf("the environment variable %s is no setting of tierd serve and is ignored", name))
	}
	return warnings, failure
}

// foreign tells whether a variable is for something other than tierd serve.
func foreign(name string) bool {
	return slices.ContainsFunc([]string{testPrefix, healthPrefix, pkiPrefix}, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// applyOwnEnvironment sets the flags that the command line left alone, for a command whose variables begin with
// a prefix of their own.
func applyOwnEnvironment(fs *pflag.FlagSet, prefix string, environ []string) (err error) {
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		name, ours := strings.CutPrefix(name, prefix)
		flag := fs.Lookup(strings.ToLower(strings.ReplaceAll(name, "_", "-")))
		if !ours || flag == nil || flag.Changed || value == "" {
			continue
		}
		if fs.Set(flag.Name, value) != nil {
			err = errors.Join(err, valueError("the environment variable "+prefix+name, flag, value))
		}
	}
	return err
}

// applyFile sets the flags that are not settled yet from a YAML file. Every key
// of the file must be a setting, also where another source has the last word.
func applyFile(flags *pflag.FlagSet, path string, settled map[string]bool) error {
	values, err := readFile(path)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		flag := flags.Lookup(name)
		if flag == nil || name == "config-file" || name == "help" {
			return usage("the settings file %s has the key %q, which is no setting of tierd serve", path, name)
		}
		node := values[name]
		value, err := scalarText(&node)
		if err != nil {
			return usage("the settings file %s gives %s %v", path, name, err)
		}
		if settled[name] {
			continue
		}
		if err := flags.Set(name, value); err != nil {
			return valueError("the settings file "+path+": "+name, flag, value)
		}
	}
	return nil
}

// readFile reads a YAML mapping, with its values as they were written.
func readFile(path string) (map[string]yaml.Node, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, usage("the settings file %s cannot be read: %v", path, reason(err))
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, configFileBytesMax+1))
	if err != nil {
		return nil, usage("the settings file %s cannot be read: %v", path, reason(err))
	}
	if len(text) > configFileBytesMax {
		return nil, usage("the settings file %s is larger than %d bytes", path, configFileBytesMax)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	values := make(map[string]yaml.Node)
	if err := decoder.Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return nil, usage("the settings file %s is no YAML mapping: %s", path, strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, usage("the settings file %s holds more than one YAML document", path)
	}
	return values, nil
}

// scalarText is the text of a value, or of a list with commas between: the form
// in which flags take it.
func scalarText(node *yaml.Node) (string, error) {
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Tag == "!!null" {
			return "", errors.New("no value")
		}
		return node.Value, nil
	case yaml.SequenceNode:
		items := make([]string, 0, len(node.Content))
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return "", errors.New("a list of something other than plain values")
			}
			items = append(items, item.Value)
		}
		return strings.Join(items, ","), nil
	default:
		return "", errors.New("something other than a plain value or a list of them")
	}
}

// reason is the cause of a failed file operation, without the path that the
// sentence around it names already.
func reason(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}
