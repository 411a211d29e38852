package migrate

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// A source that asks for a login is imported with its users, or without them if that is wanted.
func TestLiveImportOfUsers(t *testing.T) {
	t.Parallel()
	etcd, _, _ := source(t, 10)
	ctx := t.Context()
	_, err1 := etcd.RoleAdd(ctx, "root")
	_, err2 := etcd.UserAdd(ctx, "root", "secret")
	_, err3 := etcd.UserGrantRole(ctx, "root", "root")
	_, err4 := etcd.AuthEnable(ctx)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	status, err := cluster.DialAs(t, "root", "secret", etcd.Endpoints()...).AuthStatus(ctx)
	if err != nil {
		t.Fatal(err)
	}
	redis := cluster.StartRedis(t, cluster.RedisOptions{})
	arguments := []string{"import", "--endpoints", etcd.Endpoints()[0], "--hot-tier", redis.URL()}
	if _, errOut, code := tierd(t, arguments...); code == 0 || !strings.Contains(errOut, "user name is empty") {
		t.Errorf("without a login: code %d\n%s", code, errOut)
	}
	arguments = append(arguments, "--user", "root:secret")
	if r := done(t, append(arguments, "--keyspace", "with")...); !r.Equal || len(r.Notes) != 0 {
		t.Errorf("%+v", r)
	}
	withUsers := cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: redis.URL(), Args: []string{"--keyspace", "with"}})
	guarded(t, withUsers.Endpoint(), status.AuthRevision)
	// And back to an etcd.
	path := filepath.Join(cluster.Folder(t), "export.db")
	done(t, "export", path, "--hot-tier", redis.URL(), "--keyspace", "with")
	guarded(t, restore(t, path).Endpoints()[0], status.AuthRevision)
	if r := done(t, append(arguments, "--without-auth")...); !r.Equal || len(r.Notes) != 2 {
		t.Errorf("%+v", r)
	}
	served := serve(t, redis.URL())
	if got, err := served.Get(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithCountOnly()); err != nil || got.Count == 0 {
		t.Errorf("%v (%v)", got, err)
	}
}

// guarded fails unless a server asks for the login of the source.
func guarded(t *testing.T, endpoint string, authRevision uint64) {
	t.Helper()
	if _, err := cluster.Dial(t, endpoint).Get(t.Context(), "key"); !errors.Is(err, rpctypes.ErrUserEmpty) {
		t.Errorf("without a login: %v", err)
	}
	root := cluster.DialAs(t, "root", "secret", endpoint)
	if got, err := root.Get(t.Context(), "\x00", clientv3.WithFromKey(), clientv3.WithCountOnly()); err != nil || got.Count == 0 {
		t.Errorf("%v (%v)", got, err)
	}
	if got, err := root.AuthStatus(t.Context()); err != nil || !got.Enabled || got.AuthRevision != authRevision {
		t.Errorf("%v (%v), want auth revision %d", got, err, authRevision)
	}
}

// An import to the private Redis of a data directory is what tierd serve serves from there.
func TestImportToLocalHotTier(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("there is no redis-server")
	}
	etcd, load, compacted := source(t, 11)
	dir := cluster.Folder(t)
	r := done(t, "import", save(t, etcd.Endpoints()[0]), "--data-dir", dir)
	if !r.Equal {
		t.Errorf("%+v", r)
	}
	served := cluster.StartFrontend(t, cluster.FrontendOptions{DataDir: dir}).Client()
	same(t, etcd, served, compacted, load.Revision)
}
