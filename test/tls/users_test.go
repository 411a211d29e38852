package tls_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"

	"github.com/tierd/tierd/test/cluster"
)

// withUsers switches authentication on: root, and alice, who may read and write keys
// below "a". Neither has a password.
func withUsers(t *testing.T, root *clientv3.Client) {
	t.Helper()
	ctx := t.Context()
	without := &clientv3.UserAddOptions{NoPassword: true}
	for _, do := range []func() error{
		func() error { _, err := root.UserAddWithOptions(ctx, "root", "", without); return err },
		func() error { _, err := root.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := root.UserAddWithOptions(ctx, "alice", "", without); return err },
		func() error { _, err := root.RoleAdd(ctx, "as"); return err },
		func() error {
			_, err := root.RoleGrantPermission(ctx, "as", "a", "b", clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := root.UserGrantRole(ctx, "alice", "as"); return err },
		func() error { _, err := root.AuthEnable(ctx); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUsersOfCertificates: over gRPC the common name of a certificate is its user, for
// watches and locks too. Through the gateway it is nobody's, however that is asked.
func TestUsersOfCertificates(t *testing.T) {
	t.Parallel()
	f := start(t, cluster.FrontendOptions{}, "--client-cert-auth")
	root, alice := f.client(t, "root"), f.client(t, "alice")
	withUsers(t, root)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if _, err := alice.Put(ctx, "a1", "x"); err != nil {
		t.Errorf("a put that alice may do: %v", err)
	}
	if _, err := alice.Put(ctx, "b", "x"); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("a put that she may not: %v", err)
	}
	if _, err := f.client(t, "mallory").Get(ctx, "a1"); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("a read of somebody who is no user: %v", err)
	}
	if _, err := alice.Authenticate(ctx, "alice", ""); err == nil {
		t.Error("a user without a password has authenticated with one")
	}
	lock := v3lockpb.NewLockClient(alice.ActiveConnection())
	held, err := lock.Lock(ctx, &v3lockpb.LockRequest{Name: []byte("a-lock")})
	if err != nil {
		t.Fatalf("a lock that alice may take: %v", err)
	}
	if _, err := lock.Unlock(ctx, &v3lockpb.UnlockRequest{Key: held.Key}); err != nil {
		t.Errorf("its unlock: %v", err)
	}
	if _, err := lock.Lock(ctx, &v3lockpb.LockRequest{Name: []byte("b-lock")}); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("a lock that she may not take: %v", err)
	}
	if first := <-alice.Watch(ctx, "a1", clientv3.WithRev(1)); first.Err() != nil || len(first.Events) != 1 {
		t.Errorf("a watch that she may have: %+v", first)
	}
	if first := <-alice.Watch(ctx, "a1", clientv3.WithFromKey()); first.Err() == nil || !strings.Contains(first.Err().Error(), "permission denied") {
		t.Errorf("a watch that she may not: %+v", first)
	}
	expectNobody(ctx, t, f, f.authority.TLS(f.authority.Client("root")))
}

// expectNobody asks the gateway with a certificate, in all ways.
func expectNobody(ctx context.Context, t *testing.T, f *frontend, config *tls.Config) {
	t.Helper()
	err := exchange(ctx, config, "https://"+f.target.address+"/v3/kv/range", `{"key":"YTE="}`)
	if err == nil || !strings.Contains(err.Error(), "400 Bad Request: CommonName of client") {
		t.Errorf("a read of root through the gateway: %v", err)
	}
	conn, response, err := (&websocket.Dialer{TLSClientConfig: config}).DialContext(ctx, "wss://"+f.target.address+"/v3/watch", nil)
	if err == nil {
		_ = conn.Close() // it should not be there
		t.Fatal("a websocket of root was opened")
	}
	if response == nil || response.StatusCode != http.StatusBadRequest {
		t.Errorf("a watch of root through a websocket: %v, %v", response, err)
	}
}
