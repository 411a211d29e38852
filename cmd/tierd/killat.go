package main

import (
	"os"
	"strings"
	"syscall"
)

// killAtVariable names a step of a change over several shards; the process is killed
// when it has done that one. It is for the project's own tests.
const killAtVariable = testPrefix + "KILL_AT"

// killAt is what kills the process at the step that the environment names; nil if it
// names none.
func killAt(environ []string) func(step string) {
	for _, entry := range environ {
		if at, found := strings.CutPrefix(entry, killAtVariable+"="); found && at != "" {
			return func(step string) {
				if step == at {
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // there is nobody left to tell of a failure
					select {}
				}
			}
		}
	}
	return nil
}
