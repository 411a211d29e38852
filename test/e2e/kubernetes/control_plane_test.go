//go:build e2e

package kubernetes_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/test/cluster"
)

// Bounds on what the tests wait for: far above what is normal, so that a loaded
// machine does not fail a test.
const (
	serverReadyBound = 3 * time.Minute
	conditionBound   = 2 * time.Minute
)

// controlPlane is a running API server and controller manager on a store.
type controlPlane struct {
	t          *testing.T
	store      store
	server     *cluster.Process
	manager    *cluster.Process
	api        *apiClient
	kubeconfig string
	watchCache bool
}

// startControlPlane starts the programs and waits until they are ready.
func startControlPlane(t *testing.T, kept store, watchCache bool) *controlPlane {
	t.Helper()
	dir := logFolder(t)
	files := newCredentials(t, cluster.Folder(t))
	ports := cluster.FreePorts(t, 2)
	address := fmt.Sprintf("https://127.0.0.1:%d", ports[0])
	p := &controlPlane{
		t:          t,
		store:      kept,
		api:        newAPIClient(t, address, files.pool),
		kubeconfig: files.writeKubeconfig(t, address),
		watchCache: watchCache,
	}
	p.server = cluster.NewProcess(t, cluster.Command{
		Name:   "kube-apiserver",
		Path:   program(t, "kube-apiserver"),
		Args:   append(serverArguments(files, kept.Endpoint(), ports[0], watchCache), kept.Access()...),
		LogDir: dir,
	})
	p.manager = cluster.NewProcess(t, cluster.Command{
		Name:   "kube-controller-manager",
		Path:   program(t, "kube-controller-manager"),
		Args:   managerArguments(files, p.kubeconfig, ports[1]),
		LogDir: dir,
	})
	p.server.Start()
	p.await("the API server is ready", serverReadyBound, func() error {
		if !p.server.Running() {
			t.Fatalf("kube-apiserver ended:\n%s", p.server.Log())
		}
		_, err := p.api.get("/readyz")
		return err
	})
	p.manager.Start()
	p.await("the default service account exists", serverReadyBound, func() error {
		_, err := p.api.get("/api/v1/namespaces/default/serviceaccounts/default")
		return err
	})
	return p
}

// logFolder is where logs go: kept on request, else removed with the test.
func logFolder(t *testing.T) string {
	t.Helper()
	kept := os.Getenv("TIERD_KUBERNETES_LOGS")
	if kept == "" {
		return cluster.Folder(t)
	}
	dir := filepath.Join(kept, strings.ReplaceAll(t.Name(), "/", "-"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func serverArguments(files credentials, store string, port int, watchCache bool) []string {
	return []string{
		"--etcd-servers=" + store,
		"--secure-port=" + fmt.Sprint(port),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--tls-cert-file=" + files.serving,
		"--tls-private-key-file=" + files.servingKey,
		"--token-auth-file=" + files.tokens,
		"--anonymous-auth=false",
		"--authorization-mode=RBAC",
		"--service-account-key-file=" + files.accountKey,
		"--service-account-signing-key-file=" + files.accountKey,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-cluster-ip-range=10.0.0.0/24",
		"--watch-cache=" + fmt.Sprint(watchCache),
		"--event-ttl=15s",
		"--v=2",
	}
}

func managerArguments(files credentials, kubeconfig string, port int) []string {
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--service-account-private-key-file=" + files.accountKey,
		"--root-ca-file=" + files.serving,
		"--use-service-account-credentials=false",
		// Longer than the store is away in the crash check.
		"--leader-elect-lease-duration=2m",
		"--leader-elect-renew-deadline=90s",
		"--bind-address=127.0.0.1",
		"--secure-port=" + fmt.Sprint(port),
		"--cert-dir=" + files.dir,
		"--v=1",
	}
}

// program finds one of the programs that build.sh made.
func program(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("TIERD_KUBERNETES_BIN")
	if dir == "" {
		t.Skip("TIERD_KUBERNETES_BIN is not set: run.sh builds the programs and sets it")
	}
	return filepath.Join(dir, name)
}

// kubectl runs kubectl and fails the test if it fails.
func (p *controlPlane) kubectl(stdin string, args ...string) string {
	p.t.Helper()
	output, err := p.tryKubectl(stdin, args...)
	if err != nil {
		p.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return output
}

// tryKubectl runs kubectl and returns what it printed to either output.
func (p *controlPlane) tryKubectl(stdin string, args ...string) (string, error) {
	p.t.Helper()
	cmd := exec.Command(program(p.t, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig, "HOME="+filepath.Dir(p.kubeconfig))
	cmd.Stdin = strings.NewReader(stdin)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	return output.String(), err
}

// await polls for a condition.
func (p *controlPlane) await(what string, bound time.Duration, check func() error) {
	p.t.Helper()
	cluster.Await(p.t, bound, what, check)
}

// stop ends both programs, so that the next pass has the machine to itself.
func (p *controlPlane) stop() {
	p.manager.Kill()
	p.server.Kill()
}
