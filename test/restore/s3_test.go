package restore

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/objectstore"
)

// TestS3: from a bucket, with a settings file for all, everything is as from a folder; what a bucket does not have is
// said in one sentence.
func TestS3(t *testing.T) {
	t.Parallel()
	server := objectstore.Start(t)
	url := server.URL("some/where")
	f := cluster.StartFrontend(t, cluster.FrontendOptions{Env: objectstore.Env(), Args: []string{"--object-tier", url}})
	for i := range 50 {
		if _, err := f.Client().Put(t.Context(), fmt.Sprint("key/", i%5), fmt.Sprint("value ", i)); err != nil {
			t.Fatal(err)
		}
	}
	f.Stop()
	scratch := cluster.StartRedis(t, cluster.RedisOptions{})
	settings := filepath.Join(t.TempDir(), "tierd.yaml")
	text := fmt.Sprintf("data-dir: %s\nobject-tier: %s\n", f.DataDir(), url)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		command, want string
		code          int
	}{
		{"backup status", "up to revision 51", 0},
		{"backup verify --restore", "OK: restored at revision 51 with 5 keys", 0},
		{"backup verify --restore --scratch-hot-tier " + scratch.URL(), "OK: restored at revision 51 with 5 keys", 0},
		{"history key/3 --since 50", "value 48", 0},
		{"get key/3 --at 10", "value 8", 0},
		{"diff --from 46", "5 keys different", 0},
		{"restore --to-keyspace other --verify", "equal to the archive's", 0},
		{"branch --from default@20 twenty --verify", "equal to the archive's", 0},
		{"backup rotate-key", "under the master key file:", 0},
		{"backup prune --keep-age 1h", "Would remove 0 objects", 0},
		{"get key/3 --from " + server.URL("elsewhere"), "there is no archive at s3://", 2},
	} {
		cmd := exec.CommandContext(t.Context(), cluster.Binary(t, false), append(strings.Fields(c.command), "--config-file", settings)...)
		cmd.Env = append(os.Environ(), objectstore.Env()...)
		output, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(output), c.want) {
			t.Errorf("tierd %s: code %d\n%s\nwant %d: %s", c.command, code, output, c.code, c.want)
		}
	}
}
