package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tierd/tierd/test/cluster"
)

// patience bounds every wait of these tests; none depends on how long one takes.
const patience = 60 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program prepares a run of the built tierd, on free ports and in new folders.
func program(t *testing.T, arguments ...string) *cluster.Process {
	t.Helper()
	return cluster.NewProcess(t, cluster.Command{
		Name: "tierd", Path: cluster.Binary(t, false), Args: append([]string{"serve"}, arguments...), LogDir: cluster.Folder(t),
	})
}

// redisPID is the process of the private server, from the log.
func redisPID(t *testing.T, log string) int {
	t.Helper()
	found := regexp.MustCompile(`"msg":"redis-server started","pid":(\d+)`).FindAllStringSubmatch(log, -1)
	if len(found) == 0 {
		t.Fatalf("no redis-server was started:\n%s", log)
	}
	pid, err := strconv.Atoi(found[len(found)-1][1])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// gone tells whether a process has ended; one that nobody has waited for has.
func gone(pid int) error {
	if syscall.Kill(pid, 0) != nil {
		return nil
	}
	// "PID (name) STATE ..."; there is no such file outside Linux.
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if _, state, found := strings.Cut(string(stat), ") "); err == nil && found && strings.HasPrefix(state, "Z") {
		return nil
	}
	return fmt.Errorf("the process %d is there", pid)
}

// A process that refuses ends with code 2 and one sentence on the error output.
func TestRefusalsOfTheProgram(t *testing.T) {
	t.Parallel()
	port := cluster.FreePort(t)
	unfit := cluster.StartRedis(t, cluster.RedisOptions{Config: []string{"--maxmemory-policy", "allkeys-lru"}})
	cases := []struct {
		name, want string
		arguments  []string
	}{
		{"flag", `--max-txn-ops must be a whole number of 0 or more, within its range, not "x".`, []string{"--max-txn-ops", "x"}},
		{"no server", "start the local hot tier: no no-such-server was found on this machine: install Redis 7 or newer", []string{"--redis-server", "no-such-server"}},
		{"data directory", "start the local hot tier: the data directory /dev/null/x/redis cannot be made: not a directory.", []string{"--data-dir", "/dev/null/x"}},
		{"unfit Redis", `cannot be used: Redis has maxmemory-policy "allkeys-lru" and may delete data to free memory: set maxmemory-policy to noeviction.`, []string{"--hot-tier", unfit.URL()}},
		{"TLS", "asks for TLS, and there is no certificate", []string{"--listen-client-urls", "https://127.0.0.1:" + strconv.Itoa(port)}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			arguments := append([]string{"--data-dir", filepath.Join(cluster.Folder(t), "data"), "--log-level", "error"}, c.arguments...)
			p := program(t, arguments...)
			p.Start()
			if code := p.WaitExit(patience); code != 2 || !strings.Contains(p.Log(), c.want) || strings.Count(p.Log(), "\n") != 1 {
				t.Errorf("code %d, want 2 and %q:\n%s", code, c.want, p.Log())
			}
		})
	}
}

// A second tierd is refused a directory or an address that the first one has.
func TestConflictsBetweenTwo(t *testing.T) {
	t.Parallel()
	first := cluster.StartFrontend(t, cluster.FrontendOptions{})
	for want, arguments := range map[string][]string{
		"another tierd uses the data directory": {"--data-dir", first.DataDir()},
		"address already in use": {"--data-dir", filepath.Join(cluster.Folder(t), "data"),
			"--listen-client-urls", first.Endpoint()},
	} {
		second := program(t, arguments...)
		second.Start()
		if code := second.WaitExit(patience); code != 2 || !strings.Contains(second.Log(), want) {
			t.Errorf("code %d, want 2 and %q:\n%s", code, want, second.Log())
		}
	}
	if err := first.Ready(); err != nil {
		t.Errorf("the first one suffered: %v", err)
	}
}

func TestStopsCleanly(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		f := cluster.StartFrontend(t, cluster.FrontendOptions{})
		if _, err := f.Client().Put(t.Context(), "key", "value"); err != nil {
			t.Fatal(err)
		}
		server := redisPID(t, f.Log())
		f.Signal(signal)
		if code := f.WaitExit(patience); code != 0 {
			t.Errorf("code %d after %v:\n%s", code, signal, f.Log())
		}
		if err := gone(server); err != nil {
			t.Errorf("after %v: %v", signal, err)
		}
		f.Restart()
		if answer, err := f.Client().Get(t.Context(), "key"); err != nil || len(answer.Kvs) != 1 {
			t.Errorf("the write is gone after %v: %v, %v", signal, answer, err)
		}
	}
}

// SIGKILL leaves no server behind, and what was acknowledged is there after it.
func TestSurvivesSIGKILL(t *testing.T) {
	t.Parallel()
	f := cluster.StartFrontend(t, cluster.FrontendOptions{})
	for round := range 3 {
		key := fmt.Sprintf("key%d", round)
		if _, err := f.Client().Put(t.Context(), key, "value"); err != nil {
			t.Fatal(err)
		}
		server := redisPID(t, f.Log())
		f.Kill()
		if runtime.GOOS == "linux" {
			cluster.Await(t, patience, "the end of redis-server", func() error { return gone(server) })
		}
		f.Restart()
		answer, err := f.Client().Get(t.Context(), key)
		if err != nil || len(answer.Kvs) != 1 {
			t.Fatalf("an acknowledged write is gone: %v, %v", answer, err)
		}
	}
}

