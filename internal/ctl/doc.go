// Package ctl is the command line for operators: commands that ask the management API
// of a running broker (leveret user, queue, status, top …), and two that speak AMQP
// (publish and consume), since a confirm is a confirm only there.
//
// # Whom it asks
//
// --url names the management API, --user and --password the login, --vhost the vhost;
// LEVERET_URL, LEVERET_USER, LEVERET_PASSWORD and LEVERET_VHOST where the flags are not
// given. Commands that list show all vhosts where none is named; those about one object
// take the vhost /.
//
// # What it writes
//
// Tables for people, with colours where standard output is a terminal; with --json what
// the API answered, whole. A failure is one line on standard error. Passwords are asked
// for, or are a line of standard input; none must stand on a command line, where others
// see it.
//
// # Exit codes
//
//	0  it is done
//	1  it failed
//	2  the command line is wrong
//	3  what was named is not there
//	4  the broker refuses this user (401, 403)
//	5  the broker cannot be reached, or is not well
//
// # Files
//
//	ctl.go        the commands, their flags, the client
//	fault.go      errors and exit codes
//	list.go       lists of objects as tables
//	complete.go   names for the shell's completion
//	users.go vhosts.go permissions.go policies.go limits.go
//	queues.go exchanges.go clients.go messages.go
//	broker.go audit.go
//	              a group of commands each
//	top.go screen.go
//	              leveret top: what it shows, and the terminal that it shows it on
//	publish.go consume.go
//	              AMQP
package ctl
