package privilege

import (
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
)

// A Redis with deploy/redis/users.acl has all that it had when it starts again. Redis 7.0 replays the transactions
// of its append-only file as the default user, who is off there, but has to be allowed what they do: otherwise each
// is skipped, and Redis begins with a fraction of its data.
func TestUsersFileKeepsData(t *testing.T) {
	t.Parallel()
	root, err := cluster.RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "deploy", "redis", "users.acl"))
	if err != nil {
		t.Fatal(err)
	}
	dir, port := cluster.Folder(t), cluster.FreePort(t)
	users := filepath.Join(dir, "users.acl")
	// What docs/deploy.md does with sed.
	password := fmt.Sprintf("#%x", sha256.Sum256([]byte(cluster.UserPassword)))
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "user "+cluster.LeastUser+" ") {
			lines[i] = strings.Replace(line, "resetpass", password, 1)
		}
	}
	if err := os.WriteFile(users, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	program := os.Getenv("TIERD_TEST_REDIS_SERVER")
	if program == "" {
		program = "redis-server"
	}
	server := cluster.NewProcess(t, cluster.Command{Name: "redis-server", Path: program, LogDir: dir, Args: []string{
		"--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--dir", dir, "--appendonly", "yes", "--appendfsync", "always", "--aclfile", users,
	}})
	start := func() {
		server.Start()
		cluster.Await(t, patience, "redis-server listens", func() error {
			connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				connection.Close()
			}
			return err
		})
	}
	start()
	url := fmt.Sprintf("redis://%s:%s@127.0.0.1:%d", cluster.LeastUser, cluster.UserPassword, port)
	f := cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: url})
	client := f.Client()
	for i := range 20 {
		if _, err := client.Put(t.Context(), fmt.Sprint("key", i), "value"); err != nil {
			t.Fatal(err)
		}
	}
	server.Kill()
	start()
	cluster.Await(t, patience, "the frontend is ready again", f.Ready)
	for i := range 20 {
		resp, err := client.Get(t.Context(), fmt.Sprint("key", i))
		if err != nil || len(resp.Kvs) != 1 {
			t.Fatalf("key%d: %v, error %v", i, resp, err)
		}
	}
}
