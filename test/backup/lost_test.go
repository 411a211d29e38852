package backup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// putSome writes some keys and gives the last one's revision.
func putSome(t *testing.T, client *clientv3.Client, n int) (revision int64) {
	t.Helper()
	for i := range n {
		put, err := client.Put(t.Context(), fmt.Sprintf("a/%s/%d", keyMark, i), valueMark)
		if err != nil {
			t.Fatal(err)
		}
		revision = put.Header.Revision
	}
	return revision
}

// TestLostTail: Redis comes back without its last writes, and no process remembers them. The archive does, and the
// keyspace is corrupt.
func TestLostTail(t *testing.T) {
	t.Parallel()
	p := folder(t)
	c := cluster.Start(t, cluster.Options{Args: p.args()})
	client := c.Client()
	putSome(t, client, 5)
	tail := c.Redis.TailFile()
	info, err := os.Stat(tail)
	if err != nil {
		t.Fatal(err)
	}
	awaitArchived(t, p.open(t), client, putSome(t, client, 5))
	c.Frontends[0].Kill()
	c.Redis.Kill()
	cluster.CutTail(t, tail, info.Size())
	c.Redis.Restart()
	c.Frontends[0].Start()
	cluster.Await(t, bound, "the keyspace is corrupt", func() error {
		_, err := client.Get(t.Context(), "a")
		if err == nil {
			t.Fatal("a read was answered although acknowledged writes are lost")
		}
		if !errors.Is(err, rpctypes.ErrCorrupt) {
			return err
		}
		return nil
	})
	alarms, err := client.AlarmList(t.Context())
	if err != nil || len(alarms.Alarms) != 1 || alarms.Alarms[0].Alarm != pb.AlarmType_CORRUPT {
		t.Errorf("alarms %v, %v", alarms, err)
	}
}

// TestForgottenKeyspace: over a Redis that has lost everything no empty keyspace is made, unless that is wanted.
func TestForgottenKeyspace(t *testing.T) {
	t.Parallel()
	p := folder(t)
	c := cluster.Start(t, cluster.Options{Args: p.args()})
	client := c.Client()
	awaitArchived(t, p.open(t), client, putSome(t, client, 5))
	c.Frontends[0].Kill()
	destroy(t, c.Redis)
	c.Redis.Restart()
	refused := cluster.NewFrontend(t, cluster.FrontendOptions{Name: "refused", HotTier: c.HotTier[0], Args: p.args()})
	refused.Start()
	const usage = 2
	if code := refused.WaitExit(bound); code != usage || !strings.Contains(refused.Log(), "tierd restore") {
		t.Fatalf("it ended with code %d:\n%s", code, refused.Log())
	}
	forced := cluster.StartFrontend(t, cluster.FrontendOptions{Name: "forced", HotTier: c.HotTier[0], Args: p.args("--force-new-keyspace")})
	all, err := forced.Client().Get(t.Context(), "", clientv3.WithPrefix())
	if err != nil || len(all.Kvs) != 0 || all.Header.Revision != 1 {
		t.Errorf("the new keyspace: %v, %v", all, err)
	}
}

// destroy kills a Redis and removes all it has stored.
func destroy(t *testing.T, r *cluster.Redis) {
	t.Helper()
	r.Kill()
	files, err := filepath.Glob(filepath.Join(r.Dir(), "appendonlydir", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the files of Redis: %v, %v", files, err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}
