package clients

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// client is a client library and the program that uses it.
type client struct {
	name    string
	command func() ([]string, error) // takes the URL, the step and the queue as more arguments
}

// debianPython is the interpreter that Debian's Python packages belong to.
const debianPython = "/usr/bin/python3"

var clients = []client{
	{"pika", script(debianPython, "testdata/pika_client.py")},
	{"kombu", script(debianPython, "testdata/kombu_client.py")},
	{"aio-pika", script(debianPython, "testdata/aio_pika_client.py")},
	{"amqplib", script("node", "testdata/node/amqplib_client.js")},
	{"rabbitmq-client", script("node", "testdata/node/rabbitmq_client.js")},
	{"php-amqplib", script("/usr/bin/php", "testdata/php_amqplib_client.php")},
	{"bunny", script("/usr/bin/ruby", "testdata/bunny_client.rb")},
	{"java", compiledJava},
	{"rabbitmq-c", compiledC},
	{"amqp091-go", script(os.Args[0], goClient)},
}

func script(command ...string) func() ([]string, error) {
	return func() ([]string, error) { return command, nil }
}

// compiledJava compiles the Java client's program once.
var compiledJava = sync.OnceValues(func() ([]string, error) {
	const jars = "/usr/share/java/"
	dir := filepath.Join(scratch, "java")
	if out, err := exec.Command("javac", "-d", dir, "-cp", jars+"amqp-client.jar", "testdata/JavaClient.java").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("javac: %w\n%s", err, out)
	}
	classes := strings.Join([]string{dir, jars + "amqp-client.jar", jars + "slf4j-api.jar", jars + "slf4j-nop.jar"}, ":")
	return []string{"java", "-XX:TieredStopAtLevel=1", "-cp", classes, "JavaClient"}, nil
})

// compiledC compiles rabbitmq-c's program once.
var compiledC = sync.OnceValues(func() ([]string, error) {
	path := filepath.Join(scratch, "rabbitmq_c_client")
	if out, err := exec.Command("cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", path, "testdata/rabbitmq_c_client.c", "-lrabbitmq").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cc: %w\n%s", err, out)
	}
	return []string{path}, nil
})

// run starts the client's program for one step.
func (c client) run(t testing.TB, url, step, queue string) *program {
	t.Helper()
	command, err := c.command()
	if err != nil {
		t.Fatalf("%s is missing, run ../install-clients: %v", c.name, err)
	}
	return spawn(t, nil, append(slices.Clone(command), url, step, queue)...)
}

// steps are those that a broker takes without being killed.
var steps = []struct {
	name  string
	fill  []string // what is in the queue before, if it is there before
	want  []string // what the program prints; QUEUE stands for the queue's name
	after func(t *testing.T, ch *amqp.Channel, queue string)
}{
	{
		name: "publish",
		want: []string{"confirmed message 1", "confirmed message 2", "confirmed message 3", "returned NO_ROUTE"},
		after: func(t *testing.T, ch *amqp.Channel, queue string) {
			for i := 1; i <= 3; i++ {
				d, ok, err := ch.Get(queue, true)
				must(t, err)
				if want := fmt.Sprintf("message %d", i); !ok || string(d.Body) != want || d.DeliveryMode != amqp.Persistent || d.Redelivered {
					t.Errorf("the queue gave %q (%v), delivery mode %d, redelivered %v, want %q, persistent and new", d.Body, ok, d.DeliveryMode, d.Redelivered, want)
				}
			}
			expectEmpty(t, ch, queue)
		},
	},
	{
		name:  "consume",
		fill:  []string{"message 1", "message 2", "message 3"},
		want:  []string{"got message 1 new", "got message 2 new", "got message 3 new"},
		after: expectEmpty,
	},
	{
		name:  "requeue",
		fill:  []string{"message 1"},
		want:  []string{"got message 1 new", "got message 1 again"},
		after: expectEmpty,
	},
	{
		name: "deadletter",
		want: []string{
			"dead spoiled rejected from QUEUE count 1 keys QUEUE expiration none",
			"dead late expired from QUEUE count 1 keys QUEUE expiration 20",
		},
		after: func(t *testing.T, ch *amqp.Channel, queue string) {
			expectEmpty(t, ch, queue)
			expectEmpty(t, ch, queue+".dead")
		},
	},
	{
		name: "rpc",
		want: []string{"answer one ONE", "answer two TWO", "answer three THREE"},
	},
}

