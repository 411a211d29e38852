//go:build e2e

package kubernetes_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tierd/tierd/test/cluster"
)

const storeReadyBound = 60 * time.Second

// store is what the control plane keeps its state in: a process that can be
// killed and started again on its data.
type store interface {
	Endpoint() string
	// Access is how the API server gets in.
	Access() []string
	// Admin is how the test does, with all rights; nil without TLS.
	Admin() *tls.Config
	Kill()
	Restart()
	Running() bool
	Log() string
}

// startStore starts tierd as a user does, with a redis-server of its own, or etcd. A secured one is
// reached by TLS on both sides only, and asks who it is: the API server's user has no more rights than it needs.
func startStore(t *testing.T, secured bool) store {
	t.Helper()
	// Its own certificates, for real etcd likewise.
	var files accessFiles
	if secured {
		files = newAccess(t)
	}
	var s store
	if os.Getenv("ENDPOINT_KIND") == "etcd" {
		s = startEtcd(t, files)
	} else {
		f := cluster.StartFrontend(t, cluster.FrontendOptions{TLS: files.admin, Args: files.serverArguments()})
		s = &tierdStore{f, files}
	}
	if secured {
		files.setUp(t, s.Endpoint())
	}
	return s
}

// tierdStore is a frontend.
type tierdStore struct {
	*cluster.Frontend
	files accessFiles
}

func (s *tierdStore) Access() []string   { return s.files.clientArguments() }
func (s *tierdStore) Admin() *tls.Config { return s.files.admin }

// etcdStore is real etcd as a process, so that it can be killed like tierd.
type etcdStore struct {
	*cluster.Process
	t     *testing.T
	port  int
	files accessFiles
}

func (e *etcdStore) Access() []string   { return e.files.clientArguments() }
func (e *etcdStore) Admin() *tls.Config { return e.files.admin }

func startEtcd(t *testing.T, files accessFiles) *etcdStore {
	t.Helper()
	dir := cluster.Folder(t)
	binary := filepath.Join(dir, "etcd")
	if output, err := exec.Command("go", "build", "-o", binary, "go.etcd.io/etcd/server/v3").CombinedOutput(); err != nil {
		t.Fatalf("build etcd: %v\n%s", err, output)
	}
	ports := cluster.FreePorts(t, 2)
	e := &etcdStore{t: t, port: ports[0], files: files}
	peer := fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	e.Process = cluster.NewProcess(t, cluster.Command{
		Name: "etcd",
		Path: binary,
		Args: append([]string{
			"--data-dir", filepath.Join(dir, "data"),
			"--listen-client-urls", e.Endpoint(), "--advertise-client-urls", e.Endpoint(),
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", "default=" + peer,
		}, files.serverArguments()...),
		LogDir: dir,
	})
	e.Restart()
	return e
}

// Endpoint is the client URL.
func (e *etcdStore) Endpoint() string {
	if e.files.admin != nil {
		return fmt.Sprintf("https://127.0.0.1:%d", e.port)
	}
	return fmt.Sprintf("http://127.0.0.1:%d", e.port)
}

// Restart starts the ended etcd again and waits until it answers.
func (e *etcdStore) Restart() {
	e.t.Helper()
	e.Start()
	client := cluster.DialTLS(e.t, e.files.admin, e.Endpoint())
	ctx, cancel := context.WithTimeout(context.Background(), storeReadyBound)
	defer cancel()
	if _, err := client.Get(ctx, "health"); err != nil {
		e.t.Fatalf("etcd does not answer: %v\n%s", err, e.Log())
	}
}
