// Package peer runs brokers for whoever tests or measures them: Leveret's binary,
// RabbitMQ as Debian packages it, NATS with JetStream, and the null broker that
// measurements take for their ceiling. Each listens on free ports of 127.0.0.1 only,
// keeps its files in a temporary folder unless told otherwise, dies with the process
// that started it, and is stopped by its process id.
//
// Files: process.go how a broker is started, ended and looked at, with attr_*.go for
// what only Linux has; leveret.go rabbitmq.go nats.go the brokers; certificates.go
// what their TLS listeners show.
package peer
