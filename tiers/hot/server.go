package hot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits of the supervision.
const (
	// serverPollInterval is how often a starting server is asked whether it is ready.
	serverPollInterval = 10 * time.Millisecond
	// serverStopTimeout is how long a server may take to stop before it is killed.
	serverStopTimeout = 10 * time.Second
	// serverStableAfter is how long a server must have lived for its death to
	// count as the first one: it is then started again without delay.
	serverStableAfter = 5 * time.Second
	// serverDelayMin and serverDelayMax bound the delay before a server that
	// died early is started again; the delay doubles from one to the other.
	serverDelayMin = 50 * time.Millisecond
	serverDelayMax = 5 * time.Second
)

// ServerSettings say where a private server lives.
type ServerSettings struct {
	// Dir holds everything the server writes; it is created if missing. It
	// belongs to one Server at a time.
	Dir string
	// Binary is the program to run, a path or a name to look up; empty means
	// redis-server, or else valkey-server.
	Binary string
	// Logger gets a line for each start and each death of the server.
	Logger *slog.Logger
}

// Server is a private redis-server (or valkey-server) on a unix socket, fully
// durable: every write is on disk before it is answered. It is started again
// when it dies, and does not outlive this process: on Linux the kernel kills it
// with us, elsewhere the next StartServer on the directory ends it first.
//
// What a crash leaves is an append-only file that ends in at most one torn
// record, which no one was answered for and which the next start drops.
type Server struct {
	settings ServerSettings
	binary   string
	files    serverFiles
	locks    *serverLocks

	// pid is the running server's, 0 between two of them.
	pid atomic.Int64

	stopOnce, killOnce sync.Once
	// stop asks the supervisor to end the server, kill to do so at once; done is
	// closed when it has, and stopErr may be read then.
	stop, kill, done chan struct{}
	stopErr          error
}

// StartServer starts the server and returns once it answers, its data loaded;
// ctx bounds that wait only. The error wraps ErrUnfit where the operator has to
// act: no program to run, one that is too old, a directory that cannot be
// written or that another process uses.
func StartServer(ctx context.Context, settings ServerSettings) (*Server, error) {
	binary, err := findBinary(ctx, settings.Binary)
	if err != nil {
		return nil, err
	}
	files, err := newServerFiles(settings.Dir)
	if err != nil {
		return nil, err
	}
	locks, err := lockServerDir(ctx, files)
	if err != nil {
		return nil, err
	}
	if err := files.prepare(); err != nil {
		return nil, errors.Join(err, locks.release())
	}
	s := &Server{
		settings: settings, binary: binary, files: files, locks: locks,
		stop: make(chan struct{}), kill: make(chan struct{}), done: make(chan struct{}),
	}
	ready := make(chan error, 1)
	go s.supervise(ready)
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = fmt.Errorf("wait for redis-server to load its data: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	return s, nil
}

// URL is the server's address, for ParseEndpoint.
func (s *Server) URL() string {
	return s.files.url()
}

// PID is the process id of the running server, 0 while there is none.
func (s *Server) PID() int {
	return int(s.pid.Load())
}

// Close stops the server and waits for its end; when ctx ends first, or the
// server does not stop in time, it is killed, which loses nothing. Close may be
// called more than once.
func (s *Server) Close(ctx context.Context) error {
	s.stopOnce.Do(func() { close(s.stop) })
	select {
	case <-s.done:
	case <-ctx.Done():
		s.killOnce.Do(func() { close(s.kill) })
		<-s.done
	}
	return s.stopErr
}

// child is one run of the server's program.
type child struct {
	cmd *exec.Cmd
	// exited is closed when the process is gone; err then says how it went.
	exited chan struct{}
	err    error
}

// supervise runs the server until Close. It reports on ready how the first start
// went, and gives up only if that one fails.
func (s *Server) supervise(ready chan<- error) {
	// The kernel kills the server when the thread that started it ends, so the
	// thread is kept for as long as there may be a server.
	runtime.LockOSThread()
	defer close(s.done)
	defer func() { s.stopErr = errors.Join(s.files.removeSocket(), s.locks.release()) }()

	current, err := s.launch()
	if err == nil {
		err = s.awaitReady(current)
	}
	ready <- err
	if err != nil {
		s.terminate(current)
		return
	}
	delay := time.Duration(0)
	for {
		if stable, alive := s.watch(current); alive {
			s.terminate(current)
			return
		} else if stable {
			delay = 0
		}
		s.settings.Logger.Error("redis-server died; starting it again",
			"cause", current.err, "delay", delay, "log", s.files.log)
		if current, err = s.relaunch(delay); err != nil {
			return
		}
		delay = min(max(2*delay, serverDelayMin), serverDelayMax)
	}
}

// watch waits until the server dies or is to be stopped (alive), and tells
// whether it had lived long enough to count as stable.
func (s *Server) watch(current *child) (stable, alive bool) {
	settled := time.NewTimer(serverStableAfter)
	defer settled.Stop()
	for {
		select {
		case <-current.exited:
			return stable, false
		case <-s.stop:
			return stable, true
		case <-settled.C:
			stable = true
		}
	}
}

// errServerStopped ends the supervision.
var errServerStopped = errors.New("redis-server is being stopped")

// relaunch starts the server again after delay, as often as it takes for the
// program to run at all. It fails only when the server is to be stopped.
func (s *Server) relaunch(delay time.Duration) (*child, error) {
	for {
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-s.stop:
			timer.Stop()
			return nil, errServerStopped
		}
		next, err := s.launch()
		if err == nil {
			return next, nil
		}
		delay = min(max(2*delay, serverDelayMin), serverDelayMax)
		s.settings.Logger.Error("redis-server could not be started", "cause", err, "delay", delay)
	}
}

