// Command terraform checks what lies in the repository's folder terraform/: every module and
// every live configuration, as a change to it has to pass before it is good.
//
//	go -C scripts/terraform run . check              formatting, init, validate, test, tflint, READMEs, lock files
//	go -C scripts/terraform run . mutations          break each promise by hand, and see a test fail
//	go -C scripts/terraform run . scan               look for insecure settings with trivy
//	go -C scripts/terraform run . lock               record the provider's checksums in the lock files (needs its registry)
//	go -C scripts/terraform run . tools [NAME...]    install the programs that these need, and say where they are
//
// Nothing is written below terraform/, except by lock: everything runs in a copy in a temporary
// folder. No account is reached, and none is needed: the tests mock the provider.
//
// Environment:
//
//	AWS_SCHEMA        a program that lays a schema-only stand-in for the AWS provider into a folder and
//	                  prints the setting to use it; used where the real provider cannot be
//	                  downloaded (default ../shared/tools/aws-schema/use.sh beside the repository)
//	TIERD_TEST_CACHE  where programs and providers are kept (default: the user's cache folder)
//	ONLY              check only folders whose path matches this expression
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
)

// settings are what a command needs to know of where it runs.
type settings struct {
	// root is the repository.
	root string
	// cache is where programs and providers are kept.
	cache string
	// schema is the program that lays the stand-in of the provider.
	schema string
	// only selects folders.
	only *regexp.Regexp
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "terraform checks:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	at, err := environment()
	if err != nil {
		return err
	}
	if len(arguments) == 0 {
		arguments = []string{"check"}
	}
	switch command, rest := arguments[0], arguments[1:]; command {
	case "check":
		return check(ctx, at)
	case "mutations":
		return mutate(ctx, at)
	case "scan":
		return scan(ctx, at)
	case "lock":
		return lock(ctx, at)
	case "tools":
		return installAll(ctx, at, rest)
	default:
		return fmt.Errorf("unknown command %q: see the package's documentation", command)
	}
}

// environment reads the settings. The repository is two folders up: `go -C` runs a program in
// the folder of its module.
func environment() (settings, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return settings{}, fmt.Errorf("find the repository: %w", err)
	}
	if _, err := os.Stat(filepath.Join(root, "terraform")); err != nil {
		return settings{}, fmt.Errorf("run this with go -C scripts/terraform run . : %w", err)
	}
	cache := os.Getenv("TIERD_TEST_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return settings{}, fmt.Errorf("find the cache folder: %w", err)
		}
		cache = filepath.Join(user, "tierd")
	}
	schema := os.Getenv("AWS_SCHEMA")
	if schema == "" {
		schema = filepath.Join(root, "../shared/tools/aws-schema/use.sh")
	}
	only, err := regexp.Compile(os.Getenv("ONLY"))
	if err != nil {
		return settings{}, fmt.Errorf("read ONLY: %w", err)
	}
	return settings{root: root, cache: cache, schema: schema, only: only}, nil
}

// folders are the modules and live configurations below a repository, as paths from it.
func (s settings) folders() ([]string, error) {
	var found []string
	for _, pattern := range []string{"terraform/modules/*/*.tf", "terraform/live/*/*.tf"} {
		files, err := filepath.Glob(filepath.Join(s.root, pattern))
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", pattern, err)
		}
		for _, file := range files {
			folder, err := filepath.Rel(s.root, filepath.Dir(file))
			if err != nil {
				return nil, fmt.Errorf("name %s: %w", file, err)
			}
			if folder = filepath.ToSlash(folder); s.only.MatchString(folder) && !slices.Contains(found, folder) {
				found = append(found, folder)
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no module and no live configuration matches %q", s.only)
	}
	return found, nil
}
