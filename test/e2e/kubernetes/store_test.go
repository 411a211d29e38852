//go:build e2e

package kubernetes_test

import (
	"context"
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
	Kill()
	Restart()
	Running() bool
	Log() string
}

// startStore starts tierd as a user does, with a redis-server of its own, or etcd.
func startStore(t *testing.T) store {
	t.Helper()
	if os.Getenv("ENDPOINT_KIND") == "etcd" {
		return startEtcd(t)
	}
	return cluster.StartFrontend(t, cluster.FrontendOptions{})
}

// etcdStore is real etcd as a process, so that it can be killed like tierd.
type etcdStore struct {
	*cluster.Process
	t    *testing.T
	port int
}

func startEtcd(t *testing.T) *etcdStore {
	t.Helper()
	dir := cluster.Folder(t)
	binary := filepath.Join(dir, "etcd")
	if output, err := exec.Command("go", "build", "-o", binary, "go.etcd.io/etcd/server/v3").CombinedOutput(); err != nil {
		t.Fatalf("build etcd: %v\n%s", err, output)
	}
	ports := cluster.FreePorts(t, 2)
	e := &etcdStore{t: t, port: ports[0]}
	peer := fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	e.Process = cluster.NewProcess(t, cluster.Command{
		Name: "etcd",
		Path: binary,
		Args: []string{
			"--data-dir", filepath.Join(dir, "data"),
			"--listen-client-urls", e.Endpoint(), "--advertise-client-urls", e.Endpoint(),
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", "default=" + peer,
		},
		LogDir: dir,
	})
	e.Restart()
	return e
}

// Endpoint is the client URL.
func (e *etcdStore) Endpoint() string { return fmt.Sprintf("http://127.0.0.1:%d", e.port) }

// Restart starts the ended etcd again and waits until it answers.
func (e *etcdStore) Restart() {
	e.t.Helper()
	e.Start()
	client := cluster.Dial(e.t, e.Endpoint())
	ctx, cancel := context.WithTimeout(context.Background(), storeReadyBound)
	defer cancel()
	if _, err := client.Get(ctx, "health"); err != nil {
		e.t.Fatalf("etcd does not answer: %v\n%s", err, e.Log())
	}
}
