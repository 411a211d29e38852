package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// failureLogLines is how much of each process' log a failing test prints.
const failureLogLines = 120

// Command says what to run.
type Command struct {
	// Name identifies the process in failures and names its log file.
	Name string
	// Path is the program, Args what follows it.
	Path string
	Args []string
	// Env is added to the environment of the test, of which TIERD_... is left out.
	Env []string
	// LogDir is the folder of the log file, which collects both outputs over
	// every start of the process.
	LogDir string
}

// Process is a child process that can be stopped by any means and started again.
// Its methods may be called from any goroutine; those that fail, fail the test.
type Process struct {
	tb      testing.TB
	command Command
	logPath string

	mu      sync.Mutex // guards what follows
	current *run       // nil before the first start
	groups  []int      // process groups ever started, for the cleanup
}

// run is one life of a process.
type run struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed once state is set
	state  *os.ProcessState
}

// NewProcess prepares a process without starting it, and registers its cleanup.
func NewProcess(tb testing.TB, command Command) *Process {
	tb.Helper()
	p := &Process{
		tb:      tb,
		command: command,
		logPath: filepath.Join(command.LogDir, command.Name+".log"),
	}
	tb.Cleanup(p.cleanup)
	return p
}

// Start starts the process, which must not be running.
func (p *Process) Start() {
	p.tb.Helper()
	if err := p.start(); err != nil {
		p.tb.Fatalf("start %s: %v", p.command.Name, err)
	}
}

// Exchange has the process run another program from its next start on.
func (p *Process) Exchange(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.command.Path = path
}

func (p *Process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil && p.current.running() {
		return errors.New("it is running already")
	}
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open its log: %w", err)
	}
	defer log.Close()

	cmd := exec.Command(p.command.Path, p.command.Args...)
	cmd.Env = append(inherited(), p.command.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		return err
	}
	life := &run{cmd: cmd, exited: make(chan struct{})}
	p.current = life
	p.groups = append(p.groups, cmd.Process.Pid)
	go life.wait()
	return nil
}

// inherited is the environment without settings of tierd: a test decides on all of
// them, whatever the shell it runs in has set.
func inherited() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "TIERD_")
	})
}

// wait reaps the process. The error repeats what the state says.
func (r *run) wait() {
	_ = r.cmd.Wait()
	r.state = r.cmd.ProcessState
	close(r.exited)
}

func (r *run) running() bool {
	select {
	case <-r.exited:
		return false
	default:
		return true
	}
}

func (p *Process) life() *run {
	p.tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil {
		p.tb.Fatalf("%s was never started", p.command.Name)
	}
	return p.current
}

// Exited is closed when the life of the process that is current now has ended.
func (p *Process) Exited() <-chan struct{} { return p.life().exited }

// Running says whether the process is alive, paused or not.
func (p *Process) Running() bool { return p.life().running() }

// PID is the process id of the current life.
func (p *Process) PID() int { return p.life().cmd.Process.Pid }

// Signal sends a signal to the process, not to its children.
func (p *Process) Signal(signal syscall.Signal) {
	p.tb.Helper()
	if err := p.life().cmd.Process.Signal(signal); err != nil {
		p.tb.Fatalf("send %v to %s: %v", signal, p.command.Name, err)
	}
}

// Kill sends SIGKILL and returns when the process is gone. Killing one that has
// ended already is not a failure: crash tests race with what they crash.
func (p *Process) Kill() {
	p.tb.Helper()
	life := p.life()
	err := life.cmd.Process.Kill()
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.tb.Fatalf("kill %s: %v", p.command.Name, err)
	}
	<-life.exited
}

// Pause stops the process where it stands (SIGSTOP); Resume lets it go on.
func (p *Process) Pause() { p.tb.Helper(); p.Signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (p *Process) Resume() { p.tb.Helper(); p.Signal(syscall.SIGCONT) }

// Terminate sends SIGTERM, waits at most bound for the end and returns the exit
// code. A process that outlives the bound fails the test.
func (p *Process) Terminate(bound time.Duration) int {
	p.tb.Helper()
	p.Signal(syscall.SIGTERM)
	return p.WaitExit(bound)
}

// WaitExit waits at most bound for the process to end by itself and returns its
// exit code (-1 if a signal ended it).
func (p *Process) WaitExit(bound time.Duration) int {
	p.tb.Helper()
	life := p.life()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-life.exited:
		return life.state.ExitCode()
	case <-timer.C:
		p.tb.Fatalf("%s did not end within %v", p.command.Name, bound)
		return -1
	}
}

// Log returns everything the process has written so far.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		return fmt.Sprintf("(no log of %s: %v)", p.command.Name, err)
	}
	return string(text)
}

// cleanup kills every process of every group that was started, so that children
// whose parent was killed by the test go too.
func (p *Process) cleanup() {
	p.mu.Lock()
	life, groups := p.current, p.groups
	p.mu.Unlock()
	for _, group := range groups {
		// The group may be gone already, which is what is wanted.
		_ = syscall.Kill(-group, syscall.SIGKILL)
	}
	if life != nil {
		<-life.exited
	}
	if p.tb.Failed() {
		p.tb.Logf("last lines of %s:\n%s", p.command.Name, lastLines(p.Log(), failureLogLines))
	}
}

func lastLines(text string, limit int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > limit {
		lines = lines[len(lines)-limit:]
	}
	return strings.Join(lines, "\n")
}
