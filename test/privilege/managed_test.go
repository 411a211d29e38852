package privilege

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
)

// managedRights are the arguments of a redis-server that give LeastUser what the Terraform module
// hot-tier gives tierd's user in MemoryDB and ElastiCache.
func managedRights(t *testing.T, keyspaces ...string) []string {
	t.Helper()
	root, err := cluster.RepositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "terraform/modules/hot-tier/user.tf"))
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`(?s)\n  commands = \[(.*?)\n  \]`).FindSubmatch(text)
	if list == nil {
		t.Fatal("the module has no list of commands")
	}
	rights := []string{"--user", cluster.LeastUser, "on", ">" + cluster.UserPassword}
	for _, keyspace := range keyspaces {
		rights = append(rights, "~{"+keyspace+":*")
	}
	rights = append(rights, "resetchannels", "-@all")
	for _, command := range regexp.MustCompile(`"([^"]+)"`).FindAllSubmatch(list[1], -1) {
		rights = append(rights, "+"+string(command[1]))
	}
	return rights
}

// startManaged starts a Redis as MemoryDB has them: a Redis Cluster of one shard, that knows no
// CONFIG. The URL is that of tierd's user.
func startManaged(t *testing.T, rights []string) (server *cluster.Redis, url string) {
	t.Helper()
	server = cluster.StartRedis(t, cluster.RedisOptions{TCP: true, User: cluster.LeastUser, Config: append([]string{
		"--cluster-enabled", "yes", "--rename-command", "CONFIG", "",
	}, rights...)})
	if err := server.Client().Do(t.Context(), "cluster", "addslotsrange", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	cluster.Await(t, patience, "the slots are served", func() error {
		info, err := server.Client().ClusterInfo(t.Context()).Result()
		if err == nil && !strings.Contains(info, "cluster_state:ok") {
			err = errors.New(info)
		}
		return err
	})
	return server, strings.Replace(server.TCPURL(), "redis://", "redis+cluster://", 1)
}

// On managed services, with the rights that the Terraform module gives: frontends serve, shards
// come and go, and a drill restores into a keyspace of its own. Nothing is refused.
func TestManagedServiceRights(t *testing.T) {
	t.Parallel()
	rights := managedRights(t, "default", "drill")
	home, homeURL := startManaged(t, rights)
	other, otherURL := startManaged(t, rights)
	archive := "file://" + t.TempDir()
	c := cluster.Start(t, cluster.Options{Frontends: 2, HotTier: []string{homeURL}, Keyed: true, Args: []string{"--object-tier", archive}})
	work(t, c.Frontends[0])
	tool := func(want string, arguments ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		output, err := c.Tool(ctx, []string{"TIERD_OBJECT_TIER=" + archive}, arguments...)
		if err != nil || !strings.Contains(string(output), want) {
			t.Fatalf("%v: %v, printed %s", arguments, err, output)
		}
	}
	tool("is endpoint 1", "shard", "apply", homeURL, otherURL, "--spread")
	work(t, c.Frontends[1])
	tool("OK: restored", "backup", "verify", "--restore", "--scratch-hot-tier", otherURL)
	tool("is forgotten", "shard", "apply", homeURL, "--wait", "50s")
	work(t, c.Frontends[0])
	unrefused(t, home, other)
}
