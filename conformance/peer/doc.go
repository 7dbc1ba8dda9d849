// Package peer starts brokers for the conformance suite: Leveret's binary, and
// RabbitMQ as Debian packages it. Each listens on free ports of 127.0.0.1 only, keeps
// its files in a temporary folder and is stopped by its process id. Both have a TLS
// listener with certificates made for the run.
package peer
