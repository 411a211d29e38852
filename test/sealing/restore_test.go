package sealing

import (
	"fmt"
	"path/filepath"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// TestRestoreSealed: a keyspace is restored from its archive into a Redis that never has a value of it
// plain, under another name, whether its values were sealed before or not.
func TestRestoreSealed(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{true, false} {
		t.Run(fmt.Sprintf("sealed before %v", before), func(t *testing.T) {
			t.Parallel()
			c := cluster.Start(t, cluster.Options{Keyed: true, Sealed: before})
			everything(t, c)
			everything(t, c)
			wanted := hashes(t, c)
			c.Frontends[0].Stop() // which archives what it has
			place := cluster.StartRedis(t, legible())
			_, err := c.Tool(t.Context(), nil, "restore", "--from", "file://"+filepath.Join(c.Frontends[0].DataDir(), "objects"),
				"--to-keyspace", "copy", "--to-hot-tier", place.URL(), "--seal-values", "--verify")
			if err != nil {
				t.Fatal(err)
			}
			f := cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: place.URL(), Args: []string{"--keyspace", "copy", "--archive-key-file", c.KeyFile}})
			restored := &cluster.Cluster{Redis: place, Servers: []*cluster.Redis{place}, Frontends: []*cluster.Frontend{f}, HotTier: []string{place.URL()}}
			readable(t, restored)
			if got := hashes(t, restored); fmt.Sprint(got) != fmt.Sprint(wanted) {
				t.Errorf("the hashes were %d and are %d", wanted, got)
			}
			must[*clientv3.PutResponse](t, "put")(f.Client().Put(t.Context(), "later", value("later", 0)))
			if names := found(t, place); len(names) > 0 {
				t.Errorf("values are in %q", names)
			}
			if k := inRedis(t, restored); k.sealed != k.puts || k.puts < 100 {
				t.Errorf("Redis has %+v", k)
			}
		})
	}
}
