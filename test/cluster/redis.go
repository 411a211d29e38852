package cluster

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// redisReadyBound is how long a redis-server may take from its start to its first
	// answer, loading included.
	redisReadyBound = 30 * time.Second
	// controlTimeout is how long a question of this package waits for one server,
	// which may be paused.
	controlTimeout = time.Second
)

// Redis is a real redis-server of the test's own: no databases but its own
// folder's, AOF with every write synced, no eviction, on a unix socket (and on a
// TCP port where asked).
type Redis struct {
	*Process
	tb     testing.TB
	dir    string
	socket string
	port   int
	// announced is the port that other servers reach it at, if that is not port.
	announced int
	control   *redis.Client // for this package's own questions
	user      string        // for tierd
}

// RedisOptions are the choices a test has.
type RedisOptions struct {
	// Name identifies the server in failures; default "redis-server".
	Name string
	// TCP makes the server listen on a free port too.
	TCP bool
	// Config is added to the command line, so it wins over the defaults:
	// "--appendfsync", "everysec".
	Config []string
	// User is whom URLs name, whose password is UserPassword; empty for the default
	// user. It has to be made by Config: see LeastRights.
	User string
}

// StartRedis starts a redis-server and waits until it answers.
func StartRedis(tb testing.TB, options RedisOptions) *Redis {
	tb.Helper()
	r := newRedis(tb, options)
	r.Start()
	r.AwaitReady()
	return r
}

// newRedis prepares a redis-server without starting it.
func newRedis(tb testing.TB, options RedisOptions) *Redis {
	tb.Helper()
	dir := Folder(tb)
	if options.User == "" && os.Getenv(leastRightsVariable) != "" {
		options.User, options.Config = LeastUser, append(options.Config, LeastRights(tb, "{*")...)
	}
	r := &Redis{tb: tb, dir: dir, socket: filepath.Join(dir, "redis.sock"), user: options.User}
	if options.TCP {
		r.port = FreePort(tb)
	}
	// What a Sentinel changes is written here, and holds after a restart.
	config := filepath.Join(dir, "redis.conf")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		tb.Fatalf("write a configuration for redis-server: %v", err)
	}
	r.Process = NewProcess(tb, Command{
		Name:   cmp.Or(options.Name, "redis-server"),
		Path:   redisServer(),
		Args:   append(append([]string{config}, r.arguments()...), options.Config...),
		LogDir: dir,
	})
	r.control = redis.NewClient(&redis.Options{
		Network: "unix", Addr: r.socket, MaxRetries: -1, DialTimeout: controlTimeout, ReadTimeout: controlTimeout,
	})
	tb.Cleanup(func() { _ = r.control.Close() })
	return r
}

// Program is the program that runs as Redis; it can be a Sentinel, too.
func (r *Redis) Program() string { return redisServer() }

// redisServer is the program to run as Redis.
func redisServer() string {
	if path := os.Getenv("TIERD_TEST_REDIS_SERVER"); path != "" {
		return path
	}
	return "redis-server"
}

func (r *Redis) arguments() []string {
	return []string{
		"--port", fmt.Sprint(r.port),
		"--bind", "127.0.0.1",
		"--unixsocket", r.socket,
		"--dir", r.dir,
		"--appendonly", "yes",
		"--appendfsync", "always",
		"--maxmemory-policy", "noeviction",
		"--save", "",
		"--daemonize", "no",
	}
}

// URL is the address of the server in the form that tierd's --hot-tier takes.
func (r *Redis) URL() string { return r.DatabaseURL(0) }

// DatabaseURL is the address of one of the server's databases, counted from 0.
func (r *Redis) DatabaseURL(database int) string {
	return databaseURL(r.user, r.socket, database)
}

func databaseURL(user, socket string, database int) string {
	url := "unix://" + credentials(user) + socket
	if database == 0 {
		return url
	}
	return fmt.Sprintf("%s?db=%d", url, database)
}

// Address is host and port of the server's TCP port. It needs RedisOptions.TCP.
func (r *Redis) Address() string { r.tb.Helper(); return localAddress(r.Port()) }

// Port is the server's TCP port. It needs RedisOptions.TCP.
func (r *Redis) Port() int {
	r.tb.Helper()
	if r.port == 0 {
		r.tb.Fatal("this redis-server has no TCP port: set RedisOptions.TCP")
	}
	return r.port
}

// announcedPort is the port by which other servers and Sentinels know it.
func (r *Redis) announcedPort() int { r.tb.Helper(); return cmp.Or(r.announced, r.Port()) }

// TCPURL is the address of the server's TCP port. It needs RedisOptions.TCP.
func (r *Redis) TCPURL() string {
	r.tb.Helper()
	return fmt.Sprintf("redis://%s%s/0", credentials(r.user), r.Address())
}

// Dir is the folder that holds the server's data.
func (r *Redis) Dir() string { return r.dir }

// Client returns a connection for looking into the server, closed with the test.
func (r *Redis) Client() *redis.Client {
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: r.socket, MaxRetries: -1})
	r.tb.Cleanup(func() { _ = client.Close() })
	return client
}

// AwaitReady waits until the server has loaded its data and answers.
func (r *Redis) AwaitReady() {
	r.tb.Helper()
	Await(r.tb, redisReadyBound, "redis-server answers", func() error {
		if !r.Running() {
			r.tb.Fatalf("redis-server ended:\n%s", r.Log())
		}
		return r.control.Ping(context.Background()).Err()
	})
}

// Restart starts a killed server again on the same folder and waits for it.
func (r *Redis) Restart() {
	r.tb.Helper()
	r.Start()
	r.AwaitReady()
}

// PIDOf asks the server behind a unix socket for its process id.
func PIDOf(tb testing.TB, socket string) int {
	tb.Helper()
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, MaxRetries: -1})
	defer client.Close()
	info, err := client.InfoMap(context.Background(), "server").Result()
	if err != nil {
		tb.Fatalf("ask the server at %s for its process id: %v", socket, err)
	}
	pid, err := strconv.Atoi(info["Server"]["process_id"])
	if err != nil {
		tb.Fatalf("read the process id of the server at %s: %v", socket, err)
	}
	return pid
}

// TailFile is the append-only file that takes the writes, in the server's folder.
func (r *Redis) TailFile() string {
	r.tb.Helper()
	return TailFile(r.tb, r.dir)
}

// TailFile finds the append-only file that takes the writes below a folder that
// holds the data of a redis-server (also the folder of a tierd that runs its own).
func TailFile(tb testing.TB, dir string) string {
	tb.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if matched, _ := filepath.Match("*.incr.aof", entry.Name()); matched {
			found = append(found, path)
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		tb.Fatalf("find the append-only file in %s: %d files, error %v", dir, len(found), err)
	}
	sort.Slice(found, func(i, j int) bool { return modified(found[i]).Before(modified(found[j])) })
	return found[len(found)-1]
}

func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// CutTail shortens a file to size bytes, as a disk that lost its last writes
// would. The server must not be running.
func CutTail(tb testing.TB, path string, size int64) {
	tb.Helper()
	info, err := os.Stat(path)
	if err != nil {
		tb.Fatalf("cut the tail of %s: %v", path, err)
	}
	if size > info.Size() {
		tb.Fatalf("cut the tail of %s: it has %d bytes, fewer than %d", path, info.Size(), size)
	}
	if err := os.Truncate(path, size); err != nil {
		tb.Fatalf("cut the tail of %s: %v", path, err)
	}
}