// A private server that is killed is started again under the running frontend.
func TestRedisIsStartedAgain(t *testing.T) {
	t.Parallel()
	f := cluster.StartFrontend(t, cluster.FrontendOptions{})
	client := f.Client()
	if _, err := client.Put(t.Context(), "key", "value"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(redisPID(t, f.Log()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cluster.Await(t, patience, "an answer from the new server", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		answer, err := client.Get(ctx, "key")
		if err == nil && len(answer.Kvs) != 1 {
			t.Fatalf("an acknowledged write is gone: %v", answer)
		}
		return err
	})
}

// A second signal ends the process at once, even where a drain would wait.
func TestSecondSignalExits(t *testing.T) {
	t.Parallel()
	f := cluster.StartFrontend(t, cluster.FrontendOptions{})
	server := redisPID(t, f.Log())
	// A stopped server answers nothing: whoever waits for it waits long.
	if err := syscall.Kill(server, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	f.Signal(syscall.SIGTERM)
	cluster.Await(t, patience, "the first signal to be taken", func() error {
		if !strings.Contains(f.Log(), `"msg":"stopping"`) {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	f.Signal(syscall.SIGTERM)
	if code := f.WaitExit(patience); code != signalExitBase+int(syscall.SIGTERM) {
		t.Errorf("code %d:\n%s", code, f.Log())
	}
	if runtime.GOOS != "linux" {
		_ = syscall.Kill(server, syscall.SIGKILL)
	}
	cluster.Await(t, patience, "the end of redis-server", func() error { return gone(server) })
}

// A Redis that is away when tierd starts is waited for, and a signal ends that.
func TestWaitsForRedis(t *testing.T) {
	t.Parallel()
	server := cluster.StartRedis(t, cluster.RedisOptions{})
	server.Kill()
	waiting := func(f *cluster.Frontend) {
		f.Start()
		cluster.Await(t, patience, "a line about the wait", func() error {
			if !strings.Contains(f.Log(), "waiting for the hot tier") {
				return fmt.Errorf("not yet")
			}
			return nil
		})
	}
	patient := cluster.NewFrontend(t, cluster.FrontendOptions{HotTier: server.URL()})
	stopped := cluster.NewFrontend(t, cluster.FrontendOptions{HotTier: server.URL()})
	waiting(patient)
	waiting(stopped)
	if code := stopped.Terminate(patience); code != 0 {
		t.Errorf("code %d after SIGTERM:\n%s", code, stopped.Log())
	}
	server.Restart()
	patient.AwaitReady()
}

// Profiles and metrics are served on the metrics address, profiles only if asked.
func TestMetricsAddress(t *testing.T) {
	t.Parallel()
	for _, profiles := range []bool{false, true} {
		address := fmt.Sprintf("127.0.0.1:%d", cluster.FreePort(t))
		arguments := []string{"--listen-metrics-urls", "http://" + address}
		want := http.StatusNotFound
		if profiles {
			arguments, want = append(arguments, "--enable-pprof"), http.StatusOK
		}
		f := cluster.StartFrontend(t, cluster.FrontendOptions{Args: arguments})
		if _, err := f.Client().Put(t.Context(), "key", "value"); err != nil {
			t.Fatal(err)
		}
		if status, _ := fetch(t, "http://"+address+"/debug/pprof/cmdline"); status != want {
			t.Errorf("profiles %v: status %d, want %d", profiles, status, want)
		}
		status, text := fetch(t, "http://"+address+"/metrics")
		if status != http.StatusOK || !regexp.MustCompile(`(?m)^tierd_redis_round_trip_seconds_count\{script="[a-z]+"\} [1-9]`).MatchString(text) {
			t.Errorf("the metrics hold no round trips: status %d", status)
		}
	}
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// Traces go to the collector that was named; one that is gone does not fail a stop.
func TestTracesAreSent(t *testing.T) {
	t.Parallel()
	collector, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := cluster.StartFrontend(t, cluster.FrontendOptions{Args: []string{
		"--enable-distributed-tracing", "--distributed-tracing-address", collector.Addr().String(), "--distributed-tracing-sampling-rate", "1000000",
	}})
	if _, err := f.Client().Put(t.Context(), "key", "value"); err != nil {
		t.Fatal(err)
	}
	conn, err := collector.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(conn.Close(), collector.Close()); err != nil {
		t.Error(err)
	}
	f.Stop()
}

// The log can go to a file, as readable lines.
func TestLogToFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(cluster.Folder(t), "log")
	f := cluster.StartFrontend(t, cluster.FrontendOptions{Args: []string{"--log-outputs", path, "--log-format", "console"}})
	f.Stop()
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), `msg="serving clients"`) || f.Log() != "" {
		t.Errorf("the file holds %q (%v), the error output %q", text, err, f.Log())
	}
}
