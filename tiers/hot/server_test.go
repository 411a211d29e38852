package hot_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tierd/tierd/tiers/hot"
)

// patience bounds every wait of these tests; none depends on how long one takes.
const patience = 30 * time.Second

// start runs a private server in dir for the length of the test.
func start(t *testing.T, dir string) *hot.Server {
	t.Helper()
	server, err := hot.StartServer(t.Context(), settings(dir))
	if err != nil {
		t.Fatalf("start a server: %v", err)
	}
	t.Cleanup(func() { closeServer(t, server) })
	return server
}

func settings(dir string) hot.ServerSettings {
	return hot.ServerSettings{Dir: dir, Binary: testBinary(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func closeServer(t *testing.T, server *hot.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := server.Close(ctx); err != nil {
		t.Errorf("close the server: %v", err)
	}
}

// dial connects to a URL for the length of the test.
func dial(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	endpoint, err := hot.ParseEndpoint(url)
	if err != nil {
		t.Fatalf("parse %s: %v", url, err)
	}
	client := endpoint.NewClient()
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close the client: %v", err)
		}
	})
	return client
}

// eventually polls until done says so.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	give := time.NewTimer(patience)
	defer give.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-give.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// alive tells whether a process exists.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestServerIsDurableAndFit(t *testing.T) {
	t.Parallel()
	client := dial(t, start(t, t.TempDir()).URL())
	report, err := hot.Check(t.Context(), client)
	if err != nil || len(report.Warnings) != 0 {
		t.Fatalf("the private server is not fit: %+v, %v", report, err)
	}
	for name, want := range map[string]string{
		"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction",
		"no-appendfsync-on-rewrite": "no", "aof-load-truncated": "yes", "port": "0", "unixsocketperm": "700",
	} {
		values, err := client.ConfigGet(t.Context(), name).Result()
		if err != nil || values[name] != want {
			t.Errorf("%s is %q (%v), want %q", name, values[name], err, want)
		}
	}
}

func TestServerComesBackAfterKill(t *testing.T) {
	t.Parallel()
	server := start(t, t.TempDir())
	client := dial(t, server.URL())
	for round := range 3 {
		key := "key" + strconv.Itoa(round)
		if err := client.Set(t.Context(), key, "value", 0).Err(); err != nil {
			t.Fatalf("write: %v", err)
		}
		killed := server.PID()
		if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
			t.Fatalf("kill the server: %v", err)
		}
		eventually(t, "a new server that answers", func() bool {
			pid := server.PID()
			return pid != 0 && pid != killed && client.Ping(t.Context()).Err() == nil
		})
		if value, err := client.Get(t.Context(), key).Result(); err != nil || value != "value" {
			t.Fatalf("an acknowledged write is gone: %q, %v", value, err)
		}
	}
}

func TestServerKeepsDataOverRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, dir)
	if err := dial(t, first.URL()).Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Fatalf("write: %v", err)
	}
	pid := first.PID()
	closeServer(t, first)
	if alive(pid) || first.PID() != 0 {
		t.Fatalf("Close left the process %d", pid)
	}
	closeServer(t, first)
	if value, err := dial(t, start(t, dir).URL()).Get(t.Context(), "key").Result(); err != nil || value != "value" {
		t.Fatalf("an acknowledged write is gone: %q, %v", value, err)
	}
}

// A torn last record was never answered: it is dropped, and all before it loads.
func TestServerLoadsTornTail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, dir)
	client := dial(t, first.URL())
	for _, key := range []string{"whole", "torn"} {
		if err := client.Set(t.Context(), key, "value", 0).Err(); err != nil {
			t.Fatalf("write: %v", err)
		}
	}
	closeServer(t, first)
	logs, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("append-only files: %v, %v", logs, err)
	}
	info, err := os.Stat(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(logs[0], info.Size()-3); err != nil {
		t.Fatal(err)
	}
	client = dial(t, start(t, dir).URL())
	if n, err := client.Exists(t.Context(), "whole").Result(); err != nil || n != 1 {
		t.Errorf("a whole record is gone: %d, %v", n, err)
	}
	if n, err := client.Exists(t.Context(), "torn").Result(); err != nil || n != 0 {
		t.Errorf("a torn record was loaded: %d, %v", n, err)
	}
}

func TestServerDirBelongsToOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, dir)
	_, err := hot.StartServer(t.Context(), settings(dir))
	if !errors.Is(err, hot.ErrUnfit) || !strings.Contains(err.Error(), "another tierd uses the data directory") {
		t.Fatalf("a second server on one directory: %v", err)
	}
	if err := dial(t, first.URL()).Ping(t.Context()).Err(); err != nil {
		t.Fatalf("the first server suffered: %v", err)
	}
}

