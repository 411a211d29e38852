package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tierd/tierd/test/cluster"
)

// shardProgram runs the built tierd shard on a hot tier.
func shardProgram(t *testing.T, hotTier string, arguments ...string) answer {
	t.Helper()
	var out, errOut strings.Builder
	cmd := exec.CommandContext(t.Context(), cluster.Binary(t, false), append([]string{"shard"}, arguments...)...)
	cmd.Env = append(cmd.Environ(), "TIERD_HOT_TIER="+hotTier)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return answer{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// The commands work on a keyspace in service: ranges split, move to a new Redis and off
// it again, and clients see all keys all the time.
func TestShardProgram(t *testing.T) {
	t.Parallel()
	first, second := cluster.StartRedis(t, cluster.RedisOptions{}), cluster.StartRedis(t, cluster.RedisOptions{})
	f := cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: first.URL(), Args: []string{"--balance=false"}})
	client := f.Client()
	const keys = 200
	for i := range keys {
		if _, err := client.Put(t.Context(), fmt.Sprintf("key%03d", i), "value"); err != nil {
			t.Fatal(err)
		}
	}
	step := func(want string, arguments ...string) {
		t.Helper()
		if a := shardProgram(t, first.URL(), arguments...); a.code != 0 || !strings.Contains(a.out, want) {
			t.Fatalf("tierd shard %s: code %d, want %q:\n%s%s", strings.Join(arguments, " "), a.code, want, a.out, a.errOut)
		}
		got, err := client.Get(t.Context(), "key", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil || got.Count != keys {
			t.Fatalf("after tierd shard %s: %v, %v", strings.Join(arguments, " "), got, err)
		}
	}
	step(second.URL()+" is endpoint 1", "add", second.URL())
	step(second.URL()+" is endpoint 1", "add", second.URL())
	step("divided all keys", "split", "key100")
	step("would move the keys from \"key100\" on to a new shard on endpoint 1 ("+second.URL()+"): 100 keys", "move", "key100", "", "--endpoint", "1", "--dry-run")
	step("moved the keys from \"key100\" on", "move", "--key", "key150", "--endpoint", "1")
	step("Nothing is to be done", "plan", "--sample", "1s")
	var now topologyJSON
	if a := shardProgram(t, first.URL(), "status", "--output", "json"); a.code != 0 || json.Unmarshal([]byte(a.out), &now) != nil {
		t.Fatalf("code %d:\n%s%s", a.code, a.out, a.errOut)
	}
	if len(now.Ranges) != 2 || now.Ranges[1].Endpoint != 1 || now.Ranges[1].Keys != 100 || len(now.Endpoints) != 2 || now.Endpoints[0].URL != first.URL() {
		t.Errorf("after the move: %+v", now)
	}
	if a := shardProgram(t, first.URL(), "merge", "key100"); a.code != 2 || !strings.Contains(a.errOut, "are on shards") {
		t.Errorf("merged two shards: code %d\n%s%s", a.code, a.out, a.errOut)
	}
	step("no range is left on endpoint 1", "drain", "1")
	step("draining", "list")
	if a := shardProgram(t, first.URL(), "move", "", "key100", "--endpoint", "1"); a.code != 2 || !strings.Contains(a.errOut, "is being drained") {
		t.Errorf("moved to what drains: code %d\n%s%s", a.code, a.out, a.errOut)
	}
	step("ranges may be moved to endpoint 1 again", "drain", "1", "--undo")
	// The endpoint goes for good once nobody can read the history there.
	if a := shardProgram(t, first.URL(), "apply", first.URL(), "--wait=1ms"); a.code != 1 || !strings.Contains(a.errOut, "holds something still") {
		t.Errorf("let go of history: code %d\n%s%s", a.code, a.out, a.errOut)
	}
	last, err := client.Put(t.Context(), "other", "value")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Compact(t.Context(), last.Header.Revision); err != nil {
		t.Fatal(err)
	}
	step("endpoint 1 ("+second.URL()+") is forgotten: its Redis can be stopped", "apply", first.URL(), "--wait=1m")
	step("The keyspace has 1 endpoint, as listed.", "apply", first.URL())
	second.Kill()
	step(second.URL(), "apply", first.URL(), second.URL(), "--dry-run")
	// The tool was never a member.
	members, err := client.MemberList(t.Context())
	if err != nil || len(members.Members) != 1 {
		t.Errorf("members: %v, %v", members, err)
	}
}

// What is left to the balancer, the leading frontend does, and says why.
func TestBalancerDrains(t *testing.T) {
	t.Parallel()
	first, second := cluster.StartRedis(t, cluster.RedisOptions{}), cluster.StartRedis(t, cluster.RedisOptions{})
	f := cluster.StartFrontend(t, cluster.FrontendOptions{HotTier: first.URL() + "," + second.URL(), Args: []string{"--balance-interval", "1s"}})
	if _, err := f.Client().Put(t.Context(), "key", "value"); err != nil {
		t.Fatal(err)
	}
	for _, arguments := range [][]string{{"move", "", "", "--endpoint", "1"}, {"drain", "1", "--background"}} {
		if a := shardProgram(t, first.URL(), arguments...); a.code != 0 {
			t.Fatalf("tierd shard %s: code %d\n%s%s", strings.Join(arguments, " "), a.code, a.out, a.errOut)
		}
	}
	cluster.Await(t, patience, "the balancer to move all off endpoint 1", func() error {
		var now topologyJSON
		if a := shardProgram(t, first.URL(), "list", "-o", "json"); a.code != 0 || json.Unmarshal([]byte(a.out), &now) != nil {
			return fmt.Errorf("code %d:\n%s%s", a.code, a.out, a.errOut)
		}
		if len(now.Ranges) != 1 || now.Ranges[0].Endpoint != 0 {
			return fmt.Errorf("ranges: %+v", now.Ranges)
		}
		return nil
	})
	if got, err := f.Client().Get(t.Context(), "key"); err != nil || len(got.Kvs) != 1 {
		t.Errorf("the key after the move: %v, %v", got, err)
	}
	if want := "endpoint 1 drains, and endpoint 0 is the one that all keys fill least"; !strings.Contains(f.Log(), want) {
		t.Errorf("the log does not say %q:\n%s", want, f.Log())
	}
}
