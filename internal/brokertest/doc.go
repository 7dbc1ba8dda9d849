// Package brokertest runs a whole broker in a test's own process, and has a
// client that shows frames as they are. The built binary as a process, to be
// killed and restarted, is the harness of internal/e2e, which links nothing of
// the broker that it judges.
//
//	b := brokertest.Start(t, brokertest.Options{})   // a listener on 127.0.0.1, data in t.TempDir()
//	conn, err := amqp091.Dial(b.URL())               // a client library, or
//	c := b.Client(t)                                 // frames by hand, past the handshake
//	c.Send(1, &wire.ChannelOpen{})
//	brokertest.Expect[*wire.ChannelOpenOk](c, 1)
//
// Only tests import it.
package brokertest
