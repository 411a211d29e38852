package hot

import "syscall"

// serverProcess keeps the terminal's Ctrl-C from the server, which must outlive
// the draining of its clients, and lets the kernel kill it when we are killed.
func serverProcess() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
