//go:build !unix

package tlsio

// rawReader is not there.
type rawReader struct{}

func newRawReader(*Conn) *rawReader { return nil }

func (*rawReader) read() error { return nil }
