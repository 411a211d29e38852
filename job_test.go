package tierd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeAWS answers as the AWS CLI does to what deploy/aws/job.sh asks, of a task that ends with code 3, and writes down what
// it was called with.
const fakeAWS = `#!/usr/bin/env bash
for word in "$@"; do printf '%s\n' "$word" >> "$CALLS"; done
echo -- >> "$CALLS"
case "$1 $2" in
  "ecs describe-services") echo '{"awsvpcConfiguration":{"subnets":["subnet-1"]}}' ;;
  "ecs run-task") echo "$TASK" ;;
  "ecs wait") ;;
  "logs get-log-events") echo "OK: nothing is missing" ;;
  "ecs describe-tasks") echo 3 ;;
  *) echo "unexpected: $*" >&2; exit 2 ;;
esac
`

// runJob runs deploy/aws/job.sh beside a fake of the AWS CLI and returns what it printed, its exit code, and its calls.
func runJob(t *testing.T, task string, arguments ...string) (output string, code int, calls []string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "aws"), []byte(fakeAWS), 0o700); err != nil {
		t.Fatal(err)
	}
	written := filepath.Join(dir, "calls")
	cmd := exec.CommandContext(t.Context(), "deploy/aws/job.sh", arguments...)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "NAME=shop", "CALLS="+written, "TASK="+task)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	text, err := os.ReadFile(written)
	if err != nil {
		t.Fatalf("%v\n%s", err, errOut.String())
	}
	return out.String(), cmd.ProcessState.ExitCode(), strings.Split(string(text), "--\n")
}

// TestJobRunsACommand: the command reaches the task word by word, and its log and its exit code come back.
func TestJobRunsACommand(t *testing.T) {
	t.Parallel()
	output, code, calls := runJob(t, "arn:aws:ecs:eu-central-1:1:task/shop/0123", "shard-apply", "shard", "split", `a "quoted" \ key`)
	if code != 3 || output != "OK: nothing is missing\n" {
		t.Errorf("it printed %q and ended with %d", output, code)
	}
	if len(calls) != 6 {
		t.Fatalf("the AWS CLI was called %d times, not five: %q", len(calls)-1, calls)
	}
	_, overrides, _ := strings.Cut(calls[1], "--overrides\n")
	overrides, _, _ = strings.Cut(overrides, "\n")
	var given struct {
		ContainerOverrides []struct {
			Name    string
			Command []string
		}
	}
	if err := json.Unmarshal([]byte(overrides), &given); err != nil {
		t.Fatalf("%v: %s", err, overrides)
	}
	if o := given.ContainerOverrides; len(o) != 1 || o[0].Name != "shard-apply" || strings.Join(o[0].Command, "|") != `shard|split|a "quoted" \ key` {
		t.Errorf("the task was to run %+v", o)
	}
	for i, want := range []string{"shop-frontends\n", "--task-definition\nshop-shard-apply\n", "arn:aws:ecs:eu-central-1:1:task/shop/0123\n",
		"--log-group-name\n/tierd/shop/jobs\n--log-stream-name\njob/shard-apply/0123\n"} {
		if !strings.Contains(calls[i], want) {
			t.Errorf("call %d lacks %q: %q", i, want, calls[i])
		}
	}
}

// TestJobWithoutACommand: a job alone is run as it is scheduled, and one that is not started says so.
func TestJobWithoutACommand(t *testing.T) {
	t.Parallel()
	_, _, calls := runJob(t, "arn:aws:ecs:eu-central-1:1:task/shop/0123", "pki-renew")
	if !strings.Contains(calls[1], "--overrides\n{}\n") || !strings.Contains(calls[3], "/tierd/shop/pki\n") {
		t.Errorf("it was run otherwise: %q", calls)
	}
	if _, code, calls := runJob(t, "None", "restore-drill"); code != 1 || len(calls) != 3 {
		t.Errorf("a task that was not started ended with %d after %d calls", code, len(calls)-1)
	}
}
