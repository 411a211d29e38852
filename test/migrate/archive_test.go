package migrate

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/etcdload"
)

// An export from the archive needs no Redis: it makes an etcd of what the keyspace was at a revision.
func TestExportFromTheArchive(t *testing.T) {
	t.Parallel()
	dir := cluster.Folder(t)
	frontend := cluster.StartFrontend(t, cluster.FrontendOptions{
		HotTier: cluster.StartRedis(t, cluster.RedisOptions{}).URL(), DataDir: dir, Args: []string{"--archive-interval", "100ms"},
	})
	served := frontend.Client()
	load := etcdload.New(served, 13)
	write(t, load, 120)
	compacted, err := load.Compact(t.Context(), 40, clientv3.WithCompactPhysical())
	if err != nil {
		t.Fatal(err)
	}
	write(t, load, 80)
	at := load.Revision
	write(t, load, 40)

	from := []string{"--from", "file://" + filepath.Join(dir, "objects"), "--archive-key-file", filepath.Join(dir, "archive.key")}
	path := filepath.Join(t.TempDir(), "export.db")
	exported := append([]string{"export", path, "--revision", fmt.Sprint(at), "--output", "json"}, from...)
	cluster.Await(t, patience, "the archive to have the revision", func() error {
		_, errOut, code := tierd(t, exported...)
		if code != 0 {
			return fmt.Errorf("code %d: %s", code, errOut)
		}
		return nil
	})
	restored := restore(t, path)
	for revision := compacted + 1; revision <= at; revision++ {
		a, err := served.HashKV(t.Context(), served.Endpoints()[0], revision)
		if err != nil {
			t.Fatal(err)
		}
		b, err := restored.HashKV(t.Context(), restored.Endpoints()[0], revision)
		if err != nil || a.Hash != b.Hash || b.CompactRevision != compacted || b.Header.Revision != at {
			t.Fatalf("revision %d: %v, want %v (%v)", revision, b, a, err)
		}
	}
	for _, moment := range []string{time.Now().Add(time.Hour).Format(time.RFC3339), "yesterday"} {
		arguments := append([]string{"export", path + "2", "--time", moment}, from...)
		if _, errOut, code := tierd(t, arguments...); code != 2 || !strings.Contains(errOut, "time") {
			t.Errorf("at %s: code %d\n%s", moment, code, errOut)
		}
	}
}
