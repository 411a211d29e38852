package hot_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tierd/tierd/test/pki"
	"github.com/tierd/tierd/tiers/hot"
)

// secureRedis is a Redis that serves TLS only, wants certificates of clients, and knows one user.
type secureRedis struct {
	authority *pki.Authority
	port      string
	password  string
}

func startSecureRedis(t *testing.T, more ...string) *secureRedis {
	t.Helper()
	s := &secureRedis{authority: pki.New(t, t.TempDir(), "authority"), port: freePort(t), password: filepath.Join(t.TempDir(), "password")}
	own := s.authority.Issue(pki.Subject{File: "redis", CommonName: "redis", Hosts: []string{"localhost", "redis.example"}})
	runRedis(t, "", append([]string{"--port", "0", "--tls-port", s.port, "--bind", "127.0.0.1",
		"--tls-cert-file", own.Cert, "--tls-key-file", own.Key, "--tls-ca-cert-file", s.authority.File(), "--tls-auth-clients", "yes",
		"--appendonly", "yes", "--appendfsync", "always", "--user", "tierd", "on", ">first", "~*", "&*", "+@all", "--user", "default", "off"}, more...)...)
	listens(t, s.port)
	return s
}

func listens(t *testing.T, port string) {
	t.Helper()
	eventually(t, "a server on "+port, func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close() // it only asked whether somebody is there
		}
		return err == nil
	})
}

// access is what reaches it. What it calls may not end the test: the driver calls it, in goroutines of its own.
func (s *secureRedis) access() hot.Access {
	config := s.authority.TLS(s.authority.Client("tierd"))
	return hot.Access{
		TLS: func() *tls.Config { return config.Clone() },
		Password: func() (string, error) {
			content, err := os.ReadFile(s.password)
			return string(content), err
		},
	}
}

// reach asks the server at a URL whether it is fit, over new connections.
func reach(t *testing.T, url string, access hot.Access) error {
	t.Helper()
	endpoint, err := hot.ParseEndpoint(url)
	if err == nil {
		endpoint, err = endpoint.With(access)
	}
	if err != nil {
		return err
	}
	client := endpoint.NewClient()
	defer client.Close()
	_, err = hot.Check(t.Context(), client)
	return err
}

