// Package tlsio stands between a socket and crypto/tls, which makes a system call of
// each record of 16 KiB, and a read of each: [Conn] reads the socket by 64 KiB, gives a
// reader what all records that are there hold, and gathers the records that are written
// until they are flushed. Idle connections hold no buffer here.
//
// Where a socket cannot be read without waiting (it is not TCP, or the system is no
// Unix) reads are passed on as they are.
//
// # Files
//
//	conn.go      records in and out
//	listener.go  for tls.NewListener
//	raw_unix.go  reads without a buffer while they wait; raw_other.go: none
package tlsio
