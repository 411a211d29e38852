package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// ToolError is how a command of tierd failed.
type ToolError struct {
	Arguments []string
	// Code is its exit code, -1 if a signal ended it.
	Code int
	// Text is what it wrote to its error output.
	Text string
}

func (e *ToolError) Error() string {
	return fmt.Sprintf("tierd %s: code %d: %s", strings.Join(e.Arguments, " "), e.Code, strings.TrimSpace(e.Text))
}

// Tool runs another command of tierd than serve to its end, on the hot tier of the
// frontends, and gives what it printed. What is in env is added to its environment.
// The error is a *ToolError if it ran and failed. It may be called from any goroutine.
func (c *Cluster) Tool(ctx context.Context, env []string, arguments ...string) ([]byte, error) {
	own := []string{"TIERD_HOT_TIER=" + strings.Join(c.HotTier, ",")}
	if c.KeyFile != "" {
		own = append(own, "TIERD_ARCHIVE_KEY_FILE="+c.KeyFile)
	}
	return RunTool(ctx, c.binary, append(own, env...), arguments...)
}

// RunTool is Tool for a binary (see Binary) and whatever hot tier arguments and env name.
func RunTool(ctx context.Context, binary string, env []string, arguments ...string) ([]byte, error) {
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, arguments...)
	cmd.Env = append(inherited(), env...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.SysProcAttr = childAttributes()
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return out.Bytes(), &ToolError{arguments, exit.ExitCode(), errOut.String()}
	}
	if err != nil {
		return nil, fmt.Errorf("run tierd %s: %w", strings.Join(arguments, " "), err)
	}
	return out.Bytes(), nil
}
