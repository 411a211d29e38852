package tls_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
)

// TestPasswordAsSetting: the password for every Redis may be an environment variable or in the settings file, for frontends
// and for the tools beside them; and neither log, shard map nor what tools say holds it.
func TestPasswordAsSetting(t *testing.T) {
	t.Parallel()
	user := []string{"--user", "tierd", "on", ">" + firstPassword, "~*", "&*", "+@all"}
	url := func(r *cluster.Redis) string { return "unix://tierd@" + strings.TrimPrefix(r.URL(), "unix://") }
	first, second := cluster.StartRedis(t, cluster.RedisOptions{Config: user}), cluster.StartRedis(t, cluster.RedisOptions{Config: user})
	env := []string{"TIERD_HOT_TIER_PASSWORD=" + firstPassword}
	objects := "file://" + t.TempDir()
	c := cluster.Start(t, cluster.Options{
		HotTier: []string{url(first)}, Keyed: true, Args: []string{"--balance=false", "--object-tier", objects}, Env: map[int][]string{0: env},
	})
	mustPut(t, c.Client(), "a")
	if users := first.Client().Do(t.Context(), "CLIENT", "LIST").String(); !strings.Contains(users, "user=tierd") {
		t.Errorf("the frontend is not known to Redis as tierd: %s", users)
	}
	said := ""
	tool := func(env []string, arguments ...string) error {
		t.Helper()
		out, err := c.Tool(t.Context(), env, arguments...)
		said += string(out) + fmt.Sprint(err)
		return err
	}
	for _, arguments := range [][]string{
		{"shard", "add", url(second)}, {"shard", "list"}, {"seal", "status"}, {"backup", "status", "--object-tier", objects},
		{"export", filepath.Join(t.TempDir(), "a.db")}, {"restore", "--object-tier", objects, "--keyspace", "default", "--to-keyspace", "other"},
	} {
		if err := tool(env, arguments...); err != nil {
			t.Errorf("%v", err)
		}
	}
	settings := filepath.Join(t.TempDir(), "tierd.yaml")
	if err := os.WriteFile(settings, []byte("hot-tier-password: "+firstPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tool(nil, "shard", "list", "--config-file", settings); err != nil {
		t.Errorf("with a settings file: %v", err)
	}
	if tool([]string{"TIERD_HOT_TIER_PASSWORD=" + secondPassword}, "shard", "list") == nil {
		t.Error("a tool with a wrong password has done its work")
	}
	c.Frontends[0].Stop()
	for _, secret := range []string{firstPassword, secondPassword} {
		if strings.Contains(said+c.Frontends[0].Log()+text(t, first, "unix://tierd@"), secret) {
			t.Errorf("the log, what tools say or the shard map holds %q", secret)
		}
	}
}

// text is all that a Redis holds that could be text, of which some is known.
func text(t *testing.T, r *cluster.Redis, known string) string {
	t.Helper()
	var all strings.Builder
	for _, key := range r.Client().Keys(t.Context(), "*").Val() {
		all.WriteString(r.Client().Dump(t.Context(), key).Val())
		fmt.Fprintln(&all, r.Client().HGetAll(t.Context(), key).Val(), r.Client().Get(t.Context(), key).Val())
	}
	if !strings.Contains(all.String(), known) {
		t.Error("the shard map was not found")
	}
	return all.String()
}
