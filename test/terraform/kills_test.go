//go:build e2e

package terraform

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/tierd/tierd/test/cluster"
)

// ready asks a frontend, as the load balancer does.
func (d *deployed) ready(frontend int) error {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", d.firstPort+9+2*frontend))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("frontend %d: %s", frontend, resp.Status)
	}
	return nil
}

// whole waits until everything serves: all frontends ready, all endpoints answering.
func (d *deployed) whole() {
	d.t.Helper()
	cluster.Await(d.t, bound, "everything serves again", func() error {
		for n := range 2 {
			if err := d.ready(n + 1); err != nil {
				return err
			}
		}
		topology, err := d.shards()
		if err != nil {
			return err
		}
		for _, e := range topology.Endpoints {
			if e.Failure != "" {
				return fmt.Errorf("%s: %s", e.URL, e.Failure)
			}
		}
		return nil
	})
}

// kills kills one process of each kind, and pauses a primary until another one is promoted.
func (d *deployed) kills() {
	for _, name := range []string{"frontend-1", "redis-1-1", "redis-1-2", "redis-4-1", "sentinel-2", "s3", "load-balancer"} {
		d.load.disturb(func() {
			killed := d.signal(name, syscall.SIGKILL)
			cluster.Await(d.t, bound, name+" runs again", func() error { return d.replaced(name, killed) })
			d.whole()
		})
		d.load.unharmed(name + " was killed")
	}
	d.load.disturb(func() {
		first, second := d.primary("2")
		d.signal(first, syscall.SIGSTOP)
		cluster.Await(d.t, bound, "another server is promoted", func() error {
			if now, _ := d.primary("2"); now != second {
				return fmt.Errorf("the primary is %s", now)
			}
			return nil
		})
		d.signal(first, syscall.SIGKILL)
		d.whole()
	})
	d.load.unharmed("a paused primary was replaced")
}

// killsMeanwhile rolls a binary out while processes of each kind that takes part are killed.
func (d *deployed) killsMeanwhile(binary string) {
	d.load.disturb(func() {
		applied := make(chan error, 1)
		go func() {
			out, err := d.tryApply(map[string]string{"tierd_binary": binary})
			if err != nil {
				err = fmt.Errorf("%w\n%s", err, out)
			}
			applied <- err
		}()
		for _, name := range []string{"frontend-2", "load-balancer", "redis-3-1", "frontend-1", "sentinel-1", "load-balancer"} {
			d.load.steady(2) // each strikes at another step
			killed := d.signal(name, syscall.SIGKILL)
			cluster.Await(d.t, bound, name+" runs again", func() error { return d.replaced(name, killed) })
		}
		if err := <-applied; err != nil {
			d.t.Fatalf("apply while processes were killed: %v", err)
		}
		d.whole()
	})
	d.load.unharmed("another binary was rolled out while processes were killed")
}

// replaced tells whether another process runs than the one that was killed.
func (d *deployed) replaced(name string, killed int) error {
	if pid := d.pid(name); pid == 0 || pid == killed {
		return fmt.Errorf("process %d", pid)
	}
	return nil
}

// primary asks a Sentinel which of the two servers of a shard is the primary.
func (d *deployed) primary(shard string) (primary, other string) {
	d.t.Helper()
	cmd := exec.CommandContext(d.t.Context(), filepath.Join(d.directory, "bin", "redis-cli"), "-p", fmt.Sprint(d.firstPort+2),
		"--user", "sentinel", "--no-auth-warning", "sentinel", "get-master-addr-by-name", "shard-"+shard)
	cmd.Env = append(os.Environ(), "REDISCLI_AUTH="+d.file("secrets/redis-sentinel"))
	out, err := cmd.Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) != 2 {
		d.t.Fatalf("ask a Sentinel for the primary: %v: %q", err, out)
	}
	primary, other = "redis-"+shard+"-1", "redis-"+shard+"-2"
	var number int
	fmt.Sscan(shard, &number)
	if fields[1] != fmt.Sprint(d.firstPort+50+4*(number-1)) {
		primary, other = other, primary
	}
	return primary, other
}

// machineRestarts kills everything, supervisors included, and has terraform start it as it does when the machine's boot id
// is another one. Nothing is lost.
func (d *deployed) machineRestarts() {
	d.t.Helper()
	before, err := d.client.Get(d.t.Context(), "", clientv3.WithPrefix())
	if err != nil {
		d.t.Fatal(err)
	}
	d.watch.stop()
	locks, err := filepath.Glob(filepath.Join(d.directory, "run", "*.child"))
	if err != nil || len(locks) == 0 {
		d.t.Fatalf("no processes in %s: %v", d.directory, err)
	}
	var replace []string
	for _, lock := range locks {
		name := strings.TrimSuffix(filepath.Base(lock), ".child")
		// The supervisor first, so that it starts nothing anew.
		var supervisor int
		if _, err := fmt.Sscan(d.file("run/"+name+".lock"), &supervisor); err != nil {
			d.t.Fatal(err)
		}
		if err := syscall.Kill(supervisor, syscall.SIGKILL); err != nil {
			d.t.Fatal(err)
		}
		// It may have been asked to end by the system since.
		_ = syscall.Kill(d.pid(name), syscall.SIGKILL)
		replace = append(replace, "-replace="+resource(name))
	}
	d.apply(nil, replace...)
	after, err := d.client.Get(d.t.Context(), "", clientv3.WithPrefix(), clientv3.WithRev(before.Header.Revision))
	if err != nil {
		d.t.Fatal(err)
	}
	if diff := cmp.Diff(before.Kvs, after.Kvs, protocmp.Transform()); diff != "" {
		d.t.Errorf("after a restart of everything (- before, + after):\n%s", diff)
	}
	d.unchanged()
}

// resource is the address of a process in the state.
func resource(process string) string {
	switch process {
	case "s3", "certificates":
		return "terraform_data." + process
	case "load-balancer":
		return "terraform_data.load_balancer"
	}
	kind, key, _ := strings.Cut(process, "-")
	return fmt.Sprintf("terraform_data.%s[%q]", kind, key)
}
