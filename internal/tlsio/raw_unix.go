//go:build unix

package tlsio

import (
	"io"
	"net"
	"syscall"
)

// rawReader reads a TCP socket where package net would block: the buffer is given back
// before a wait.
type rawReader struct {
	conn   syscall.RawConn
	readFn func(fd uintptr) bool
	err    error
}

func newRawReader(c *Conn) *rawReader {
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	rc, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	raw := &rawReader{conn: rc}
	raw.readFn = func(fd uintptr) bool {
		for {
			n, err := syscall.Read(int(fd), c.room())
			switch {
			case err == syscall.EINTR:
				continue
			case err == syscall.EAGAIN:
				c.rest()
				return false
			case err == nil && n == 0:
				err = io.EOF
			}
			c.w += max(n, 0)
			raw.err = err
			return true
		}
	}
	return raw
}

// read waits for bytes and reads them behind c.w.
func (raw *rawReader) read() error {
	raw.err = nil
	if err := raw.conn.Read(raw.readFn); err != nil {
		return err
	}
	return raw.err
}
