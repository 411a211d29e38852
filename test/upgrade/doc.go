// Package upgrade replaces the frontends of a keyspace, one after the other, by those of another version while
// clients work through all of them, and asks that none of them is told of an error; and then back.
//
// The other version is built from the repository's own history, and kept in the cache folder. Where there is no history
// that far back, as in a shallow clone, the test says so and is skipped.
//
// Environment:
//
//	TIERD_TEST_FORMER  the commit to upgrade from (default: the constant former)
//	TIERD_TEST_CACHE   where what was built is kept (default: the user's cache folder)
package upgrade

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tierd/tierd/test/cluster"
)

// former is the commit that an upgrade to the present one, and back, is promised for: the last before the
// deployments of terraform/ and deploy/helm.
const former = "16b5a5a"

// errNoHistory says that the repository has no such commit.
var errNoHistory = errors.New("the repository's history does not go back that far")

// Former returns a tierd of the former version, built if it is not in the cache yet.
func Former(tb testing.TB) string {
	tb.Helper()
	path, err := buildFormer(tb)
	if errors.Is(err, errNoHistory) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatalf("build the former version: %v", err)
	}
	return path
}

func buildFormer(tb testing.TB) (string, error) {
	tb.Helper()
	root, err := cluster.RepositoryRoot()
	if err != nil {
		return "", err
	}
	resolve := exec.Command("git", "rev-parse", "--verify", "--quiet", cmp.Or(os.Getenv("TIERD_TEST_FORMER"), former)+"^{commit}")
	resolve.Dir = root
	commit, err := resolve.Output()
	if err != nil {
		return "", errNoHistory
	}
	cache := os.Getenv("TIERD_TEST_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder: %w", err)
		}
		cache = filepath.Join(user, "tierd")
	}
	dir := filepath.Join(cache, "tierd-"+string(commit[:12]))
	path := filepath.Join(dir, "tierd")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	// Renamed into place, so that who builds at the same time puts the same there.
	source, partial := tb.TempDir(), fmt.Sprintf("%s.%d", path, os.Getpid())
	build := exec.Command("sh", "-ec", `git archive "$0" | tar --extract --directory "$1"; cd "$1"; go build -buildvcs=false -trimpath -ldflags "-X main.version=former" -o "$2" ./cmd/tierd; mv "$2" "$3"`, string(commit[:12]), source, partial, path)
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", commit[:12], err, output)
	}
	return path, nil
}
