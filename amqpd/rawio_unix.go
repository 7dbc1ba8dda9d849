//go:build unix

package amqpd

import (
	"io"
	"net"
	"syscall"
)

// rawIO reads and writes a TCP socket where package net would block: reads give
// the buffer back before they wait, writes take what the socket takes and never
// wait. The closures are made once, so that a call allocates nothing.
type rawIO struct {
	conn    syscall.RawConn
	readFn  func(fd uintptr) bool
	moreFn  func(fd uintptr) bool
	writeFn func(fd uintptr) bool
	n       int   // of the last read
	err     error // of the last read or write
	late    error // of readMore: the kernel does not tell of it again
}

func newRawIO(c *conn) *rawIO {
	tcp, ok := c.nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	rc, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	raw := &rawIO{conn: rc}
	raw.readFn = func(fd uintptr) bool {
		c.needReadBuf()
		for {
			n, err := syscall.Read(int(fd), c.buf[c.w:])
			switch {
			case err == syscall.EINTR:
				continue
			case err == syscall.EAGAIN:
				if c.w == 0 {
					c.dropReadBuf()
				}
				return false
			case err == nil && n == 0:
				err = io.EOF
			}
			raw.n, raw.err = max(n, 0), err
			return true
		}
	}
	raw.moreFn = func(fd uintptr) bool {
		n, err := syscall.Read(int(fd), c.buf[c.w:])
		switch {
		case err == nil:
			raw.n = n
		case err != syscall.EINTR && err != syscall.EAGAIN:
			raw.late = err
		}
		return true
	}
	raw.writeFn = func(fd uintptr) bool {
		for c.flight.left() > 0 {
			n, err := syscall.Write(int(fd), c.flight.first())
			switch {
			case err == syscall.EINTR:
			case err == syscall.EAGAIN:
				return true
			case err != nil:
				raw.err = err
				return true
			default:
				c.flight.advance(n)
			}
		}
		return true
	}
	return raw
}

// read waits for bytes and reads them behind c.w.
func (raw *rawIO) read() (int, error) {
	if raw.late != nil {
		return 0, raw.late
	}
	raw.err = nil
	if err := raw.conn.Read(raw.readFn); err != nil {
		return 0, err
	}
	return raw.n, raw.err
}

// readMore reads what is there behind c.w, without waiting, and returns how many bytes
// that were. Of an error, as of the stream's end, the next read tells.
func (raw *rawIO) readMore() int {
	raw.n = 0
	_ = raw.conn.Read(raw.moreFn)
	return raw.n
}

// writeSome writes what the socket takes of c.flight at once.
func (raw *rawIO) writeSome() error {
	raw.err = nil
	if err := raw.conn.Write(raw.writeFn); err != nil {
		return err
	}
	return raw.err
}
