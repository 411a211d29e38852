package privilege

import (
	"crypto/tls"
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// imageUser is who runs in the image.
const imageUser = 65532

// picture is an image for this machine's processor, unpacked.
type picture struct {
	digest, root string
	config       struct {
		User        string
		Env         []string
		Entrypoint  []string
		Cmd         []string
		WorkingDir  string
		Volumes     map[string]struct{}
		Healthcheck struct{ Test []string }
	}
}

// layoutOnce is the image of this repository, built once for all tests of the process.
var layoutOnce = sync.OnceValues(func() (string, error) {
	root, err := cluster.RepositoryRoot()
	if err != nil {
		return "", err
	}
	layout := filepath.Join(root, "bin", "test", "image")
	return layout, buildImage(root, layout)
})

// buildImage has scripts/image build the image for this machine's processor in the repository at dir.
func buildImage(dir, layout string) error {
	cmd := exec.Command("go", "run", "./scripts/image", "--version", "1.2.3", "--revision", "of a test", "--platforms", "linux/"+runtime.GOARCH, "--output", layout)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, output)
	}
	return nil
}

// paint unpacks an image.
func paint(t *testing.T, layout string) *picture {
	t.Helper()
	p := &picture{root: cluster.Folder(t)}
	var of struct {
		Manifests, Layers []struct{ Digest string }
		Config            json.RawMessage
	}
	descend := func(name string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(layout, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &of); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(digest string) string {
		return filepath.Join("blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
	}
	descend("index.json")
	p.digest = of.Manifests[0].Digest
	descend(blob(p.digest))
	descend(blob(of.Manifests[0].Digest))
	var configuration struct{ Digest string }
	if err := json.Unmarshal(of.Config, &configuration); err != nil {
		t.Fatal(err)
	}
	for _, one := range of.Layers {
		unpack(t, filepath.Join(layout, blob(one.Digest)), p.root)
	}
	descend(blob(configuration.Digest))
	if err := json.Unmarshal(of.Config, &p.config); err != nil {
		t.Fatal(err)
	}
	return p
}

// unpack unpacks a layer as an engine does: as root, with owners and modes.
func unpack(t *testing.T, layer, root string) {
	t.Helper()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"tar", "--extract", "--gzip", "--same-owner", "--same-permissions", "--numeric-owner", "--file", layer, "--directory", root}} {
		if output, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, output)
		}
	}
}

// The image has nothing in it but the binary, certificates and three folders, and runs as a user who
// is not root; its health check asks where no certificate is needed. Built in another folder it is the same.
func TestImage(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can unpack what belongs to others")
	}
	layout, err := layoutOnce()
	if err != nil {
		t.Fatal(err)
	}
	p := paint(t, layout)
	c := p.config
	if c.User != fmt.Sprintf("%d:%[1]d", imageUser) || c.WorkingDir != "/data" || !slices.Equal(slices.Sorted(maps.Keys(c.Volumes)), []string{"/data", "/run/tierd"}) ||
		!slices.Equal(c.Entrypoint, []string{"/tierd"}) || !slices.Equal(c.Cmd, []string{"serve"}) || !slices.Equal(c.Healthcheck.Test, []string{"CMD", "/tierd", "health"}) {
		t.Errorf("the configuration is %+v", c)
	}
	for _, setting := range c.Env {
		if regexp.MustCompile(`(?i)password|secret|key|token`).MatchString(setting) {
			t.Errorf("ENV %s looks like a secret", setting)
		}
	}
	var found []string
	err = filepath.WalkDir(p.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		owner := info.Sys().(*syscall.Stat_t)
		found = append(found, fmt.Sprintf("%s %v %d:%d", strings.TrimPrefix(path, p.root), info.Mode(), owner.Uid, owner.Gid))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		" drwxr-xr-x 0:0", "/data drwx------ 65532:65532", "/etc drwxr-xr-x 0:0", "/etc/ssl drwxr-xr-x 0:0", "/etc/ssl/certs drwxr-xr-x 0:0",
		"/etc/ssl/certs/ca-certificates.crt -r--r--r-- 0:0", "/run drwxr-xr-x 0:0", "/run/tierd drwx------ 65532:65532", "/tierd -r-xr-xr-x 0:0",
		"/tmp drwx------ 65532:65532",
	}
	if !slices.Equal(found, want) {
		t.Errorf("the image holds\n%s", strings.Join(found, "\n"))
	}
	again := filepath.Join(cluster.Folder(t), "image")
	if err := buildImage(elsewhere(t), again); err != nil {
		t.Fatal(err)
	}
	if other := paint(t, again); other.digest != p.digest {
		t.Errorf("built in another folder it is %s, here %s", other.digest, p.digest)
	}
}

