package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The six patterns and a few more with Python's pika, each program in testdata written
// as a user of RabbitMQ would write it.

// debianPython is the interpreter that Debian's Python packages belong to.
const debianPython = "/usr/bin/python3"

// pika starts a program of testdata with the broker's URL as its first argument.
func pika(t testing.TB, script string, args ...string) *program {
	t.Helper()
	url := brokerURL(t)
	if out, err := exec.Command(debianPython, "-c", "import pika").CombinedOutput(); err != nil {
		t.Fatalf("pika is missing, run ./install-clients (apt-get install python3-pika): %v\n%s", err, out)
	}
	// pika takes the path "/" for a virtual host without a name; %2F is the default one.
	args = append([]string{filepath.Join("testdata", script), strings.TrimSuffix(url, "/") + "/%2F"}, args...)
	p := spawn(t, "", debianPython, args...)
	p.name = script
	return p
}

// queueName is a name for a queue that the programs declare, and cleans up after them.
func queueName(t testing.TB, base string) string {
	name := unique(base)
	removeLater(t, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(name, false, false, false)
		return err
	})
	return name
}

func TestClientPikaSimpleQueueWithAConsumerThatDies(t *testing.T) {
	queue := queueName(t, "pika.hello")
	pika(t, "send.py", queue, "5").finish(t)

	dying := pika(t, "receive.py", queue, "5", "message 3")
	dying.expect(t, "received message 1 new", "received message 2 new", "received message 3 new")
	if stderr := dying.fail(t); !strings.Contains(stderr, "RuntimeError: cannot deal with message 3") {
		t.Errorf("it died of something else:\n%s", stderr)
	}

	lines := pika(t, "receive.py", queue, "3").finish(t)
	// The third had been in its hands; the others may have been on their way to it.
	if len(lines) != 3 || lines[0] != "received message 3 again" ||
		!strings.HasPrefix(lines[1], "received message 4 ") || !strings.HasPrefix(lines[2], "received message 5 ") {
		t.Errorf("the second consumer: %q", lines)
	}
	ready(t, channel(t), queue, 0)
}

func TestClientPikaWorkQueueGivesTheFastWorkerMore(t *testing.T) {
	const tasks = 40
	queue := queueName(t, "pika.tasks")
	slow, fast := pika(t, "worker.py", queue, "0.15"), pika(t, "worker.py", queue, "0.005")
	slow.expect(t, "waiting for tasks")
	fast.expect(t, "waiting for tasks")
	pika(t, "send.py", queue, fmt.Sprint(tasks)).finish(t)

	count := map[*program]int{}
	seen := map[string]bool{}
	for range tasks {
		var worker *program
		var line string
		select {
		case line = <-slow.lines:
			worker = slow
		case line = <-fast.lines:
			worker = fast
		case <-time.After(patience):
		}
		if !strings.HasPrefix(line, "done message ") {
			t.Fatalf("%q after %d of %d tasks\n%s%s", line, len(seen), tasks, slow.stderr.String(), fast.stderr.String())
		}
		if seen[line] {
			t.Errorf("%s twice", line)
		}
		seen[line] = true
		count[worker]++
	}
	if count[fast] <= 2*count[slow] || count[slow] == 0 {
		t.Errorf("the fast worker did %d tasks and the slow one %d", count[fast], count[slow])
	}
	fill(t, dial(t), queue, "quit", "quit")
	if rest := append(slow.finish(t), fast.finish(t)...); len(rest) != 0 {
		t.Errorf("more than there were tasks: %q", rest)
	}
}

func TestClientPikaFanout(t *testing.T) {
	exchange := exchangeName(t, "pika.logs")
	first, second := pika(t, "subscribe.py", exchange, "fanout"), pika(t, "subscribe.py", exchange, "fanout")
	for _, p := range []*program{first, second} {
		if line := p.line(t); !strings.HasPrefix(line, "queue amq.gen-") {
			t.Errorf("%q, want a name from the server", line)
		}
	}
	pika(t, "emit.py", exchange, "fanout", "=one", "key=two", "=end").finish(t)
	for _, p := range []*program{first, second} {
		if lines := p.finish(t); !slices.Equal(lines, []string{"got  one", "got key two"}) {
			t.Errorf("a subscriber: %q", lines)
		}
	}
}