// A server whose tierd was killed where the kernel does not end it: the next
// start ends it before it touches the append-only file.
func TestServerEndsLeftover(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closeServer(t, start(t, dir))
	lock, err := os.OpenFile(filepath.Join(dir, "redis.lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatalf("the lock is held after Close: %v", err)
	}
	leftover := exec.Command(testBinary(), filepath.Join(dir, "redis.conf"))
	leftover.ExtraFiles = []*os.File{lock}
	if err := leftover.Start(); err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = leftover.Wait()
	}()
	t.Cleanup(func() { _ = leftover.Process.Kill(); <-ended })

	server := start(t, dir)
	select {
	case <-ended:
	default:
		t.Fatalf("two servers run on %s", dir)
	}
	if server.PID() == leftover.Process.Pid {
		t.Fatal("the leftover was adopted")
	}
}

func TestServerWithLongAndOddPaths(t *testing.T) {
	t.Parallel()
	odd := filepath.Join(t.TempDir(), `a "b" c\d é`)
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	for _, dir := range []string{odd, long} {
		server := start(t, dir)
		if err := dial(t, server.URL()).Ping(t.Context()).Err(); err != nil {
			t.Errorf("ping a server in %q: %v", dir, err)
		}
		closeServer(t, server)
		endpoint, err := hot.ParseEndpoint(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(strings.TrimPrefix(endpoint.String(), "unix://")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Close left the socket of %q: %v", dir, err)
		}
	}
}

// standIn is a program that plays a server in testdata.
func standIn(name string) string {
	return filepath.Join("testdata", "servers", name)
}

func TestServerRefusals(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, dir, binary, want string
		unfit                   bool
	}{
		{"missing program", t.TempDir(), "no-such-redis-server", "no no-such-redis-server was found on this machine: install Redis 7 or newer", true},
		{"old Redis", t.TempDir(), standIn("old-redis"), "is Redis 6, which is too old: install Redis 7 or newer", true},
		{"old Valkey", t.TempDir(), standIn("old-valkey"), "is Valkey 7, which is too old: install", true},
		{"another program", t.TempDir(), standIn("other"), "is not a Redis or Valkey server", true},
		{"broken program", t.TempDir(), standIn("broken"), "does not tell its version (exit status 3)", true},
		{"directory under a file", filepath.Join(file, "dir"), testBinary(), "cannot be made: not a directory", true},
		{"ends at its start", t.TempDir(), standIn("ends"),
			"redis-server ended at its start (exit status 1): disk is upside down", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := settings(c.dir)
			s.Binary = c.binary
			server, err := hot.StartServer(t.Context(), s)
			if err == nil {
				closeServer(t, server)
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), c.want) || errors.Is(err, hot.ErrUnfit) != c.unfit {
				t.Errorf("got %q (unfit: %v), want %q (unfit: %v)", err, errors.Is(err, hot.ErrUnfit), c.want, c.unfit)
			}
		})
	}
}

// The log names the cause where the data itself cannot be loaded.
func TestServerRefusesDamagedData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, dir)
	if err := dial(t, first.URL()).Set(t.Context(), "key", strings.Repeat("v", 1000), 0).Err(); err != nil {
		t.Fatal(err)
	}
	closeServer(t, first)
	logs, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("append-only files: %v, %v", logs, err)
	}
	if err := os.WriteFile(logs[0], []byte("this is no append-only file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := hot.StartServer(t.Context(), settings(dir))
	if err == nil {
		closeServer(t, server)
		t.Fatal("a damaged append-only file was loaded")
	}
	if !strings.Contains(err.Error(), "Bad file format") {
		t.Errorf("the error does not name the cause: %v", err)
	}
}

func TestServerStartIsBoundedByContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	s := settings(t.TempDir())
	s.Binary = standIn("hangs")
	if _, err := hot.StartServer(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

func TestHurriedServerSettles(t *testing.T) {
	t.Parallel()
	server := start(t, t.TempDir())
	client := dial(t, server.URL())
	for i, step := range []func(context.Context, redis.UniversalClient) error{server.Hurry, server.Settle} {
		if err := step(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		values, err := client.ConfigGet(t.Context(), "appendfsync").Result()
		if want := []string{"no", "always"}[i]; err != nil || values["appendfsync"] != want {
			t.Fatalf("appendfsync is %q (%v), want %s", values["appendfsync"], err, want)
		}
	}
}
