package cluster

import (
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Bounds on what a test waits for. They are far above what is normal, so that a
// loaded machine does not fail a test; how fast it is, is for benchmarks.
const (
	readyBound     = 60 * time.Second
	dialBound      = 20 * time.Second
	probeBound     = 5 * time.Second
	terminateBound = 30 * time.Second
)

// Frontend is one `tierd serve`.
type Frontend struct {
	*Process
	tb      testing.TB
	name    string
	dataDir string
	port    int
	tls     *tls.Config
}

// FrontendOptions are the choices a test has. Only the zero value of HotTier has a
// meaning of its own: the frontend then runs its own redis-server in its data dir.
type FrontendOptions struct {
	// Name is the member's name; default "default".
	Name string
	// HotTier is the URL of a Redis.
	HotTier string
	// DataDir is kept over restarts; default a temporary folder.
	DataDir string
	// Binary is the program; default one built from this repository.
	Binary string
	// Race runs a binary built with the race detector, whose reports fail the test.
	Race bool
	// TLS is how this package itself reaches the frontend, which then serves https; Args
	// have to say with which certificate. nil for http.
	TLS *tls.Config
	// Args are added to the command line.
	Args []string
	// Env is added to the environment.
	Env []string
}

// StartFrontend starts a frontend and waits until it is ready.
func StartFrontend(tb testing.TB, options FrontendOptions) *Frontend {
	tb.Helper()
	f := NewFrontend(tb, options)
	f.Start()
	f.AwaitReady()
	return f
}

// NewFrontend prepares a frontend on a free port without starting it.
func NewFrontend(tb testing.TB, options FrontendOptions) *Frontend {
	tb.Helper()
	logDir := Folder(tb)
	if options.Name == "" {
		options.Name = "default"
	}
	if options.DataDir == "" {
		options.DataDir = filepath.Join(logDir, "data")
	}
	f := &Frontend{tb: tb, name: options.Name, dataDir: options.DataDir, port: FreePort(tb), tls: options.TLS}
	var env []string
	if options.HotTier == "" {
		env = append(env, "TIERD_REDIS_SERVER="+redisServer())
	}
	if options.Race {
		env = append(env, "GORACE=halt_on_error=1 exitcode=66")
	}
	env = append(env, options.Env...)
	if options.Binary == "" {
		options.Binary = Binary(tb, options.Race)
	}
	f.Process = NewProcess(tb, Command{
		Name:   "tierd-" + options.Name,
		Path:   options.Binary,
		Args:   append(f.arguments(options), options.Args...),
		Env:    env,
		LogDir: logDir,
	})
	return f
}

func (f *Frontend) arguments(options FrontendOptions) []string {
	args := []string{
		"serve",
		"--name", f.name,
		"--data-dir", f.dataDir,
		"--listen-client-urls", f.Endpoint(),
		"--advertise-client-urls", f.Endpoint(),
	}
	if options.HotTier != "" {
		args = append(args, "--hot-tier", options.HotTier)
	}
	return args
}

// Name is the member's name.
func (f *Frontend) Name() string { return f.name }

// Endpoint is the client URL, the same over restarts.
func (f *Frontend) Endpoint() string {
	if f.tls != nil {
		return "https://" + f.Address()
	}
	return localURL(f.port)
}

// Address is host and port that clients are served on.
func (f *Frontend) Address() string { return localAddress(f.port) }

// DataDir is the frontend's data folder.
func (f *Frontend) DataDir() string { return f.dataDir }

// LocalRedisPID is the process id of the redis-server that the frontend runs in
// its data folder, which a test may kill.
func (f *Frontend) LocalRedisPID() int {
	f.tb.Helper()
	socket := ""
	err := filepath.WalkDir(f.dataDir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type() == fs.ModeSocket {
			socket = path
		}
		return err
	})
	if err != nil || socket == "" {
		f.tb.Fatalf("find the socket of %s's redis-server in %s: %q, error %v", f.name, f.dataDir, socket, err)
	}
	return PIDOf(f.tb, socket)
}

// AwaitReady waits until /readyz answers 200, and fails at once if the process
// ends before.
func (f *Frontend) AwaitReady() {
	f.tb.Helper()
	exited := f.Exited()
	Await(f.tb, readyBound, f.name+" is ready", func() error {
		select {
		case <-exited:
			f.tb.Fatalf("%s ended before it was ready:\n%s", f.name, f.Log())
		default:
		}
		return f.Ready()
	})
}

// Ready asks /readyz once.
func (f *Frontend) Ready() error {
	client := &http.Client{Timeout: probeBound, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: f.tls}}
	response, err := client.Get(f.Endpoint() + "/readyz")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("read /readyz: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz: %s: %s", response.Status, body)
	}
	return nil
}

// Restart starts an ended frontend again, on the same folder and port, and waits
// until it is ready.
func (f *Frontend) Restart() {
	f.tb.Helper()
	f.Start()
	f.AwaitReady()
}

// Stop terminates the frontend and fails the test if it does not exit cleanly.
func (f *Frontend) Stop() {
	f.tb.Helper()
	if code := f.Terminate(terminateBound); code != 0 {
		f.tb.Fatalf("%s ended with code %d on SIGTERM:\n%s", f.name, code, lastLines(f.Log(), failureLogLines))
	}
}

// Client returns an etcd client of this frontend alone, closed with the test.
func (f *Frontend) Client() *clientv3.Client {
	f.tb.Helper()
	return DialTLS(f.tb, f.tls, f.Endpoint())
}

// Dial returns an etcd client of the endpoints, closed with the test.
func Dial(tb testing.TB, endpoints ...string) *clientv3.Client {
	tb.Helper()
	return DialTLS(tb, nil, endpoints...)
}

// DialTLS is Dial for endpoints that serve https, unless config is nil.
func DialTLS(tb testing.TB, config *tls.Config, endpoints ...string) *clientv3.Client {
	tb.Helper()
	return dial(tb, clientv3.Config{TLS: config}, endpoints)
}

// DialAs is Dial as a user with a password.
func DialAs(tb testing.TB, user, password string, endpoints ...string) *clientv3.Client {
	tb.Helper()
	return dial(tb, clientv3.Config{Username: user, Password: password}, endpoints)
}

func dial(tb testing.TB, config clientv3.Config, endpoints []string) *clientv3.Client {
	tb.Helper()
	config.Endpoints, config.DialTimeout, config.Logger = endpoints, dialBound, quietLogger()
	client, err := clientv3.New(config)
	if err != nil {
		tb.Fatalf("dial %v: %v", endpoints, err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	return client
}
