// Package rabbitmqctl takes the command lines of RabbitMQ's rabbitmqctl, and the health
// checks of rabbitmq-diagnostics, and does by the management API what they ask for. It
// is what the binary is when it is called by one of those names, so that scripts go on
// working.
//
// Options, banners, columns, their order and their form, errors and exit codes are
// RabbitMQ 3.10's; the transcripts in testdata were taken from it. These are its exit
// codes:
//
//	 0  done
//	64  the command line is wrong; so it is for a queue that is not there
//	65  a vhost is not there, a password is wrong, data cannot be read
//	67  a user is not there
//	69  the broker cannot be reached, or does not do it
//	70  a user is there already
//	75  it took too long
//
// # What is different
//
// The broker is found by LEVERET_URL, LEVERET_USER and LEVERET_PASSWORD, else on port
// 15672 of the host that --node names (rabbit@HOST), else of this machine, as guest. There
// is no Erlang cookie: who may not log in to the management API can do nothing here.
//
// A process has no Erlang pid. What stands in the columns of pids tells connections and
// channels apart, and close_connection takes it.
//
// Lists are sorted by name, where RabbitMQ has no order. Types of arguments, which the
// formatter json shows, are those that their values have in JSON.
//
// Commands about clusters, Erlang and RabbitMQ's files are refused with a word on what
// to do instead; the formatter erlang is not known.
//
// # Files
//
//	main.go     the command line: finding the command, its options, usage
//	commands.go the table of commands
//	call.go     one call: the broker, banners, errors
//	output.go   formatters
//	values.go   Erlang's way to write values
//	users.go permissions.go vhosts.go policies.go parameters.go
//	lists.go operations.go node.go checks.go
//	            what the commands do
package rabbitmqctl
