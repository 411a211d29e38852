package tls_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
	"github.com/tierd/tierd/test/objectstore"
	"github.com/tierd/tierd/test/pki"
)

// secureRedis is a Redis with TLS for clients with a certificate, in which tierd is a user with a password.
type secureRedis struct {
	*cluster.Redis
	port int
}

const firstPassword, secondPassword = "the-first-secret", "the-second-secret"

func startRedis(t *testing.T, authority *pki.Authority) *secureRedis {
	t.Helper()
	own := authority.Server("redis")
	port := cluster.FreePort(t)
	return &secureRedis{port: port, Redis: cluster.StartRedis(t, cluster.RedisOptions{Config: []string{
		"--tls-port", fmt.Sprint(port), "--tls-cert-file", own.Cert, "--tls-key-file", own.Key, "--tls-ca-cert-file", authority.File(),
		"--tls-auth-clients", "yes", "--user", "tierd", "on", ">" + firstPassword, "~*", "&*", "+@all",
	}})}
}

func (r *secureRedis) url() string { return fmt.Sprintf("rediss://tierd@localhost:%d", r.port) }

// TestRedisWithTLS: a frontend, and the tools beside it, reach Redis by TLS, with a certificate and a password that are in
// files; both can be exchanged; and neither log nor shard map ever holds the password.
func TestRedisWithTLS(t *testing.T) {
	t.Parallel()
	authority := pki.New(t, t.TempDir(), "authority")
	first, second := startRedis(t, authority), startRedis(t, authority)
	own := authority.Client("tierd")
	password := filepath.Join(t.TempDir(), "password")
	pki.Write(t, password, []byte(firstPassword+"\n"))
	access := []string{"--hot-tier-ca-file", authority.File(), "--hot-tier-cert-file", own.Cert, "--hot-tier-key-file", own.Key, "--hot-tier-password-file", password}
	c := cluster.Start(t, cluster.Options{Frontends: 1, HotTier: []string{first.url()}, Args: append([]string{"--balance=false"}, access...)})
	client := c.Client()
	mustPut(t, client, "a")
	if users := first.Client().Do(t.Context(), "CLIENT", "LIST").String(); !strings.Contains(users, "user=tierd") || !strings.Contains(users, "name=tierd") {
		t.Errorf("the frontend is not known to Redis as tierd: %s", users)
	}

	tool := func(arguments ...string) string {
		t.Helper()
		out, err := c.Tool(t.Context(), nil, append(arguments, access...)...)
		if err != nil {
			t.Errorf("%v", err)
		}
		return string(out)
	}
	tool("shard", "add", second.url())
	tool("shard", "split", "m")
	tool("shard", "move", "m", "", "--endpoint", "1")
	mustPut(t, client, "z")
	if list := tool("shard", "list"); !strings.Contains(list, fmt.Sprintf("rediss://localhost:%d", second.port)) {
		t.Errorf("the list of shards does not name the second Redis:\n%s", list)
	}
	if second.Client().DBSize(t.Context()).Val() == 0 {
		t.Error("the second Redis holds nothing")
	}
	_, err := c.Tool(t.Context(), nil, "shard", "list")
	if failure := (*cluster.ToolError)(nil); !errors.As(err, &failure) {
		t.Errorf("a tool without certificate and password: got %v", err)
	}

	// A new certificate, a new password, and no connection that knows the old ones.
	authority.Client("tierd")
	for _, r := range []*secureRedis{first, second} {
		admin := r.Client()
		if err := admin.Do(t.Context(), "ACL", "SETUSER", "tierd", "resetpass", ">"+secondPassword).Err(); err != nil {
			t.Fatal(err)
		}
		pki.Write(t, password, []byte(secondPassword))
		if err := admin.ClientKillByFilter(t.Context(), "USER", "tierd").Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"b", "y"} {
		mustPut(t, client, key)
	}
	c.Frontends[0].Stop()
	text := c.Frontends[0].Log() + text(t, first.Redis, "rediss://tierd@localhost")
	for _, secret := range []string{firstPassword, secondPassword} {
		if strings.Contains(text, secret) {
			t.Errorf("the log or the shard map holds %q", secret)
		}
	}
}

// mustPut writes a key, however long Redis takes to be back.
func mustPut(t *testing.T, client *clientv3.Client, key string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if _, err := client.Put(ctx, key, "v"); err != nil {
		t.Errorf("put %s: %v", key, err)
	}
}

// TestWrongRedis: a frontend does not speak with a Redis that it cannot verify.
func TestWrongRedis(t *testing.T) {
	t.Parallel()
	authority := pki.New(t, t.TempDir(), "authority")
	r := startRedis(t, authority)
	own := authority.Client("tierd")
	for want, args := range map[string][]string{
		"certificate signed by unknown authority": {"--hot-tier-cert-file", own.Cert, "--hot-tier-key-file", own.Key},
		"is valid for localhost, not db.example":  {"--hot-tier-ca-file", authority.File(), "--hot-tier-cert-file", own.Cert, "--hot-tier-key-file", own.Key, "--hot-tier-server-name", "db.example"},
		"certificate required":                    {"--hot-tier-ca-file", authority.File()},
	} {
		_, err := tool(t, append([]string{"shard", "list", "--hot-tier", r.url()}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", args, err, want)
		}
	}
}

// tool runs a command of tierd that belongs to no cluster.
func tool(t *testing.T, arguments ...string) ([]byte, error) {
	t.Helper()
	return cluster.RunTool(t.Context(), cluster.Binary(t, false), nil, arguments...)
}

// TestStoreWithTLS: the archive is written to, and read from, a store behind a certificate that only AWS_CA_BUNDLE makes
// trusted.
func TestStoreWithTLS(t *testing.T) {
	t.Parallel()
	authority := pki.New(t, t.TempDir(), "authority")
	store := objectstore.StartTLS(t, authority)
	env := append(objectstore.Env(), "AWS_CA_BUNDLE="+authority.File())
	at := []string{"--object-tier", store.URL("p")}
	f := cluster.StartFrontend(t, cluster.FrontendOptions{Args: at, Env: env})
	mustPut(t, f.Client(), "k")
	list := append([]string{"backup", "list", "--data-dir", f.DataDir()}, at...)
	cluster.Await(t, bound, "a backup that is listed", func() error {
		_, err := cluster.RunTool(t.Context(), cluster.Binary(t, false), env, list...)
		return err
	})
	_, err := cluster.RunTool(t.Context(), cluster.Binary(t, false), objectstore.Env(), list...)
	if err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("without AWS_CA_BUNDLE: got %v", err)
	}
	if log := f.Log(); strings.Contains(log, "cannot be opened") {
		t.Error("the frontend did not reach the store at once")
	}
}
