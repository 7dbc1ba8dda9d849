// Package mgmt is a client of the management HTTP API, Leveret's or RabbitMQ's.
//
// Objects of the API are Objects, which keep every field that a broker answers with,
// so that whoever lists them may name fields that this package does not know. What is
// sent has types of its own.
//
// # Errors
//
//	*Error        the broker answered with a status that is no success; it has the
//	              status and the broker's reason
//	*Unreachable  there was no answer: nobody listens, or no whole answer came
//
// Names are escaped by Path, so that any name that AMQP allows can be asked for.
//
// # Files
//
//	client.go   requests, answers, errors
//	object.go   objects and their fields
//	access.go   users, vhosts, permissions, limits, policies
//	objects.go  queues, exchanges, bindings, connections
//	broker.go   overview, definitions, health
package mgmt
