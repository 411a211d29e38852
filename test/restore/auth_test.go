package restore

import (
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// Users, their passwords and rights come back with a restore, as they were at its moment: what was revoked before it
// is, what was revoked later is not.
func TestRightsComeBack(t *testing.T) {
	t.Parallel()
	f := cluster.StartFrontend(t, cluster.FrontendOptions{})
	client, ctx := f.Client(), t.Context()
	var errs []error
	add := func(_ any, err error) { errs = append(errs, err) }
	add(client.RoleAdd(ctx, "root"))
	add(client.UserAdd(ctx, "root", "secret"))
	add(client.UserGrantRole(ctx, "root", "root"))
	add(client.RoleAdd(ctx, "reader"))
	add(client.RoleGrantPermission(ctx, "reader", "a/", clientv3.GetPrefixRangeEnd("a/"), clientv3.PermissionType(clientv3.PermRead)))
	add(client.RoleGrantPermission(ctx, "reader", "b", "", clientv3.PermissionType(clientv3.PermRead)))
	add(client.UserAdd(ctx, "alice", "wonderland"))
	add(client.UserGrantRole(ctx, "alice", "reader"))
	add(client.AuthEnable(ctx))
	root := cluster.DialAs(t, "root", "secret", f.Endpoint())
	add(root.RoleRevokePermission(ctx, "reader", "b", ""))
	kept, err := root.Put(ctx, "a/1", "kept")
	add(kept, err)
	status, err := root.AuthStatus(ctx)
	add(status, err)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	// A later revision, before which the rights are as they were.
	if _, err := root.Put(ctx, "a/2", "later"); err != nil {
		t.Fatal(err)
	}
	if _, err := root.UserDelete(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	f.Stop()
	redis := cluster.StartRedis(t, cluster.RedisOptions{})
	for name, arguments := range map[string][]string{
		"then": {"--revision", "2"}, "latest": {},
	} {
		done(t, append([]string{"restore", "--data-dir", f.DataDir(), "--to-keyspace", name, "--to-hot-tier", redis.URL(), "--verify"}, arguments...)...)
	}
	then := cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: redis.URL(), Args: []string{"--keyspace", "then"}})
	if _, err := then.Client().Get(ctx, "a/1"); !errors.Is(err, rpctypes.ErrUserEmpty) {
		t.Errorf("without a login: %v", err)
	}
	alice := cluster.DialAs(t, "alice", "wonderland", then.Endpoint())
	if got, err := alice.Get(ctx, "a/1"); err != nil || len(got.Kvs) != 1 {
		t.Errorf("what alice may read: %v (%v)", got, err)
	}
	if _, err := alice.Get(ctx, "b"); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("what alice might read once: %v", err)
	}
	if got, err := cluster.DialAs(t, "root", "secret", then.Endpoint()).AuthStatus(ctx); err != nil || got.AuthRevision != status.AuthRevision || !got.Enabled {
		t.Errorf("%v (%v), want %v", got, err, status)
	}
	latest := cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: redis.URL(), Args: []string{"--keyspace", "latest"}})
	users, err := cluster.DialAs(t, "root", "secret", latest.Endpoint()).UserList(ctx)
	if err != nil || len(users.Users) != 1 || users.Users[0] != "root" {
		t.Errorf("%v (%v), want root alone", users, err)
	}
}
