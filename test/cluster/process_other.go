//go:build !linux

package cluster

import "syscall"

// childAttributes puts a child in a process group of its own, so that it can be
// killed with its children.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
