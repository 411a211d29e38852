package docs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// prelude makes bash run scripts one after the other, each to the first line that fails.
const prelude = `set -o errtrace
step() {
  local failed=""
  trap 'failed=$BASH_COMMAND; trap - ERR; return 1' ERR
  source "$1" >"$1.out" 2>&1 </dev/null 3>&-
  local code=$?
  trap - ERR
  printf '%s %s\n' "$code" "${failed//$'\n'/ }" >&3
}
`

// session is a bash that keeps its folder, variables and background processes from one script to the
// next.
type session struct {
	cmd *exec.Cmd
	// dir has the scripts and their output.
	dir      string
	input    io.WriteCloser
	outcomes *bufio.Reader
	count    int
}

// startSession starts bash in a folder; scripts and what they print are kept in dir. It ends with ctx,
// or with close.
func startSession(ctx context.Context, folder, dir string) (*session, error) {
	outcomes, outcome, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer outcome.Close()
	cmd := exec.CommandContext(ctx, "bash", "--norc", "--noprofile")
	cmd.Dir, cmd.ExtraFiles, cmd.Stderr = folder, []*os.File{outcome}, os.Stderr
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = io.WriteString(input, prelude)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start bash: %w", err), outcomes.Close())
	}
	return &session{cmd: cmd, dir: dir, input: input, outcomes: bufio.NewReader(outcomes)}, nil
}

// run runs a script and returns what it printed to either output. The error names the command that
// failed.
func (s *session) run(script string) (string, error) {
	s.count++
	path := filepath.Join(s.dir, fmt.Sprintf("step-%d", s.count))
	if err := os.WriteFile(path, []byte(script+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the script: %w", err)
	}
	if _, err := fmt.Fprintf(s.input, "step %s\n", path); err != nil {
		return "", fmt.Errorf("tell bash: %w", err)
	}
	line, err := s.outcomes.ReadString('\n')
	printed, readErr := os.ReadFile(path + ".out")
	if err = errors.Join(err, readErr); err != nil {
		return string(printed), fmt.Errorf("bash has ended: %w", err)
	}
	code, failed, _ := strings.Cut(strings.TrimSpace(line), " ")
	if code != "0" {
		return string(printed), fmt.Errorf("%s failed", failed)
	}
	return string(printed), nil
}

// close ends bash. What it started in the background goes on.
func (s *session) close() error {
	return errors.Join(s.input.Close(), s.cmd.Wait())
}
