package cluster

import "syscall"

// childAttributes puts a child in a process group of its own, so that it can be
// killed with its children, and has the kernel kill it if the test binary dies
// without running its cleanup.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
