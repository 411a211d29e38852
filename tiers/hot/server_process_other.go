//go:build !linux

package hot

import "syscall"

// serverProcess keeps the terminal's Ctrl-C from the server, which must outlive
// the draining of its clients. A server that outlives a killed tierd is ended by
// the next StartServer.
func serverProcess() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
