package restore_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/tierd/tierd/test/cluster"
)

// A drill restores into a scratch keyspace and removes it, also one that a drill before left, and never
// touches another keyspace.
func TestDrillLeavesNothing(t *testing.T) {
	t.Parallel()
	f := cluster.StartFrontend(t, cluster.FrontendOptions{})
	for i := range 50 {
		if _, err := f.Client().Put(t.Context(), fmt.Sprint("key/", i%5), fmt.Sprint("value ", i)); err != nil {
			t.Fatal(err)
		}
	}
	f.Stop()
	scratch := cluster.StartRedis(t, cluster.RedisOptions{})
	tierd := func(arguments ...string) (string, int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), cluster.Binary(t, false), append(arguments, "--data-dir", f.DataDir())...)
		output, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(output), cmd.ProcessState.ExitCode()
	}
	drill := func(want string, code int, more ...string) {
		t.Helper()
		if output, got := tierd(append([]string{"backup", "verify", "--restore", "--scratch-hot-tier", scratch.URL()}, more...)...); got != code || !strings.Contains(output, want) {
			t.Errorf("drill %v: code %d, want %d and %q:\n%s", more, got, code, want, output)
		}
	}
	redis := scratch.Client()
	size := func() int64 {
		t.Helper()
		n, err := redis.DBSize(context.Background()).Result()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	drill("OK: restored at revision 51 with 5 keys", 0)
	if n := size(); n != 0 {
		t.Errorf("a drill leaves %d keys in Redis", n)
	}
	// Another keyspace of that name is not touched, whether it is being restored or in use.
	if output, code := tierd("restore", "--to-keyspace", "mine", "--to-hot-tier", scratch.URL()); code != 0 {
		t.Fatalf("restore: code %d\n%s", code, output)
	}
	before := size()
	drill("choose another name with --scratch-keyspace", 2, "--scratch-keyspace", "mine")
	if n := size(); n != before || n == 0 {
		t.Errorf("a drill made %d keys of %d", n, before)
	}
	// A Redis that others use keeps a quarter of its memory, and is not told of what is wrong with the archive.
	full := cluster.StartRedis(t, cluster.RedisOptions{Config: []string{"--maxmemory", "1mb"}})
	if output, code := tierd("backup", "verify", "--restore", "--scratch-hot-tier", full.URL()); code != 1 || !strings.Contains(output, "has too little memory for a drill") || strings.Contains(output, "FAILURE") {
		t.Errorf("a drill in a full Redis: code %d\n%s", code, output)
	}
	// What a killed drill left is removed by the next: here it is as after its restore.
	for _, command := range []string{"hset {drill:seq}:map scratch 1", "hset {drill:seq}:order incarnation x revision 7", "hset {drill:seq}:meta tail 1"} {
		words := strings.Fields(command)
		arguments := make([]any, len(words))
		for i, word := range words {
			arguments[i] = word
		}
		if err := redis.Do(context.Background(), arguments...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	drill("OK: restored at revision 51 with 5 keys", 0)
	if n := size(); n != before {
		t.Errorf("after a drill that was killed and another, there are %d keys in Redis, not %d", n, before)
	}
}
