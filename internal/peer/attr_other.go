//go:build !linux

package peer

import "syscall"

// attributes give a broker a group of its own, so that a kill reaches its children as
// well.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