// launch starts the program. It must be called by the supervisor's thread.
func (s *Server) launch() (*child, error) {
	log, err := os.OpenFile(s.files.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of redis-server: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(s.binary, s.files.config)
	cmd.Dir = s.files.dir
	cmd.Stdout, cmd.Stderr = log, log
	// The server and what it forks hold this lock for as long as they live.
	cmd.ExtraFiles = []*os.File{s.locks.server}
	cmd.SysProcAttr = serverProcess()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.binary, err)
	}
	started := &child{cmd: cmd, exited: make(chan struct{})}
	s.pid.Store(int64(cmd.Process.Pid))
	s.settings.Logger.Info("redis-server started", "pid", cmd.Process.Pid, "socket", s.files.socket)
	go func() {
		started.err = cmd.Wait()
		if started.err == nil {
			started.err = errors.New("exit status 0")
		}
		s.pid.CompareAndSwap(int64(cmd.Process.Pid), 0)
		close(started.exited)
	}()
	return started, nil
}

// awaitReady polls the server until it answers with its data loaded.
func (s *Server) awaitReady(current *child) error {
	tick := time.NewTicker(serverPollInterval)
	defer tick.Stop()
	for {
		if s.files.ping() {
			return nil
		}
		select {
		case <-tick.C:
		case <-current.exited:
			return fmt.Errorf("redis-server ended at its start (%w): %s", current.err, s.files.lastLogLine())
		case <-s.stop:
			return errServerStopped
		}
	}
}

// terminate ends the server, politely at first; current may be nil or dead.
func (s *Server) terminate(current *child) {
	if current == nil {
		return
	}
	// An error means that the process is gone, which exited tells anyway.
	_ = current.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(serverStopTimeout)
	defer timer.Stop()
	select {
	case <-current.exited:
		return
	case <-timer.C:
	case <-s.kill:
	}
	s.settings.Logger.Warn("redis-server did not stop in time and is killed", "pid", current.cmd.Process.Pid)
	_ = current.cmd.Process.Kill()
	<-current.exited
}
