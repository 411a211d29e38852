//go:build e2e

package packages_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/packages"
)

// run runs a program to its end, and returns what it printed.
func run(t *testing.T, dir string, env []string, name string, arguments ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, arguments...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), env...), &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, arguments, err, out.String(), errOut.String())
	}
	return out.String()
}

// The image is one for both processors that a registry takes and gives back whole, under the digest that
// the build has printed.
func TestImageInARegistry(t *testing.T) {
	t.Parallel()
	crane, err := packages.Crane().Path()
	if err != nil {
		t.Fatal(err)
	}
	root, err := cluster.RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	layout := filepath.Join(cluster.Folder(t), "image")
	printed := run(t, root, []string{"SOURCE_DATE_EPOCH=1700000000"}, "go", "run", "./scripts/image", "--version", "1.2.3", "--output", layout)
	digest := regexp.MustCompile(`sha256:[0-9a-f]{64}`).FindString(printed)
	address := cluster.Folder(t)
	registry := cluster.NewProcess(t, cluster.Command{Name: "registry", Path: crane, Args: []string{"registry", "serve", "--address", "127.0.0.1:0"}, LogDir: address})
	registry.Start()
	var image string
	cluster.Await(t, patience, "the registry", func() error {
		match := regexp.MustCompile(`serving on port (\d+)`).FindStringSubmatch(registry.Log())
		if match == nil {
			return os.ErrNotExist
		}
		image = "127.0.0.1:" + match[1] + "/tierd:1.2.3"
		return nil
	})
	if pushed := run(t, root, nil, crane, "push", "--insecure", layout, image); digest == "" || !strings.HasSuffix(strings.TrimSpace(pushed), "@"+digest) {
		t.Errorf("built as %s, pushed as %s", printed, pushed)
	}
	run(t, root, nil, crane, "validate", "--insecure", "--remote", image)
	for _, architecture := range []string{"amd64", "arm64"} {
		var config struct {
			Architecture, Created string
			Config                struct{ User string }
		}
		if err := json.Unmarshal([]byte(run(t, root, nil, crane, "config", "--insecure", "--platform", "linux/"+architecture, image)), &config); err != nil {
			t.Fatal(err)
		}
		if config.Architecture != architecture || config.Created != "2023-11-14T22:13:20Z" || config.Config.User != "65532:65532" {
			t.Errorf("%+v", config)
		}
	}
}
