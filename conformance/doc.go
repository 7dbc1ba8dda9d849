// Package conformance is a suite of cases, each of which proves one behaviour that
// clients written for RabbitMQ expect of a broker. It takes an AMQP URL and shares
// nothing with Leveret's broker but the codec of frames, so that it runs against any:
// RabbitMQ is what proves the cases themselves.
//
//	make conformance                 Leveret, built and started for it
//	make conformance PEER=rabbitmq   Debian's RabbitMQ, started for it
//	go run ./conformance/cmd/conformance -url amqp://… [-http http://…] [-run regexp]
//
// As a Go test it takes these from the environment:
//
//	CONFORMANCE_PEER     leveret (default) or rabbitmq: which broker to start
//	CONFORMANCE_URL      amqp://…: a broker that runs already, instead
//	CONFORMANCE_HTTP     http://…: that broker's management API
//	CONFORMANCE_BINARY   a leveret to test instead of one built from ./cmd/leveret
//	CONFORMANCE_UPDATE   not empty: write the results (see Results)
//	CONFORMANCE_LOG      not empty: show the log lines of cases that passed, too
//
// and a subtest for each case: go test -run 'TestConformance/47/' ./conformance
//
// # Cases
//
// A case is one behaviour's number, a name that says what it proves, and a function.
// Cases stand in files by topic, registered by init:
//
//	func init() {
//		register(Case{Behaviour: "46", Name: "the oldest goes when a queue is full", Run: func(t *T) {
//			ch := t.Channel().Confirm()
//			q := ch.Queue(Args{"x-max-length": 2})
//			ch.Put(q, "1", "2", "3")
//			ch.ExpectDrain(q, "2", "3")
//		}})
//	}
//
// Cases run in parallel against one broker. So a case makes all its names with T.Name
// (helpers that declare do it by themselves), and what it declares by helpers goes when
// it ends. What acts on the whole broker has a broker of its own (Own) or a share of one
// that is restarted (Kill, Stop).
//
// What must come is waited for, up to Patience. That something does not come is shown
// by something else that must come after it (Channel.Barrier, Channel.Sync), never by
// sleeping, except where time itself is the subject.
//
// A case first passes on RabbitMQ. Where Leveret deliberately does better, Plus says
// what RabbitMQ lacks; then its failure there is no failure.
//
// # Reading
//
// A Conn keeps what arrives by channel, in order, until it is asked for. Expect[M] takes
// the next method of type M and leaves others; Next takes whatever is next. A channel or
// connection that the peer closes while something else is awaited fails the case with
// the peer's words, and so does a connection.close that nobody has asked for.
//
// # Results
//
// With CONFORMANCE_UPDATE a run against RabbitMQ writes results.tsv (its part of it, where
// it runs a part of the cases), and a whole one against Leveret docs/compatibility.md with
// both. Both are committed; a whole run against Leveret without CONFORMANCE_UPDATE fails
// where the page is not what it would write, and so does the test where a case has no
// result of RabbitMQ's, or a bad one that it does not explain. A new case takes
//
//	CONFORMANCE_PEER=rabbitmq CONFORMANCE_UPDATE=1 go test -run TestConformance/47/ ./conformance
//	make conformance
//
// # Files
//
//	case.go               cases, T
//	peer.go               peers, the suite, restarts
//	conn.go, channel.go, message.go, values.go
//	                      the client
//	manage.go             the management API
//	report.go             results and the page
//	peer/                 starts Leveret and RabbitMQ
//	cmd/conformance/      the command
//	differential_test.go  random programs, run on two brokers whose answers must agree
//	others                cases
package conformance