func TestClientPikaDirectBySeveralKeysAQueue(t *testing.T) {
	exchange := exchangeName(t, "pika.direct")
	one := pika(t, "subscribe.py", exchange, "direct", "error", "stop")
	three := pika(t, "subscribe.py", exchange, "direct", "info", "warning", "error", "stop")
	one.line(t)
	three.line(t)
	pika(t, "emit.py", exchange, "direct", "info=a", "error=b", "debug=c", "warning=d", "error.disk=e", "stop=end").finish(t)
	if lines := one.finish(t); !slices.Equal(lines, []string{"got error b"}) {
		t.Errorf("errors only: %q", lines)
	}
	if lines := three.finish(t); !slices.Equal(lines, []string{"got info a", "got error b", "got warning d"}) {
		t.Errorf("all: %q", lines)
	}
}

func TestClientPikaTopic(t *testing.T) {
	exchange := exchangeName(t, "pika.topic")
	lan := pika(t, "subscribe.py", exchange, "topic", "lan.*.#", "stop")
	critical := pika(t, "subscribe.py", exchange, "topic", "*.critical", "kern.*", "stop")
	lan.line(t)
	critical.line(t)
	pika(t, "emit.py", exchange, "topic", "lan=no", "lan.a=1", "lan.a.b.c=2", "wan.lan.a=no", "kern.critical=3", "lan.critical=4", "stop=end").finish(t)
	if lines := lan.finish(t); !slices.Equal(lines, []string{"got lan.a 1", "got lan.a.b.c 2", "got lan.critical 4"}) {
		t.Errorf("lan.*.#: %q", lines)
	}
	if lines := critical.finish(t); !slices.Equal(lines, []string{"got kern.critical 3", "got lan.critical 4"}) {
		t.Errorf("*.critical and kern.*: %q", lines)
	}
}

func TestClientPikaRPCWithTwentyCallsInFlightFromEachOfTwoClients(t *testing.T) {
	const calls = 20
	queue := queueName(t, "pika.rpc")
	server := pika(t, "rpc_server.py", queue)
	server.expect(t, "waiting for requests")
	clients := map[int]*program{}
	for _, first := range []int{0, 1000} {
		clients[first] = pika(t, "rpc_client.py", queue, fmt.Sprint(first), fmt.Sprint(calls))
	}
	for first, client := range clients {
		var want []string
		for n := first; n < first+calls; n++ {
			want = append(want, fmt.Sprintf("square %d %d", n, n*n))
		}
		if got := client.finish(t); !slices.Equal(got, want) {
			t.Errorf("the client from %d: %q", first, got)
		}
	}
	fill(t, dial(t), queue, "quit")
	server.finish(t)
}

func TestClientPikaPrograms(t *testing.T) {
	queue := queueName(t, "pika.programs")
	for script, want := range map[string][]string{
		"order_desk.py": {"taken 1 to 100 in all 100", "served order 1 leaving 99", "103 taken", "104 refused"},
		"redeclare.py": {
			"refused 406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue '" + queue + ".redeclare.py' in vhost '/': received 'false' but current is 'true'",
			"that channel is closed", "the other says still here"},
		"direct_reply.py": {"answers [('one', 'ONE'), ('two', 'TWO'), ('three', 'THREE')]", "asking before listening 406", "listening with acks 406"},
		"mandatory.py":    {"delivered", "returned 312 NO_ROUTE strays", "dropped"},
		"transactions.py": {"before the commit 0", "after the commit 3", "after a rollback 3", "after an ack 2"},
		"properties.py":   {"all the same"},
		"heartbeat.py":    {"awake"},
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			if got := pika(t, script, queue+"."+script).finish(t); !slices.Equal(got, want) {
				t.Errorf("printed %q\nwant    %q", got, want)
			}
			_, err := channel(t).QueueDelete(queue+"."+script, false, false, false)
			must(t, err)
		})
	}
}

// exchangeName is a name for an exchange that the programs declare, and cleans up after
// them.
func exchangeName(t testing.TB, base string) string {
	name := unique(base)
	removeLater(t, func(ch *amqp.Channel) error { return ch.ExchangeDelete(name, false, false) })
	return name
}
