// Package identity is what the broker calls itself, wherever it is asked: in AMQP's
// handshake, by the management API, in metrics and on the command line.
package identity

// RabbitMQ is the release that clients, tools and dashboards take the broker for, since
// they switch features on by it.
const RabbitMQ = "3.13.7"

// Node is the name of the one node that there is.
const Node = "leveret@localhost"
