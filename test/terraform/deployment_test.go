//go:build e2e

package terraform

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tierd/tierd/test/cluster"
)

const (
	// portsPerDeployment is how many consecutive ports a deployment uses.
	portsPerDeployment = 120
	portAttempts       = 200
	// bound is how long anything may take; far above what is normal.
	bound = 5 * time.Minute
	// changesExit is the exit code of a plan that would change something.
	changesExit = 2
)

// deployment is one of terraform/live/local, with a state of its own.
type deployment struct {
	t         *testing.T
	module    string
	directory string
	firstPort int
	state     string
	variables map[string]string
}

// newDeployment prepares one, which is destroyed when the test ends, whatever became of it.
func newDeployment(t *testing.T, variables map[string]string) *deployment {
	t.Helper()
	root, err := cluster.RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	work := cluster.Folder(t)
	d := &deployment{
		t: t, module: filepath.Join(root, "terraform", "live", "local"), state: work,
		directory: filepath.Join(cluster.Folder(t), "d"), firstPort: freePorts(t), variables: variables,
	}
	t.Cleanup(func() {
		if t.Failed() {
			d.showLogs()
		}
		if out, err := d.run(context.Background(), "destroy", "-auto-approve"); err != nil {
			t.Errorf("destroy: %v\n%s", err, out)
		}
	})
	if out, err := d.command(t.Context(), "init", "-input=false", "-no-color"); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	return d
}

// freePorts finds consecutive ports that were free a moment ago, below those of outgoing connections.
func freePorts(t *testing.T) int {
	t.Helper()
	for range portAttempts {
		first := 10_000 + rand.IntN(20_000)
		all := make([]int, portsPerDeployment)
		for i := range all {
			all[i] = first + i
		}
		if len(listening(all)) == 0 {
			return first
		}
	}
	t.Fatalf("no %d consecutive ports are free", portsPerDeployment)
	return 0
}

// listening are those of some ports on which something listens.
func listening(ports []int) (busy []int) {
	for _, port := range ports {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			busy = append(busy, port)
			continue
		}
		listener.Close()
	}
	return busy
}

// ports are those that the documentation says so many frontends and shards with a replica listen on. Others of the deployment's may
// be taken by anybody.
func (d *deployment) ports(frontends, shards int) (all []int) {
	for i := range 6 { // the load balancer, S3, three Sentinels, the load balancer's status
		all = append(all, d.firstPort+i)
	}
	for i := range 2 * frontends {
		all = append(all, d.firstPort+10+i)
	}
	for i := range shards {
		all = append(all, d.firstPort+50+4*i, d.firstPort+51+4*i)
	}
	return all
}