func TestAccess(t *testing.T) {
	t.Parallel()
	s := startSecureRedis(t)
	pki.Write(t, s.password, []byte("first"))
	good, stranger, foreign := s.access(), s.authority.TLS(pki.Pair{}), pki.New(t, t.TempDir(), "other").TLS(pki.Pair{})
	for name, c := range map[string]struct {
		host   string
		change func(*hot.Access)
		want   string
	}{
		"good":                     {"tierd@localhost", func(*hot.Access) {}, ""},
		"password of the URL":      {"tierd:first@localhost", func(a *hot.Access) { a.Password = nil }, ""},
		"the URL has the word":     {"tierd:wrong@localhost", func(*hot.Access) {}, "does not accept the user and password"},
		"another user":             {"nobody@localhost", func(*hot.Access) {}, "does not accept the user and password"},
		"no password":              {"tierd@localhost", func(a *hot.Access) { a.Password = nil }, "does not accept the user and password"},
		"another name":             {"tierd@127.0.0.1", func(*hot.Access) {}, "cannot validate certificate for 127.0.0.1"},
		"the name that is said":    {"tierd@127.0.0.1", func(a *hot.Access) { a.ServerName = "redis.example" }, ""},
		"the system's authorities": {"tierd@localhost", func(a *hot.Access) { a.TLS = nil }, "certificate signed by unknown authority"},
		"no certificate":           {"tierd@localhost", func(a *hot.Access) { a.TLS = func() *tls.Config { return stranger.Clone() } }, "certificate required"},
		"another authority": {"tierd@localhost", func(a *hot.Access) {
			a.TLS = func() *tls.Config { return foreign.Clone() }
		}, "certificate signed by unknown authority"},
		"1.3 only": {"tierd@localhost", func(a *hot.Access) {
			a.TLS = func() *tls.Config { c := good.TLS(); c.MinVersion = tls.VersionTLS13; return c }
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			access := good
			c.change(&access)
			err := reach(t, fmt.Sprintf("rediss://%s:%s", c.host, s.port), access)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), "first") || strings.Contains(err.Error(), "wrong")) {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

// A password that is changed counts for the next connection; those that are open stay.
func TestPasswordIsReadForEachConnection(t *testing.T) {
	t.Parallel()
	s := startSecureRedis(t)
	url := "rediss://tierd@localhost:" + s.port
	if err := reach(t, url, s.access()); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("without the file: got %v", err)
	}
	pki.Write(t, s.password, []byte("first"))
	endpoint, err := hot.ParseEndpoint(url)
	if err != nil {
		t.Fatal(err)
	}
	if endpoint, err = endpoint.With(s.access()); err != nil {
		t.Fatal(err)
	}
	open := endpoint.NewClient()
	defer open.Close()
	if err := open.Do(t.Context(), "ACL", "SETUSER", "tierd", ">second").Err(); err != nil {
		t.Fatal(err)
	}
	pki.Write(t, s.password, []byte("second"))
	if err := open.Do(t.Context(), "ACL", "SETUSER", "tierd", "<first").Err(); err != nil {
		t.Fatal(err)
	}
	if err := reach(t, url, s.access()); err != nil {
		t.Errorf("with the new password: %v", err)
	}
	if err := open.Ping(t.Context()).Err(); err != nil {
		t.Errorf("an open connection: %v", err)
	}
}

// The nodes of a cluster say their addresses in numbers; the name in the URL is what their certificates are for.
func TestAccessToACluster(t *testing.T) {
	t.Parallel()
	s := startSecureRedis(t, "--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-announce-ip", "127.0.0.1")
	pki.Write(t, s.password, []byte("first"))
	single, err := hot.ParseEndpoint("rediss://tierd@localhost:" + s.port)
	if err != nil {
		t.Fatal(err)
	}
	if single, err = single.With(s.access()); err != nil {
		t.Fatal(err)
	}
	node := single.NewClient()
	defer node.Close()
	if err := node.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", "0", "16383").Err(); err != nil {
		t.Fatal(err)
	}
	cluster, err := hot.ParseEndpoint("rediss+cluster://tierd@localhost:" + s.port)
	if err != nil {
		t.Fatal(err)
	}
	if cluster, err = cluster.With(s.access()); err != nil {
		t.Fatal(err)
	}
	client := cluster.NewClient()
	defer client.Close()
	eventually(t, "a cluster that writes", func() bool { return client.Set(t.Context(), "{K:seq}", "v", 0).Err() == nil })
	if _, ok := client.(*redis.ClusterClient); !ok {
		t.Errorf("got %T", client)
	}
	if _, err := hot.Check(t.Context(), client); err != nil {
		t.Error(err)
	}
}

// Sentinels and the servers that they watch are reached alike, with one password where both want one.
func TestAccessThroughSentinel(t *testing.T) {
	t.Parallel()
	s := startSecureRedis(t)
	pki.Write(t, s.password, []byte("first"))
	own := s.authority.Issue(pki.Subject{File: "sentinel", CommonName: "sentinel", Hosts: []string{"localhost", "127.0.0.1"}})
	port := freePort(t)
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port 0\ntls-port %s\nbind 127.0.0.1\ntls-replication yes\ntls-cert-file %s\ntls-key-file %s\ntls-ca-cert-file %s\n"+
		"user default off\nuser guest on >first allchannels +@all\n"+
		"sentinel monitor main 127.0.0.1 %s 1\nsentinel auth-user main tierd\nsentinel auth-pass main first\n", port, own.Cert, own.Key, s.authority.File(), s.port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "rediss://guest@localhost:" + port + "?master_name=main&username=tierd"
	runRedis(t, "", config, "--sentinel")
	listens(t, port)
	access := s.access()
	access.ServerName = "localhost" // Sentinel says an address in numbers
	if err := reach(t, url, access); err != nil {
		t.Error(err)
	}
}
