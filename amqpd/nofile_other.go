//go:build !unix

package amqpd

// maxOpenFiles is how many files this process may have open, 0 where there is no
// bound.
func maxOpenFiles() int { return 0 }
