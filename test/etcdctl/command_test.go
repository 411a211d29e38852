package etcdctl_test

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tierd/tierd/test/cluster"
)

// commandBound is how long a command may take; it is only met by one that hangs.
const commandBound = 90 * time.Second

// commandSpec says what to run.
type commandSpec struct {
	path string
	args []string
	env  []string
}

// command is a running program whose output can be read while it runs.
type command struct {
	tb     testing.TB
	cmd    *exec.Cmd
	input  io.WriteCloser
	stdout outputBuffer
	stderr outputBuffer
	ended  chan struct{} // closed once the program has ended
}

// outcome is what an ended program leaves.
type outcome struct {
	stdout, stderr string
	// exit is the exit code, or the signal that ended the program.
	exit string
}

// outputBuffer collects output and may be read meanwhile.
type outputBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write appends.
func (b *outputBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(data)
}

// String returns all that was written so far.
func (b *outputBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func launch(tb testing.TB, label string, spec commandSpec) *command {
	tb.Helper()
	c := &command{tb: tb, cmd: exec.Command(spec.path, spec.args...), ended: make(chan struct{})}
	c.cmd.Env = spec.env
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	input, err := c.cmd.StdinPipe()
	if err != nil {
		tb.Fatalf("%s: %v", label, err)
	}
	c.input = input
	if err := c.cmd.Start(); err != nil {
		tb.Fatalf("%s: %v", label, err)
	}
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait() // the state says the same
	}()
	tb.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may have ended
		<-c.ended
	})
	return c
}

func (c *command) send(label, text string) {
	c.tb.Helper()
	if _, err := io.WriteString(c.input, text); err != nil {
		c.tb.Fatalf("%s: write to its input: %v", label, err)
	}
}

func (c *command) closeInput() { _ = c.input.Close() }

// awaitLines waits until the command has printed so many lines in all.
func (c *command) awaitLines(label string, lines int) {
	c.tb.Helper()
	cluster.Await(c.tb, commandBound, label, func() error {
		printed := strings.Count(c.stdout.String(), "\n")
		if printed >= lines {
			return nil
		}
		select {
		case <-c.ended:
			c.tb.Fatalf("%s: it ended after %d of %d lines\nstdout: %s\nstderr: %s",
				label, printed, lines, c.stdout.String(), c.stderr.String())
		default:
		}
		return fmt.Errorf("%d of %d lines: %q, stderr %q", printed, lines, c.stdout.String(), c.stderr.String())
	})
}

// stop sends a signal and waits for the end.
func (c *command) stop(label string, signal syscall.Signal) outcome {
	c.tb.Helper()
	_ = c.cmd.Process.Signal(signal) // it may have ended
	return c.wait(label)
}

// wait waits for the end.
func (c *command) wait(label string) outcome {
	c.tb.Helper()
	return c.waitAtMost(label, commandBound)
}

// waitAtMost waits for the end of a command that takes long by design.
func (c *command) waitAtMost(label string, bound time.Duration) outcome {
	c.tb.Helper()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-timer.C:
		c.tb.Fatalf("%s: it did not end within %v\nstdout: %s\nstderr: %s",
			label, bound, c.stdout.String(), c.stderr.String())
	}
	return outcome{stdout: c.stdout.String(), stderr: c.stderr.String(), exit: exitOf(c.cmd)}
}

func exitOf(cmd *exec.Cmd) string {
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return "signal " + status.Signal().String()
	}
	return fmt.Sprint(cmd.ProcessState.ExitCode())
}
