// Package e2e holds the end-to-end tests: real clients, a real broker process,
// real sockets and files. It has no code but tests.
//
// # What is tested
//
//	patterns_test.go, pika_test.go   the six messaging patterns and the order desk, with
//	                                 amqp091-go and with Python's pika (testdata/*.py)
//	topology_test.go, routing_test.go, publishing_test.go, consuming_test.go,
//	connection_test.go, tools_test.go
//	                                 what clients lean on beyond the patterns: amqp091-go,
//	                                 Debian's amqp-tools, and a bare socket where a client
//	                                 library hides what is on the wire (raw_test.go)
//	program_test.go                  clients that are programs of their own
//	badinput_test.go                 bytes, frames and clients that misbehave
//	crash_test.go, ledger/           kill -9 under load, again and again, and the book
//	                                 that says afterwards what must, may and must not be there
//	moves_test.go                    kill -9 while messages expire, wait, and are dead-lettered
//	memory_test.go                   more messages than memory
//	large_test.go                    bodies of 128 MiB beside small ones
//	cli_test.go, restart_test.go     the command line, stopping, restarting, damaged files
//	log_test.go, damage_test.go      leveret log beside a running broker, and after damage
//	health_test.go                   GET /health
//	commands_test.go, pty_test.go    the operator's commands and rabbitmqctl, in shells and
//	                                 on terminals
//	monitoring_test.go               Debian's Prometheus scrapes a broker under load, for the
//	                                 queries of RabbitMQ's dashboards and of our own
//	                                 (dashboards_test.go); promtool checks deploy/prometheus
//	broker_test.go, client_test.go   the harness: the process (package child), and short-hands
//	                                 for clients
//
// # Which broker
//
// Tests whose name begins with TestClient need nothing but an AMQP URL. They run
// against the broker at LEVERET_E2E_URL where that is set: a RabbitMQ there is the
// judge of the tests themselves. Without it they share one process of the binary.
// All other tests start, kill and restart the binary themselves. To judge a case that
// a test and Leveret disagree on:
//
//	LEVERET_E2E_URL=amqp://guest:guest@127.0.0.1:5673/ go test -run TestClient ./internal/e2e
//
//	LEVERET_E2E_URL     amqp://… the broker for TestClient…; guest/guest, vhost /
//	LEVERET_E2E_BINARY  a leveret to test instead of one built from ./cmd/leveret
//	LEVERET_E2E_RACE    not empty: build it with the race detector
//	CRASH_ROUNDS        rounds of TestKillNine (30)
//	CRASH_SEED          seed of TestKillNine (from the clock, always printed)
//	CRASH_COMMAND, CRASH_URL
//	                    another broker for TestKillNine: a shell command that runs it in
//	                    the foreground, and where it then listens. What only Leveret
//	                    promises is then not asked
//
// The clients that are not written in Go come from Debian: python3-pika (with
// /usr/bin/python3) and amqp-tools. Package clients has more of them. A test that misses its client fails: a client that
// is not tested is not a client that works.
package e2e
