package hot

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// versionTimeout bounds how long a program may take to tell its version.
const versionTimeout = 10 * time.Second

// howToInstall ends the sentences about a missing or old server.
const howToInstall = "install Redis 7 or newer (Debian and Ubuntu: apt-get install redis-server; macOS: brew install redis) or Valkey 8 or newer"

// findBinary looks up the program of a private server and checks its version.
func findBinary(ctx context.Context, wanted string) (string, error) {
	candidates := []string{"redis-server", "valkey-server"}
	if wanted != "" {
		candidates = []string{wanted}
	}
	var refused error
	for _, name := range candidates {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		// The server runs in its own directory.
		if path, err = filepath.Abs(path); err != nil {
			return "", fmt.Errorf("find %s: %w", name, err)
		}
		if err := checkBinary(ctx, path); err != nil {
			refused = err
			continue
		}
		return path, nil
	}
	if refused != nil {
		return "", refused
	}
	return "", unfit("no %s was found on this machine: %s.", strings.Join(candidates, " or "), howToInstall)
}

// checkBinary refuses a program that is too old, or is something else.
func checkBinary(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	output, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return unfit("%s does not tell its version (%v): %s.", path, err, howToInstall)
	}
	server, major, ok := parseVersion(string(output))
	if !ok {
		return unfit("%s is not a Redis or Valkey server: %s.", path, howToInstall)
	}
	if (server == "Redis" && major < redisVersionMin) || (server == "Valkey" && major < valkeyVersionMin) {
		return unfit("%s is %s %d, which is too old: %s.", path, server, major, howToInstall)
	}
	return nil
}

// parseVersion reads a line such as "Redis server v=7.0.15 sha=...".
func parseVersion(output string) (server string, major int, ok bool) {
	match := regexp.MustCompile(`^(Redis|Valkey) server v=(\d+)\.`).FindStringSubmatch(output)
	if match == nil {
		return "", 0, false
	}
	major, err := strconv.Atoi(match[2])
	return match[1], major, err == nil
}
