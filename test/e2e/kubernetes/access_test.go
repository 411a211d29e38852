//go:build e2e

package kubernetes_test

import (
	"context"
	"crypto/tls"
	"errors"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/pki"
)

// accessFiles are the certificates of a secured store; the zero value is for an open one.
type accessFiles struct {
	authority string
	server    pki.Pair
	apiServer pki.Pair
	// admin is how the test itself gets in, as root.
	admin *tls.Config
}

func newAccess(t *testing.T) accessFiles {
	t.Helper()
	authority := pki.New(t, cluster.Folder(t), "authority")
	return accessFiles{
		authority: authority.File(), server: authority.Server("server"), apiServer: authority.Client("kube-apiserver"),
		admin: authority.TLS(authority.Client("root")),
	}
}

// serverArguments are those of etcd and of tierd.
func (a accessFiles) serverArguments() []string {
	if a.admin == nil {
		return nil
	}
	return []string{"--cert-file", a.server.Cert, "--key-file", a.server.Key, "--trusted-ca-file", a.authority, "--client-cert-auth"}
}

// clientArguments are those of kube-apiserver.
func (a accessFiles) clientArguments() []string {
	if a.admin == nil {
		return nil
	}
	return []string{"--etcd-cafile=" + a.authority, "--etcd-certfile=" + a.apiServer.Cert, "--etcd-keyfile=" + a.apiServer.Key}
}

// setUp makes the users, who are known by the names in their certificates and have no password, and turns
// authentication on.
func (a accessFiles) setUp(t *testing.T, endpoint string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := cluster.DialTLS(t, a.admin, endpoint)
	noPassword := &clientv3.UserAddOptions{NoPassword: true}
	readWrite := clientv3.PermissionType(clientv3.PermReadWrite)
	_, err := client.UserAddWithOptions(ctx, "root", "", noPassword)
	errs := []error{err}
	add := func(err error) { errs = append(errs, err) }
	_, err = client.RoleAdd(ctx, "root")
	add(err)
	_, err = client.UserGrantRole(ctx, "root", "root")
	add(err)
	_, err = client.UserAddWithOptions(ctx, "kube-apiserver", "", noPassword)
	add(err)
	_, err = client.RoleAdd(ctx, "kubernetes")
	add(err)
	_, err = client.RoleGrantPermission(ctx, "kubernetes", "/registry/", clientv3.GetPrefixRangeEnd("/registry/"), readWrite)
	add(err)
	_, err = client.RoleGrantPermission(ctx, "kubernetes", "compact_rev_key", "", readWrite)
	add(err)
	_, err = client.UserGrantRole(ctx, "kube-apiserver", "kubernetes")
	add(err)
	_, err = client.AuthEnable(ctx)
	add(err)
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("set up the users: %v", err)
	}
}
