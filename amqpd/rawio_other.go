//go:build !unix

package amqpd

// rawIO is for systems with Unix's non-blocking sockets.
type rawIO struct{}

func newRawIO(*conn) *rawIO { return nil }

func (*rawIO) read() (int, error) { panic("amqpd: no raw reads on this system") }
func (*rawIO) readMore() int      { panic("amqpd: no raw reads on this system") }
func (*rawIO) writeSome() error   { panic("amqpd: no raw writes on this system") }