func TestClient(t *testing.T) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := brokerURL(t)
			for _, s := range steps {
				t.Run(s.name, func(t *testing.T) {
					ch, queue := channel(t, url), uniqueQueue(t, url, c.name+"."+s.name)
					if s.fill != nil {
						_, err := ch.QueueDeclare(queue, true, false, false, false, nil)
						must(t, err)
						fill(t, ch, queue, s.fill...)
					}
					got := c.run(t, url, s.name, queue).rest(t)
					for i := range got {
						got[i] = strings.ReplaceAll(got[i], queue, "QUEUE")
					}
					if !slices.Equal(got, s.want) {
						t.Errorf("printed %q\nwant    %q", got, s.want)
					}
					if s.after != nil && !t.Failed() {
						s.after(t, ch, queue)
					}
				})
			}
		})
	}
}

func TestReconnectsAfterTheBrokerWasKilled(t *testing.T) {
	foreign := os.Getenv("CRASH_COMMAND") != ""
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			if !foreign { // there is but one foreign broker
				t.Parallel()
			}
			b := killable(t)
			queue := uniqueQueue(t, b.url(), c.name+".reconnect")
			p := c.run(t, b.url(), "reconnect", queue)
			for _, want := range []string{"confirmed", "holding message 1"} {
				if line := p.line(t); line != want {
					t.Fatalf("printed %q, want %q", line, want)
				}
			}
			b.Kill()
			must(t, b.start())

			got := slices.DeleteFunc(p.rest(t), func(line string) bool { return line == "lost" })
			// The first one was delivered, and only Leveret is sure to know that after a crash;
			// the next ones may have been on their way.
			if len(got) > 0 && !foreign && got[0] != "got message 1 again" {
				t.Errorf("after the restart %q, want it redelivered", got[0])
			}
			for i := range min(3, len(got)) {
				got[i] = strings.TrimSuffix(strings.TrimSuffix(got[i], " again"), " new")
			}
			slices.Sort(got) // a confirm and a delivery may come in any order
			want := []string{"confirmed message 4", "got message 1", "got message 2", "got message 3", "got message 4 new"}
			if !slices.Equal(got, want) {
				t.Errorf("after the restart printed %q\nwant %q", got, want)
			}
			if !t.Failed() {
				expectEmpty(t, channel(t, b.url()), queue)
			}
		})
	}
}

// channel is a channel of a connection of the test's own.
func channel(t testing.TB, url string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(url)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	must(t, err)
	return ch
}

// uniqueQueue is a name that no other test uses, for a queue that goes with the test, and
// its dead letters' queue with it.
func uniqueQueue(t testing.TB, url, base string) string {
	name := fmt.Sprintf("clients.%s.%08x", base, rand.Uint32())
	t.Cleanup(func() {
		conn, err := amqp.Dial(url)
		if err != nil {
			return // a broker that is gone needs no cleaning
		}
		defer conn.Close()
		if ch, err := conn.Channel(); err == nil {
			_, _ = ch.QueueDelete(name, false, false, false)
			_, _ = ch.QueueDelete(name+".dead", false, false, false)
		}
	})
	return name
}

// fill publishes persistent messages and waits for their confirms.
func fill(t testing.TB, ch *amqp.Channel, queue string, bodies ...string) {
	t.Helper()
	must(t, ch.Confirm(false))
	for _, body := range bodies {
		confirm, err := ch.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)})
		must(t, err)
		if !confirm.Wait() {
			t.Fatalf("%q was nacked", body)
		}
	}
}

// expectEmpty fails if anything is ready in the queue. The clients' connections are closed
// by then, so nothing is unacknowledged either.
func expectEmpty(t *testing.T, ch *amqp.Channel, queue string) {
	t.Helper()
	deadline := time.Now().Add(200 * time.Millisecond)
	for {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		must(t, err)
		if q.Messages != 0 {
			t.Fatalf("%d messages are left in %s", q.Messages, queue)
		}
		if q.Consumers == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s still has %d consumers though the program has ended", queue, q.Consumers)
		}
		<-time.After(5 * time.Millisecond)
	}
}
