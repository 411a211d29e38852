// Command tierd is an etcd v3 endpoint whose state lives in Redis.
//
// It reads its settings (flags, environment, file), builds the parts from the
// bottom up, serves, and takes them down in the reverse order on SIGTERM. It is
// the only place that may end the process: with 0 after a clean stop, 2 where the
// operator has to change something (a flag, a missing redis-server, a directory,
// a Redis that is not fit), 3 where a check has found nothing worse than warnings, 1
// for everything else. Either way the reason is one sentence on the standard error
// output.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/tiers/hot"
)

// The exit codes.
const (
	exitFailure = 1
	exitUsage   = 2
	exitWarning = 3
)

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is main without the process: it returns the exit code.
func run(arguments, environ []string, stdout, stderr io.Writer) int {
	return execute(newRootCommand(environ), arguments, stdout, stderr)
}

// execute runs a command line and prints its error: it returns the exit code.
func execute(root *cobra.Command, arguments []string, stdout, stderr io.Writer) int {
	root.SetArgs(arguments)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return 0
	}
	sentence := strings.ReplaceAll(strings.TrimSuffix(err.Error(), "."), "\n", "; ")
	fmt.Fprintf(stderr, "tierd: %s.\n", sentence)
	if usage := (*usageError)(nil); errors.As(err, &usage) || errors.Is(err, hot.ErrUnfit) {
		return exitUsage
	}
	if errors.Is(err, errWarnings) {
		return exitWarning
	}
	return exitFailure
}

// usageError is a sentence about something that the operator has to change.
type usageError struct{ sentence string }

func (e *usageError) Error() string { return e.sentence }

func usage(format string, args ...any) error {
	return &usageError{sentence: fmt.Sprintf(format, args...)}
}
