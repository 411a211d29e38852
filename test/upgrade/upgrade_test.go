package upgrade_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/upgrade"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what is waited for.
const patience = 60 * time.Second

// writesBetween is how much is written between two frontends' replacements: so much that each version serves, and archives.
const writesBetween = 200

// Frontends are replaced one by one by those of this version while clients work, and one by one by the former ones
// again: no client is told of an error, no watch misses or repeats an event, no lease ends; and the archive that all of
// them wrote in turns is whole, for either version.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	former, present := upgrade.Former(t), cluster.Binary(t, false)
	redis := cluster.StartRedis(t, cluster.RedisOptions{})
	dir := cluster.Folder(t)
	archive := []string{"--object-tier", "file://" + filepath.Join(dir, "archive"), "--archive-key-file", filepath.Join(dir, "archive.key")}
	frontends := make([]*cluster.Frontend, 3)
	var endpoints []string
	for i := range frontends {
		frontends[i] = cluster.StartFrontend(t, cluster.FrontendOptions{Name: fmt.Sprint("frontend-", i), HotTier: redis.URL(), Binary: former, Args: archive})
		endpoints = append(endpoints, frontends[i].Endpoint())
	}
	l := startLoad(t, endpoints)
	for _, binary := range []string{present, former} {
		for _, f := range frontends {
			l.awaitWrites(t)
			f.Exchange(binary)
			f.Stop()
			f.Restart()
			if running, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", f.PID())); err == nil && running != binary {
				t.Fatalf("%s runs, not %s", running, binary)
			}
		}
	}
	l.awaitWrites(t)
	l.finish(t)
	for _, f := range frontends {
		f.Stop()
	}
	for _, binary := range []string{present, former} {
		arguments := append([]string{"backup", "verify"}, archive...)
		if output, err := exec.CommandContext(t.Context(), binary, arguments...).CombinedOutput(); err != nil {
			t.Errorf("%s finds the archive not whole: %v\n%s", binary, err, output)
		}
	}
}

// awaitWrites waits until clients have written on.
func (l *load) awaitWrites(t *testing.T) {
	t.Helper()
	until := l.writes.Load() + writesBetween
	cluster.Await(t, patience, "clients write on", func() error {
		if n := l.writes.Load(); n < until {
			return fmt.Errorf("%d writes of %d", n, until)
		}
		return nil
	})
}
