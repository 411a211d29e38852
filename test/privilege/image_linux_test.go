package privilege

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// imageUser is who runs in the image.
const imageUser = 65532

// instruction is one of a Dockerfile.
type instruction struct{ name, arguments string }

// stages reads the Dockerfile.
func stages(t *testing.T) [][]instruction {
	t.Helper()
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var all [][]instruction
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, arguments, _ := strings.Cut(line, " ")
		if name == "FROM" {
			all = append(all, nil)
		}
		if len(all) == 0 {
			t.Fatalf("%q stands before the first stage", line)
		}
		all[len(all)-1] = append(all[len(all)-1], instruction{name, strings.TrimSpace(arguments)})
	}
	return all
}

// of are the arguments of all instructions of one name.
func of(stage []instruction, name string) (all []string) {
	for _, i := range stage {
		if i.name == name {
			all = append(all, i.arguments)
		}
	}
	return all
}

// The image has nothing in it but the binary, certificates and two folders, which no shell
// prepares, and runs as a user who is not root.
func TestImage(t *testing.T) {
	t.Parallel()
	all := stages(t)
	image := all[len(all)-1]
	for name, want := range map[string][]string{
		"FROM": {"scratch"}, "USER": {fmt.Sprintf("%d:%[1]d", imageUser)}, "RUN": nil, "ADD": nil, "SHELL": nil,
		"ENTRYPOINT": {`["/tierd"]`}, "CMD": {`["serve"]`}, "EXPOSE": {"2379"}, "VOLUME": {`["/data"]`},
	} {
		if got := of(image, name); !slices.Equal(got, want) {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
	for _, copied := range of(image, "COPY") {
		if !strings.HasPrefix(copied, "--from=build ") {
			t.Errorf("COPY %s is not of what was built", copied)
		}
	}
	for _, setting := range of(image, "ENV") {
		if regexp.MustCompile(`(?i)password|secret|key|token`).MatchString(setting) {
			t.Errorf("ENV %s looks like a secret", setting)
		}
	}
	health := of(image, "HEALTHCHECK")
	if len(health) != 1 {
		t.Fatalf("%d health checks", len(health))
	}
	var command []string
	_, form, _ := strings.Cut(health[0], "CMD ")
	if err := json.Unmarshal([]byte(form), &command); err != nil || !slices.Equal(command, []string{"/tierd", "health"}) {
		t.Errorf("HEALTHCHECK %s: %v, %v", health[0], command, err)
	}
}

// build runs the Dockerfile's own command line for the binary.
func build(t *testing.T) string {
	t.Helper()
	root, err := cluster.RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cluster.Folder(t), "tierd")
	commands := of(stages(t)[0], "RUN")
	line := commands[slices.IndexFunc(commands, func(c string) bool { return strings.Contains(c, "go build") })]
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", strings.Replace(line, "/out/tierd", path, 1))
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "TARGETOS=linux", "TARGETARCH=", "VERSION=1.2.3")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, output)
	}
	return path
}

// The binary needs nothing beside it: no libraries, no loader, no files, no rights; in a root
// that has what the image has and that its user cannot write to, it serves, makes snapshots
// and answers its health check.
func TestImageServes(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can enter another root")
	}
	path := build(t)
	binary, err := elf.Open(path)
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
	root := cluster.Folder(t)
	for _, step := range []error{
		os.Chmod(root, 0o755), os.Rename(path, filepath.Join(root, "tierd")), os.Chmod(filepath.Join(root, "tierd"), 0o555),
		os.Mkdir(filepath.Join(root, "data"), 0o700), os.Mkdir(filepath.Join(root, "tmp"), 0o700),
		os.Chown(filepath.Join(root, "data"), imageUser, imageUser), os.Chown(filepath.Join(root, "tmp"), imageUser, imageUser),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	redis := cluster.StartRedis(t, cluster.RedisOptions{TCP: true, User: cluster.LeastUser, Config: cluster.LeastRights(t, "{default:*")})
	endpoint := "http://127.0.0.1:" + strconv.Itoa(cluster.FreePort(t))
	contained := func(arguments ...string) *exec.Cmd {
		cmd := exec.Command("/tierd", arguments...)
		cmd.Dir = "/data"
		cmd.Env = []string{"TIERD_DATA_DIR=/data", "TIERD_LISTEN_CLIENT_URLS=" + endpoint, "TIERD_HEALTH_ENDPOINT=" + endpoint, "TIERD_HOT_TIER=" + redis.TCPURL()}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: imageUser, Gid: imageUser}, Pdeathsig: syscall.SIGKILL}
		return cmd
	}
	var log strings.Builder
	server := contained("serve")
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := server.Wait(); err != nil {
			t.Errorf("%v:\n%s", err, log.String())
		}
	}()
	cluster.Await(t, patience, "the image's health check", func() error {
		if output, err := contained("health").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, output)
		}
		return nil
	})
	useImage(t, endpoint)
}

// useImage writes, reads back and takes a snapshot, which is built in a file.
func useImage(t *testing.T, endpoint string) {
	t.Helper()
	client := cluster.Dial(t, endpoint)
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
	response, err := http.Get(endpoint + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
}

// The unit is one that systemd takes, and that leaves the service few rights by systemd's
// own count; what has to stay off is off wherever systemd is not there to count.
func TestUnit(t *testing.T) {
	t.Parallel()
	const unit = "../../deploy/systemd/tierd.service"
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"DynamicUser=yes", "ProtectSystem=strict", "ProtectHome=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "PrivateDevices=yes",
		"MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service", "RestrictNamespaces=yes", "UMask=0077", "LimitCORE=0",
	} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("the unit has no line %q", line)
		}
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("systemd-analyze is not here")
		return
	}
	placed := filepath.Join(t.TempDir(), "tierd.service")
	if err := os.WriteFile(placed, []byte(strings.Replace(string(text), "/usr/local/bin/tierd serve", "/bin/true", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", placed).CombinedOutput(); err != nil || len(output) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, output)
	}
	output, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold=15", placed).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, output)
	}
}
