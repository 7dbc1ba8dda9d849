package peer

import "syscall"

// attributes give a broker a group of its own, so that a kill reaches its children as
// well, and end it with its parent.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