// elsewhere copies the repository, without its history, to a folder of another name.
func elsewhere(t *testing.T) string {
	t.Helper()
	root, err := cluster.RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	copied := cluster.Folder(t)
	for _, name := range []string{"Dockerfile", "go.mod", "go.sum", "backup", "cmd", "functions", "router", "scripts", "tiers"} {
		if output, err := exec.CommandContext(t.Context(), "cp", "-R", filepath.Join(root, name), copied).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	return copied
}

// The binary needs nothing beside it: no libraries, no loader, no files, no rights; in a root
// that has what the image has and that its user cannot write to, its commands make certificates and fetch them to its
// volume, as a side container does; it serves with the settings of the image and those, makes snapshots and answers its
// health check, which has no certificate to show.
func TestImageServes(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can enter another root")
	}
	layout, err := layoutOnce()
	if err != nil {
		t.Fatal(err)
	}
	p := paint(t, layout)
	binary, err := elf.Open(filepath.Join(p.root, "tierd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range binary.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary is not static: it has %v", part.Type)
		}
	}
	if err := binary.Close(); err != nil {
		t.Fatal(err)
	}
	redis := cluster.StartRedis(t, cluster.RedisOptions{TCP: true, User: cluster.LeastUser, Config: cluster.LeastRights(t, "{default:*")})
	ports := cluster.FreePorts(t, 2)
	endpoint, health := "https://127.0.0.1:"+strconv.Itoa(ports[0]), "http://127.0.0.1:"+strconv.Itoa(ports[1])
	// The addresses are the test's; that health is where the image says is a matter of its settings.
	settings := append(slices.Clone(p.config.Env), "TIERD_HOT_TIER="+redis.TCPURL(), "TIERD_LISTEN_CLIENT_URLS="+endpoint,
		"TIERD_LISTEN_METRICS_URLS="+health, "TIERD_HEALTH_ENDPOINT="+health+"?exclude=data_corruption", "TIERD_TRUSTED_CA_FILE=/run/tierd/ca.crt",
		"TIERD_CLIENT_CERT_AUTH=true", "TIERD_CERT_FILE=/run/tierd/server.crt", "TIERD_KEY_FILE=/run/tierd/server.key")
	if !slices.Contains(p.config.Env, "TIERD_LISTEN_METRICS_URLS=http://127.0.0.1:2381") || !slices.Contains(p.config.Env, "TIERD_HEALTH_ENDPOINT=http://127.0.0.1:2381?exclude=data_corruption") {
		t.Errorf("the health check does not ask where health is: %q", p.config.Env)
	}
	contained := func(arguments ...string) *exec.Cmd {
		cmd := exec.Command(p.config.Entrypoint[0], arguments...)
		cmd.Dir, cmd.Env = p.config.WorkingDir, settings
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: p.root, Credential: &syscall.Credential{Uid: imageUser, Gid: imageUser}, Pdeathsig: syscall.SIGKILL}
		return cmd
	}
	for _, command := range [][]string{
		{"pki", "renew", "--store", "/data/pki", "--server-name", "127.0.0.1", "--client", "someone"},
		{"pki", "fetch", "--store", "/data/pki", "--to", "/run/tierd", "--only", "ca,server"},
		{"pki", "fetch", "--to", "/run/tierd", "--only", "ca,server", "--check"},
	} {
		if output, err := contained(command...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", command, err, output)
		}
	}
	var log strings.Builder
	serve := contained(p.config.Cmd...)
	serve.Stderr = &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := serve.Wait(); err != nil {
			t.Errorf("%v:\n%s", err, log.String())
		}
	}()
	cluster.Await(t, patience, "the image's health check", func() error {
		if output, err := contained(p.config.Healthcheck.Test[2:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, output)
		}
		return nil
	})
	useImage(t, cluster.DialTLS(t, clientOf(t, filepath.Join(p.root, "data", "pki")), endpoint), health)
}

// clientOf is what a client needs by the certificates of a store.
func clientOf(t *testing.T, store string) *tls.Config {
	t.Helper()
	authority, err := os.ReadFile(filepath.Join(store, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(store, "client-someone.crt"), filepath.Join(store, "client-someone.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

// useImage writes, reads back and takes a snapshot, which is built in a file.
func useImage(t *testing.T, client *clientv3.Client, health string) {
	t.Helper()
	if _, err := client.Put(t.Context(), "key", "value"); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Get(t.Context(), "", clientv3.WithPrefix()); err != nil || len(got.Kvs) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	snapshot, err := client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := snapshot.Read(make([]byte, 100)); n == 0 {
		t.Fatalf("no snapshot: %v", err)
	}
	if err := snapshot.Close(); err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(health + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
}