// command runs terraform in the module, with the state and data of this deployment.
func (d *deployment) command(ctx context.Context, arguments ...string) (string, error) {
	cmd := d.prepared(ctx, arguments...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// prepared is a command of terraform that was not begun.
func (d *deployment) prepared(ctx context.Context, arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "terraform", append([]string{"-chdir=" + d.module}, arguments...)...)
	cmd.Env = append(os.Environ(), "TF_DATA_DIR="+filepath.Join(d.state, "data"), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
	// An interrupted terraform finishes what it is at, and so knows what there is to destroy.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	return cmd
}

// run runs a command that takes variables.
func (d *deployment) run(ctx context.Context, verb string, flags ...string) (string, error) {
	arguments := append([]string{verb, "-input=false", "-no-color", "-state=" + filepath.Join(d.state, "terraform.tfstate"),
		"-var=directory=" + d.directory, fmt.Sprintf("-var=first_port=%d", d.firstPort)}, flags...)
	for name, value := range d.variables {
		arguments = append(arguments, "-var="+name+"="+value)
	}
	return d.command(ctx, arguments...)
}

// apply changes variables, and has terraform bring that about.
func (d *deployment) apply(variables map[string]string, flags ...string) string {
	d.t.Helper()
	out, err := d.tryApply(variables, flags...)
	if err != nil {
		d.t.Fatalf("apply %v: %v\n%s", variables, err, out)
	}
	return out
}

func (d *deployment) tryApply(variables map[string]string, flags ...string) (string, error) {
	for name, value := range variables {
		d.variables[name] = value
	}
	began := time.Now()
	out, err := d.run(d.t.Context(), "apply", append([]string{"-auto-approve"}, flags...)...)
	d.t.Logf("apply %v %v: %.1f s", variables, flags, time.Since(began).Seconds())
	return out, err
}

// unchanged fails the test unless another apply would change nothing.
func (d *deployment) unchanged() {
	d.t.Helper()
	out, err := d.run(d.t.Context(), "plan", "-detailed-exitcode")
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == changesExit {
		d.t.Fatalf("a second apply would change something:\n%s", out)
	} else if err != nil {
		d.t.Fatalf("plan: %v\n%s", err, out)
	}
}

// output reads an output.
func (d *deployment) output(name string, value any) {
	d.t.Helper()
	// What it warns of goes elsewhere.
	out, err := d.prepared(d.t.Context(), "output", "-state="+filepath.Join(d.state, "terraform.tfstate"), "-json", name).Output()
	if err == nil {
		err = json.Unmarshal(out, value)
	}
	if err != nil {
		d.t.Fatalf("output %s: %v\n%s", name, err, out)
	}
}

// tls is what a client needs, from the files that the flags of an API server name.
func (d *deployment) tls() (endpoint string, config *tls.Config) {
	d.t.Helper()
	var flags []string
	d.output("kube_apiserver_flags", &flags)
	values := make(map[string]string)
	for _, flag := range flags {
		name, value, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
		values[name] = value
	}
	certificate, err := tls.LoadX509KeyPair(values["etcd-certfile"], values["etcd-keyfile"])
	if err != nil {
		d.t.Fatal(err)
	}
	authorities, err := os.ReadFile(values["etcd-cafile"])
	if err != nil {
		d.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authorities)
	return values["etcd-servers"], &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{certificate}}
}

// file reads a file of the deployment.
func (d *deployment) file(path string) string {
	text, err := os.ReadFile(filepath.Join(d.directory, path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// pid is the process that a supervisor keeps running; 0 if there is none.
func (d *deployment) pid(name string) int {
	pid, err := strconv.Atoi(d.file("run/" + name + ".child"))
	if err != nil {
		return 0
	}
	return pid
}

// signal sends a process a signal, and gives its id.
func (d *deployment) signal(name string, signal syscall.Signal) int {
	d.t.Helper()
	pid := d.pid(name)
	if pid == 0 {
		d.t.Fatalf("%s does not run", name)
	}
	if err := syscall.Kill(pid, signal); err != nil {
		d.t.Fatalf("send %v to %s: %v", signal, name, err)
	}
	return pid
}

// topology is what tierd shard list tells.
type topology struct {
	Endpoints []struct {
		ID      int    `json:"id"`
		URL     string `json:"url"`
		Failure string `json:"failure"`
	} `json:"endpoints"`
	Ranges []struct {
		Endpoint int   `json:"endpoint"`
		Keys     int64 `json:"keys"`
	} `json:"ranges"`
}

// keys are how many lie on the endpoint of a shard of this deployment, 0 if it is not known.
func (t topology) keys(shard int) (keys int64) {
	for _, e := range t.Endpoints {
		if !strings.HasSuffix(e.URL, fmt.Sprintf("master_name=shard-%d", shard)) {
			continue
		}
		for _, r := range t.Ranges {
			if r.Endpoint == e.ID {
				keys += r.Keys
			}
		}
	}
	return keys
}

// shards asks the deployment's own tierd.
func (d *deployment) shards() (t topology, err error) {
	out, err := cluster.RunTool(d.t.Context(), filepath.Join(d.directory, "tierd"), nil, "shard", "list", "--output", "json")
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(out, &t)
}

// remains lists what of the deployment is still there, which listened on these ports.
func (d *deployment) remains(ports []int) (found []string) {
	if _, err := os.Lstat(d.directory); !errors.Is(err, os.ErrNotExist) {
		found = append(found, fmt.Sprintf("the directory: %v", err))
	}
	for _, port := range listening(ports) {
		found = append(found, fmt.Sprintf("port %d in use", port))
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return append(found, err.Error())
	}
	for _, process := range processes {
		// Both name the directory: in its command or in the environment of its supervisor.
		command, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		environment, _ := os.ReadFile(filepath.Join(process, "environ"))
		if strings.Contains(string(command), d.directory) || strings.Contains(string(environment), "DIRECTORY="+d.directory) {
			found = append(found, fmt.Sprintf("process %s: %q", filepath.Base(process), command))
		}
	}
	return found
}

// showLogs prints the end of each log.
func (d *deployment) showLogs() {
	const lines = 40
	logs, _ := filepath.Glob(filepath.Join(d.directory, "log", "*.log"))
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			continue
		}
		all := strings.Split(strings.TrimSpace(string(text)), "\n")
		d.t.Logf("%s:\n%s", filepath.Base(log), strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
}
