// Package clients holds the tests of the broker with the clients that applications use:
// unmodified, as the registries ship them, each driving the built binary. It has no code
// but tests.
//
// # Programs and steps
//
// Each client has one small program in testdata (amqp091-go's is amqp091_test.go), written
// as its users would write it. A program is called with the broker's URL, the name of a
// step and the name of a queue, and prints what it sees, a line each. The lines of a step
// are the same for all clients:
//
//	publish     declare the queue; publish three persistent messages, each confirmed; get a
//	            mandatory one back that no queue takes
//	consume     consume three messages with a prefetch of one, acknowledging each
//	requeue     give a message back once, see it again with its redelivered flag
//	deadletter  reject one message, let another expire; read both deaths in x-death
//	rpc         three calls answered through amq.rabbitmq.reply-to
//	reconnect   publish and hold a message while the broker is killed and started again;
//	            find everything confirmed, and go on publishing
//
// What a program cannot see itself the test sees with a connection of its own.
//
// celery_test.go has Celery's workers and tasks instead of steps, and suites_test.go runs
// the tests that clients bring along. rabbitmqadmin_test.go runs every command that
// RabbitMQ's own tool for the management API lists, with every argument that it lists.
//
// # Which broker
//
// LEVERET_E2E_URL, LEVERET_E2E_BINARY and LEVERET_E2E_RACE are those of package e2e: tests
// whose name begins with TestClient judge the broker at the URL where one is given, with
// its management API at LEVERET_E2E_HTTP (default http://127.0.0.1:15672). For
// the others CRASH_COMMAND and CRASH_URL name another broker that may be killed.
//
// # Where the clients come from
//
// Debian and npm, by ../install-clients; rabbitmqadmin is taken out of Debian's package of
// RabbitMQ, which is not installed for it. A test that misses its client fails.
package clients
